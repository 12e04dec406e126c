"""Requests of scores, the engine that computes them, and the ledger that resumes them."""
