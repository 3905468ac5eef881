"""Tensors: the DCT context, the networks, the priors, training and weights."""
