"""Layers that compute with integers in floating point, and the float layers that they come from."""
