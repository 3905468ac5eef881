"""The command `hvae-codec`: a group of commands, one file each."""

import errno
from typing import Any

import click

from .. import __version__  # type: ignore[import-not-found]  # of the package once built
from ..codec.networks.threads import spin_less
from . import console
from .benchmark import benchmark
from .dataset import dataset
from .decode import decode
from .encode import encode
from .export_web import export_web
from .info import info
from .pack import pack
from .papers import papers
from .sample import sample
from .train import export, train, train_prior
from .transcode import transcode
from .verify import verify
from .view import view

_EXTRAS: dict[str, str] = dict.fromkeys(("torch", "onnx", "onnxscript"), "torch")
_EXTRAS |= dict.fromkeys(("braceexpand", "fsspec", "pyarrow"), "batch") | {"ray": "ray"}
_EXTRAS |= dict.fromkeys(("pillow_heif", "pillow_jxl"), "formats")
_EXTRAS |= dict.fromkeys(("scipy", "ssimulacra2"), "metric")
_EXTRAS |= dict.fromkeys(
    (
        "bjontegaard",
        "compressai",
        "jinja2",
        "matplotlib",
        "packaging",
        "pooch",
        "pytorch_msssim",
        "requests",
        "skimage",
    ),
    "bench",
)
"""What a plain install lacks, and the extra that brings it."""


class _Group(click.Group):
    """Names the extra of a package that a command misses, and what keeps --help from stdout."""

    def make_context(self, *given: Any, **named: Any) -> click.Context:  # noqa: ANN401
        """Parse the arguments, or print the help that they ask for."""
        with console.blame("stdout"):
            return super().make_context(*given, **named)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401
        """Run the command."""
        try:
            return super().invoke(ctx)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise click.ClickException(f"stdout: {error.strerror}") from error
        except ModuleNotFoundError as error:
            package = (error.name or "").split(".")[0]
            if package not in _EXTRAS:
                raise
            extra = _EXTRAS[package]
            raise click.ClickException(
                f"{ctx.invoked_subcommand} needs {package}, which is not installed: "
                f"pip install 'hvae-codec[{extra}]'"
            ) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """A learned image codec: images in, small files out, the same images back."""
    console.silence_libraries()
    console.print_any_name()
    spin_less()


for command in (
    encode,
    decode,
    info,
    verify,
    transcode,
    view,
    export_web,
    sample,
    benchmark,
    dataset,
    papers,
    train,
    train_prior,
    pack,
    export,
):
    main.add_command(command)
