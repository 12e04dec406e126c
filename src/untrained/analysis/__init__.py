"""Rank correlations with their intervals, the published figures, tables and plots."""
