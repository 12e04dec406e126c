"""Architectures times proxies times seeds: where scores are made."""
