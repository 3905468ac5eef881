"""The command line: parses, prints, exits."""

from .main import main

__all__ = ["main"]
