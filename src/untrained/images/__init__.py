"""Minibatches and training sets: the bundled sample, fetched official files, Gaussian noise."""
