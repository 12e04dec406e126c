"""Training of networks, by the recipe of the DARTS papers or for a few epochs before a score."""
