"""Training: photographs in, a checkpoint and its metrics out."""
