"""Training-free neural architecture search: rank architectures before training them."""
