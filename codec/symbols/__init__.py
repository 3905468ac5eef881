"""Symbols: what is coded in which order, by which tables, onto which stack."""
