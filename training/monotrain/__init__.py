"""Endogenous visual pre-training (EViP) of a small Mono-InternVL."""
