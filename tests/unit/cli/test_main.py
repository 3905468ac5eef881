import subprocess
import sys
from collections.abc import Callable

import pytest
from click.testing import Result

import hvae_codec

HEAVY = ("torch", "numpy", "PIL", "constriction", "matplotlib", "scipy")


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys, hvae_codec, hvae_codec.cli\n"
        f"print(*[name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "", done.stderr


def test_version(hvae: Callable[..., Result]) -> None:
    assert hvae_codec.__version__ in hvae("--version").output


@pytest.mark.parametrize("command", ["encode", "decode", "info", "verify", "benchmark"])
def test_every_command_has_help(hvae: Callable[..., Result], command: str) -> None:
    result = hvae(command, "-h")
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: ")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        _ = hvae_codec.nothing


def test_the_public_face_is_the_codec() -> None:
    from hvae_codec.codec import api

    assert hvae_codec.encode is api.encode
    assert hvae_codec.decode is api.decode
    assert hvae_codec.open is api.open
