"""How an architecture becomes a PyTorch module, and what that module costs."""
