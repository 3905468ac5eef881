"""Run the command line as `python -m hvae_codec`."""

from .cli import main

main(prog_name="hvae-codec")
