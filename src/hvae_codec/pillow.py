"""Importing this module teaches Pillow to open and to save .hvae files."""

from .codec.pillow_plugin import register

register()
