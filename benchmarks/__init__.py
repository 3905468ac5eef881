"""Metrics, peers, and the measurement of files on disk."""
