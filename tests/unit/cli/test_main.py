import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import click
import pytest
from click.testing import Result

import hvae_codec
from hvae_codec.bitstream import Prior
from hvae_codec.cli import main, options
from hvae_codec.cli.train import train
from hvae_codec.codec.config import PRESETS

HEAVY = ("torch", "numpy", "PIL", "constriction", "matplotlib", "scipy")


HELP = f"""
import sys
import hvae_codec
from hvae_codec.cli import main

for name in ("", *main.commands):
    main([name, "-h"] if name else ["-h"], standalone_mode=False)
print("heavy:", *[name for name in {HEAVY} if name in sys.modules])
"""


def test_help_loads_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HELP], check=True, stdout=subprocess.PIPE, text=True
    )
    assert done.stdout.count("Usage: ") == 1 + len(main.commands)
    assert done.stdout.splitlines()[-1] == "heavy:"


@pytest.mark.parametrize(
    ("given", "found"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")],
)
def test_threads_do_not_spin_for_long(given: dict[str, str], found: str) -> None:
    ask = "import os; print(os.environ.get('GOMP_SPINCOUNT'))"
    program = f"""
from hvae_codec.cli import main
main.command("ask")(lambda: exec({ask!r}))
main(["ask"])
"""
    settings = {
        k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    }
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True, stdout=subprocess.PIPE, text=True, env={**settings, **given},
    )  # fmt: skip
    assert done.stdout.strip() == found


def test_version(hvae: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    """The code's own: what an installer noted may be another one's, or not there."""

    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", absent)
    assert hvae("--version").output.endswith(f", version {hvae_codec.__version__}\n")


@pytest.mark.parametrize("command", list(main.commands))
def test_every_command_has_help(hvae: Callable[..., Result], command: str) -> None:
    result = hvae(command, "-h")
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: ")


def test_the_list_of_commands_cuts_no_sentence(hvae: Callable[..., Result]) -> None:
    listed = hvae("-h").stdout.partition("Commands:")[2].splitlines()[1:]
    assert [line.split()[0] for line in listed] == sorted(main.commands)
    assert [line for line in listed if not line.endswith(".") or line.endswith("...")] == []


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        _ = hvae_codec.nothing  # type: ignore[attr-defined]


def test_the_public_face_is_the_codec() -> None:
    from hvae_codec.codec import decode, encode

    assert hvae_codec.encode is encode.encode
    assert hvae_codec.decode is decode.decode
    assert hvae_codec.open is decode.open


def test_choices_are_what_there_is() -> None:
    """They are written down, for whoever asks for help should not wait for torch."""
    assert set(options.PRIORS) == {prior.label for prior in Prior}
    (preset,) = (param for param in train.params if param.name == "preset")
    assert isinstance(preset.type, click.Choice)
    assert {*preset.type.choices} == {*PRESETS}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("arguments", [["--help"], ["encode", "--help"], ["--version"]])
def test_help_on_a_full_disk_is_one_line(arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "hvae_codec", *arguments]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (1, "Error: stdout: No space left on device\n")


CONTEXT = click.Context(main)
PARAMS = [param for command in main.commands.values() for param in command.params]


def test_no_command_takes_an_empty_name_for_the_current_folder() -> None:
    paths = [param for param in PARAMS if isinstance(param.type, click.Path)]
    assert len(paths) > 20
    for param in paths:
        with pytest.raises(click.BadParameter, match=r"empty|does not exist"):
            param.type.convert("", param, CONTEXT)


def test_no_command_takes_nan_or_infinity() -> None:
    kinds = options.PositiveNumber, click.types.FloatParamType
    numbers = [param for param in PARAMS if isinstance(param.type, kinds)]
    assert len(numbers) > 15
    for param in numbers:
        for value in ("nan", "inf", "-inf"):
            with pytest.raises(click.BadParameter, match="is not a number"):
                param.type.convert(value, param, CONTEXT)


def test_a_share_is_at_most_one(hvae: Callable[..., Result]) -> None:
    result = hvae("train", "--graphics", "1.5")
    assert result.exit_code == 2
    assert "'1.5' is not a number of 0 or above, 1 at most" in result.stderr
