"""A weight file is refused before it decides a symbol, and found by what a file names."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hvae_codec.bitstream import (
    Header,
    WrongWeights,
    gaussian_pmfs,
    read_index,
)
from hvae_codec.codec.decoder import decode_file
from hvae_codec.codec.encoder import encode_pixels
from hvae_codec.codec.errors import BoundError, WeightsError
from hvae_codec.codec.images import to_pixels
from hvae_codec.codec.networks.onnx_runtime import OnnxRuntime
from hvae_codec.codec.networks.weight_file import read_weight_file, write_weight_file
from hvae_codec.codec.networks.weight_paths import WEIGHTS_VARIABLE, shipped_weights, weights_named
from hvae_codec.codec.networks.weights import Codec, codec_for, codec_of, load_codec
from hvae_codec.codec.options import EncodeOptions
from tests.weight_files import rewritten


def test_what_is_written_is_read(tiny_weights: Path) -> None:
    file = read_weight_file(tiny_weights)
    assert file.digest == hashlib.sha256(tiny_weights.read_bytes()).digest()
    graphs = {"a": (b"a graph", ("context.norm.inward_table", "trunk.stem.weight"))}
    arguments = file.config, (0, 40), ("masked-diffusion", "vamp"), file.arrays, graphs
    data = write_weight_file(*arguments, file.pmfs)
    assert data == write_weight_file(*arguments, file.pmfs)  # files are named by their hash
    path = tiny_weights.with_name("again.safetensors")
    path.write_bytes(data)
    again = read_weight_file(path)
    assert again.config == file.config
    assert (again.first_qualities, again.priors) == ((0, 40), ("masked-diffusion", "vamp"))
    assert (again.graphs, again.initialisers) == ({"a": b"a graph"}, {"a": graphs["a"][1]})
    assert again.arrays.keys() == file.arrays.keys()
    for name, array in file.arrays.items():
        assert again.arrays[name].dtype == array.dtype, name
        assert np.array_equal(again.arrays[name], array), name
    assert np.array_equal(again.pmfs.pmf, file.pmfs.pmf)
    assert [again.model_at(quality) for quality in (0, 39, 40, 100)] == [0, 0, 1, 1]


@pytest.mark.parametrize(
    "change",
    [
        {"format": "4"},
        {"format": None},
        {"config": None},
        {"config": "{"},
        {"config": json.dumps({"colour": 3})},
        {"config": json.dumps({"trunk_width": "wide"})},
        {"first_qualities": None},
        {"first_qualities": 0},
        {"first_qualities": []},
        {"first_qualities": [5]},
        {"first_qualities": [0, 0]},
        {"first_qualities": [0, 101]},
        {"first_qualities": [0, 50.0]},
        {"priors": None},
        {"priors": 7},
        {"graphs": None},
        {"graphs": {"trunk.begin": []}},  # of which there are no bytes
        {"tables.pmf": None},
        {"tables.pmf": np.ones(3, np.float32)},
        {"0.reconstruction.offsets": np.full((12, 3), np.nan, np.float16)},
        {"0.reconstruction.offsets": np.zeros((12, 3), np.complex64)},
    ],
    ids=str,
)
def test_a_file_that_does_not_describe_itself_is_refused(
    tiny_weights: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    with pytest.raises(WeightsError) as refused:
        read_weight_file(rewritten(tiny_weights, tmp_path / "other.safetensors", change))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("data", [b"", b"garbage", b"\xff" * 100, bytes(200)])
def test_garbage_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "garbage.safetensors"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=r"garbage\.safetensors is not a weight file"):
        read_weight_file(path)


def test_a_cut_file_is_refused(tiny_weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.safetensors"
    path.write_bytes(tiny_weights.read_bytes()[:-100])
    with pytest.raises(WeightsError):
        read_weight_file(path)


def test_tables_that_are_none_are_refused(tiny_weights: Path, tmp_path: Path) -> None:
    broken = {"tables.pmf": read_weight_file(tiny_weights).pmfs.pmf + np.uint32(1)}
    with pytest.raises(WeightsError, match="tables that are none: table 0 sums to"):
        read_weight_file(rewritten(tiny_weights, tmp_path / "other.safetensors", broken))


def test_tables_that_are_not_as_many_as_it_takes_are_refused(tiny_weights: Path) -> None:
    few = gaussian_pmfs(np.array([0.5, 2.0]), np.zeros(1))
    file = replace(read_weight_file(tiny_weights), pmfs=few)
    with pytest.raises(WeightsError, match="have 2 tables, this program codes by 648"):
        codec_of(file)


def test_a_file_without_graphs_is_refused_where_these_are_needed(tiny_weights: Path) -> None:
    with pytest.raises(WeightsError, match="the graph convolution"):
        OnnxRuntime(read_weight_file(tiny_weights))


def test_tensors_that_do_not_fit_their_graph_are_refused(
    shipped: Path, photograph: np.ndarray
) -> None:
    file = read_weight_file(shipped)
    u = np.zeros((1, file.config.context_channels, 1, 1), np.float32)
    for change in ({"0.trunk.stem.weight": np.zeros((2, 2, 3, 3), np.int8)}, {}):
        arrays = {**file.arrays, **change}
        if not change:
            del arrays["0.trunk.stem.weight"]
        runtime = OnnxRuntime(replace(file, arrays=arrays))
        with pytest.raises(WeightsError, match=r"the graph trunk\.begin does not fit"):
            runtime.latent_pass(u, 10)


def test_arithmetic_in_fewer_bits_is_noticed(
    shipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Rounded:
        """A graph's output that went through bfloat16."""

        def __init__(self, array: np.ndarray):
            self.array = array

        def numpy(self) -> np.ndarray:
            bits = np.ascontiguousarray(self.array).view(np.uint32)
            return (bits & np.uint32(0xFFFF0000)).view(np.float32)

    from hvae_codec.codec.networks.onnx_graphs import Graphs

    run = Graphs.run
    monkeypatch.setattr(Graphs, "run", lambda *a, **n: [Rounded(v.numpy()) for v in run(*a, **n)])
    with pytest.raises(BoundError, match="convolutions are not exact here"):
        OnnxRuntime(read_weight_file(shipped))


