"""Describes networks as graphs, and runs them as modules, as plans and in short trainings."""
