"""The stand-ins of the codec take what the codec takes, or the commands are tested against air."""

import importlib
import inspect
from collections.abc import Callable

import pytest


def shape(function: Callable[..., object]) -> list[tuple[str, object, object]]:
    parameters = inspect.signature(function).parameters.values()
    return [(p.name, p.kind, p.default) for p in parameters]


@pytest.mark.parametrize(
    "name",
    ["encode_with", "decode", "decode_with", "sample", "inspect", "verify"],
)
def test_a_stand_in_has_the_signature_of_what_it_stands_for(
    codec: dict[str, Callable[..., object]], name: str
) -> None:
    stand_in = getattr(importlib.import_module("hvae_codec.codec.api"), name)
    assert stand_in is not codec[name]
    assert shape(stand_in) == shape(codec[name])


def test_every_stand_in_is_compared(codec: dict[str, Callable[..., object]]) -> None:
    (marked,) = test_a_stand_in_has_the_signature_of_what_it_stands_for.pytestmark  # pyright: ignore
    assert {*marked.args[1]} == {*codec}
