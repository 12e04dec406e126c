"""Builds PyTorch modules of architectures, and counts what the modules cost."""
