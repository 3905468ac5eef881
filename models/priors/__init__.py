"""Priors p(u) of the context."""