def header_of(digest: bytes) -> Header:
    return Header(width=9, height=9, quality=9, tile_side=1, weights=digest[:4])


def test_weights_are_found_by_what_the_file_names(
    tiny_in_use: Path, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ours = header_of(read_weight_file(tiny_weights).digest)
    assert shipped_weights() == tiny_weights
    assert weights_named(ours.weights)
    assert codec_for(ours) is load_codec(tiny_weights) is load_codec()
    strange = header_of(b"\1\2\3\4")
    assert weights_named(strange.weights) is None
    with pytest.raises(WrongWeights, match="01020304"):
        codec_for(strange)
    monkeypatch.delenv(WEIGHTS_VARIABLE)
    assert shipped_weights() != tiny_weights
    assert weights_named(ours.weights) is None


def test_a_codec_decodes_no_file_of_other_weights(tiny_codec: Codec) -> None:
    pixels = to_pixels(np.zeros((9, 9, 3), np.uint8))
    data = encode_pixels(tiny_codec, pixels, 50, EncodeOptions(content="photo"))
    index = read_index(data)
    assert not decode_file(tiny_codec, data, index).lost_tiles
    other = replace(index, header=replace(index.header, weights=b"\1\2\3\4"))
    with pytest.raises(WrongWeights):
        decode_file(tiny_codec, data, other)


def test_a_weight_file_that_is_replaced_is_read_anew(
    tiny_in_use: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    path = tmp_path / "own.safetensors"
    path.write_bytes(tiny_weights.read_bytes())
    first = load_codec(path)
    assert load_codec(path) is first
    arrays = first.file.arrays.items()
    name, array = next((name, array) for name, array in arrays if array.dtype == np.float32)
    rewritten(tiny_weights, tmp_path / "new", {name: 2 * array}).replace(path)
    assert load_codec(path).file.digest != first.file.digest


def test_weights_at_hand_that_cannot_be_read_are_passed_over(
    tiny_in_use: Path, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "hvae-codec").mkdir()
    (tmp_path / "hvae-codec/01020304.safetensors").symlink_to("nowhere")
    assert weights_named(b"\1\2\3\4") is None
