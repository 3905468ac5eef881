"""Coded files in webdataset: `WebDataset(urls).decode(CodedDecoder())`. Needs no PyTorch."""

from .codec.batch.coded_files import CodedDecoder, CodedFiles

__all__ = ["CodedDecoder", "CodedFiles"]
