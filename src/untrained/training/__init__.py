"""Train a network by the recipe of the DARTS papers, with checkpoints that resume exactly."""
