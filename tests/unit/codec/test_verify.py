"""Decoding twice: what agrees passes, what does not is found, on the weights that ship."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import hvae_codec
from hvae_codec.bitstream import TileDamaged, read_index
from hvae_codec.codec import api, verify
from hvae_codec.codec.decoder import decode_file
from hvae_codec.codec.errors import VerificationFailed
from hvae_codec.codec.networks.onnx_runtime import OnnxRuntime

Files = Any

pytestmark = pytest.mark.usefixtures("shipped")


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Let the second decoder's trunk go wrong, but in tiles without context; returns what did."""
    runs: list[str] = []

    class Broken(OnnxRuntime):
        def __init__(self, *arguments: Any, **named: Any):  # noqa: ANN401
            super().__init__(*arguments, **named)
            run = self._graphs.run

            def wrong(name: str, *rest: Any) -> Any:  # noqa: ANN401
                found = run(name, *rest)
                if name == "trunk.begin" and rest[0]["u"].any():
                    runs.append(name)
                    found[0] = type(found[0]).ortvalue_from_numpy(found[0].numpy() + 640)  # type: ignore
                return found

            monkeypatch.setattr(self._graphs, "run", wrong)

    monkeypatch.setattr("hvae_codec.codec.networks.onnx_runtime.OnnxRuntime", Broken)
    verify._plain_runtime.cache_clear()
    yield runs
    verify._plain_runtime.cache_clear()


def test_another_configuration_reads_the_same_symbols(
    shipped_files: Files, photograph: np.ndarray
) -> None:
    data = shipped_files.encode(photograph[:100, 200:300], 60, 2)
    report = verify.verify_file(shipped_files.codec, data, read_index(data))
    assert (report.tiles, report.differing, report.largest_sample) == (4, 0, 255)
    assert report.symbols == 16 * (shipped_files.codec.config.context_channels + 16 * 140)
    assert report.max_pixel_difference is not None
    assert report.max_pixel_difference <= 1


def test_of_grey_luma_alone_counts(shipped_files: Files, photograph: np.ndarray) -> None:
    data = shipped_files.encode(photograph[:70, 200:290, 1], 90)
    report = verify.verify_file(shipped_files.codec, data, read_index(data))
    # 36 of 68 coefficients of the context and 61 of 140 latents are luma's
    assert report.symbols == 9 * (36 + 16 * 61)
    assert (report.differing, report.max_pixel_difference) in [(0, 0), (0, 1)]


def test_verification_passes_and_says_what_it_saw(photograph: np.ndarray) -> None:
    data = hvae_codec.encode(Image.fromarray(photograph[:80, 180:280]), verify=True)
    report = api.verify(data)
    assert (report.tiles, report.differing) == (1, 0)
    assert report.symbols > 8000
    assert report.max_pixel_difference is not None
    assert report.max_pixel_difference <= 1


def test_a_decoder_that_computes_otherwise_is_reported(
    shipped_files: Files, photograph: np.ndarray, broken: list[str]
) -> None:
    data = shipped_files.encode(photograph[:64, 200:264], tile_side=1)
    report = verify.verify_file(shipped_files.codec, data, read_index(data))
    assert broken
    assert (report.tiles, report.max_pixel_difference) == (4, None)
    assert report.differing == report.symbols > 0


def test_a_fault_in_one_tile_counts_that_tile(
    shipped_files: Files, photograph: np.ndarray, broken: list[str]
) -> None:
    pixels = np.full((32, 64, 3), 128, np.uint8)
    pixels[:, 32:] = photograph[100:132, 200:232]
    data = shipped_files.encode(pixels, 60, tile_side=1)
    report = verify.verify_file(shipped_files.codec, data, read_index(data))
    assert broken
    assert (report.tiles, report.differing) == (2, report.symbols // 2)


def test_encoding_fails_where_the_other_decoder_reads_otherwise(
    photograph: np.ndarray, broken: list[str]
) -> None:
    with pytest.raises(VerificationFailed, match="symbols differ"):
        api.encode(photograph[:64, 180:244], verify=True)
    assert broken


def test_a_file_that_the_usual_decoder_refuses_is_refused(photograph: np.ndarray) -> None:
    data = bytearray(api.encode(photograph[:64, 180:244]))
    data[-9] ^= 1
    with pytest.raises(TileDamaged):
        api.verify(data)


@pytest.fixture
def alter(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let what verification decodes differ in one sample of a channel."""

    def altering(channel: int) -> None:
        def altered(*arguments: Any) -> Any:  # noqa: ANN401
            picture = decode_file(*arguments)
            samples = picture.pixels.samples.copy()
            samples[5, 5, channel] ^= 1
            return replace(picture, pixels=replace(picture.pixels, source=samples))

        monkeypatch.setattr(verify, "decode_file", altered)

    return altering


@pytest.mark.parametrize("quality", [100, 40])
def test_exact_files_are_compared_with_their_alpha(
    photograph: np.ndarray, alter: Callable[[int], None], quality: int
) -> None:
    alpha = np.full((64, 64, 1), 128, np.uint8)
    few_colors = photograph[:64, 180:244] // 128 * 255
    image = np.concatenate([few_colors, alpha], axis=2)
    data = api.encode(image, quality, verify=True)
    assert set(api.inspect(data).tile_coders) == {"exact"}
    alter(3)
    with pytest.raises(VerificationFailed, match="the samples differ"):
        api.encode(image, quality, verify=True)


def test_a_lossless_file_is_compared_with_its_hidden_colors(
    photograph: np.ndarray, alter: Callable[[int], None]
) -> None:
    image = np.concatenate([photograph[:64, :64], np.zeros((64, 64, 1), np.uint8)], axis=2)
    api.encode(image, 100, verify=True)
    alter(0)
    with pytest.raises(VerificationFailed, match="the samples differ"):
        api.encode(image, 100, verify=True)
