"""Coded files as a dataset of PyTorch: `CodedDataset`."""

from .models.training.coded import CodedDataset, to_tensor

__all__ = ["CodedDataset", "to_tensor"]
