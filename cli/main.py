"""The command `hvae-codec`: a group of commands, one file each."""

import os

import click

from .benchmark import benchmark
from .dataset import dataset
from .decode import decode
from .encode import encode
from .info import info
from .papers import papers
from .sample import sample
from .train import export, train, train_prior
from .verify import verify


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hvae-codec")
def main() -> None:
    """A learned image codec: images in, small files out, the same images back."""
    # Torch's threads wait for each other by spinning, by default for so long that where another
    # program holds a core they hardly do anything else. Read when torch is loaded.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")


for command in (
    encode,
    decode,
    info,
    verify,
    sample,
    benchmark,
    dataset,
    papers,
    train,
    train_prior,
    export,
):
    main.add_command(command)
