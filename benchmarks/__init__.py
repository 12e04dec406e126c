"""Speed, side by side with plain implementations."""
