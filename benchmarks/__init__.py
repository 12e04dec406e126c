"""Speed measurements, side by side with plain implementations."""
