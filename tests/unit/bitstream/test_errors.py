"""Every error reaches the user whole."""

import pickle

import pytest

from hvae_codec import bitstream
from hvae_codec.bitstream import (
    ArgumentError,
    BitstreamError,
    HvaeError,
    ImageTooLarge,
    TileDamaged,
    WrongWeights,
)
from hvae_codec.codec.errors import LeftOut, TorchMissing

ERRORS = [
    TileDamaged(7),
    ImageTooLarge(30_000, 20_000, 178_956_970),
    WrongWeights(b"\x01\x02\x03\x04", b"\xaa\xbb\xcc\xdd"),
]


def test_one_except_clause_catches_every_error() -> None:
    kinds = [getattr(bitstream, name) for name in bitstream.__all__]
    errors = [k for k in kinds if isinstance(k, type) and issubclass(k, Exception)]
    assert len(errors) > 10
    assert all(issubclass(error, HvaeError) for error in errors)
    of_arguments = [error for error in errors if issubclass(error, ValueError)]
    assert of_arguments == [ArgumentError]


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
def test_errors_survive_the_way_between_processes(error: BitstreamError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_wrong_weights_names_both_and_says_what_to_do() -> None:
    message = str(ERRORS[2])
    assert "01020304" in message
    assert "aabbccdd" in message
    assert "set HVAE_CODEC_WEIGHTS to the weight file" in message


def test_messages_are_one_line_with_the_numbers() -> None:
    assert "tile 7" in str(ERRORS[0])
    assert "600000000" in str(ERRORS[1])
    assert "178956970" in str(ERRORS[1])
    assert not any("\n" in str(error) for error in ERRORS)


def test_every_public_error_can_be_pickled() -> None:
    """A pool of processes could not give it back otherwise."""
    made = [TorchMissing("why"), LeftOut("a.png", ("XMP", "IPTC")), *ERRORS]
    for error in made:
        copy = pickle.loads(pickle.dumps(error))
        assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))
