"""Run the command line as `python -m hvae_codec`."""

from .cli import main

if __name__ == "__main__":  # not again in the processes of `encode -j`
    main(prog_name="hvae-codec")
