"""Hierarchical VAEs with continuous latents, as DCT-VAE, DVP-VAE and OU-VAE have them."""

from .config import ConfigError, VaeConfig
from .model import Hvae, Terms, Walked, parameters

__all__ = ["ConfigError", "Hvae", "Terms", "VaeConfig", "Walked", "parameters"]
