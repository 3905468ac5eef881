"""The exported graphs against the networks that they were exported from."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper

from hvae_codec.codec.networks.onnx_runtime import OnnxRuntime
from hvae_codec.codec.networks.weight_file import WeightFile, read_weight_file
from hvae_codec.models.runtime import TorchRuntime
from hvae_codec.models.storage import from_arrays, restored
from hvae_codec.models.weight_models import models_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def file(exported_weights: Path) -> WeightFile:
    return read_weight_file(exported_weights)


@pytest.fixture(scope="module", params=[False, True], ids=["optimised", "plain"])
def onnx_side(file: WeightFile, request: pytest.FixtureRequest) -> OnnxRuntime:
    return OnnxRuntime(file, is_plain=request.param)


@pytest.fixture(scope="module")
def torch_side(file: WeightFile) -> TorchRuntime:
    return TorchRuntime(models_of(file), torch.device("cpu"))


def alike(one: np.ndarray, other: np.ndarray) -> None:
    assert one.shape == other.shape
    np.testing.assert_allclose(one, other, atol=1e-3, rtol=1e-5)


def walk_both(one: Any, other: Any, rng: np.random.Generator, *, encodes: bool) -> None:  # noqa: ANN401
    """Walk two networks with the same symbols, drawn at random, small and large."""
    assert one.schedule == other.schedule
    for step in one.schedule:
        one.advance(step)
        other.advance(step)
        for number in range(len(step.slices)):
            mean, quarters = one.predict(step, number)
            expected = other.predict(step, number)
            assert quarters.dtype == expected.quarters.dtype == np.uint8
            assert np.array_equal(mean, expected.mean), (step.number, number)
            assert np.array_equal(quarters, expected.quarters), (step.number, number)
            if encodes:
                residuals = one.residual(step, number), other.residual(step, number)
                alike(*(np.asarray(values) for values in residuals))
            symbols = np.rint(rng.standard_t(1, mean.shape).clip(-(2**15), 2**15))
            offset = symbols.astype(np.float32)
            if np.abs(mean - np.rint(mean)).max(initial=0) > 0 and not hasattr(one, "latents"):
                offset = np.rint(mean + offset) - mean  # a context is whole numbers
            one.reveal(step, number, offset)
            other.reveal(step, number, offset)


def compare(
    onnx_side: OnnxRuntime, torch_side: TorchRuntime, size: tuple[int, int], quality: int
) -> None:
    """Run every network on both sides: the same symbols, and nearly the same real numbers."""
    rng = np.random.default_rng(quality)
    rgb = rng.uniform(0, 255, (1, 3, 32 * size[0], 32 * size[1])).astype(np.float32)
    unrounded, expected = (side.unrounded_context(rgb, quality) for side in (onnx_side, torch_side))
    alike(unrounded, expected)
    sides = onnx_side, torch_side
    one, other = (side.context_pass((1, *size), quality, unrounded) for side in sides)
    walk_both(one, other, rng, encodes=True)
    assert np.array_equal(one.context, other.context)
    u = np.floor(unrounded + 0.5)
    features = [side.analyse(rgb, u, quality) for side in sides]
    for name in ("features", "coefficients"):
        alike(*(np.asarray(getattr(each, name)) for each in features))
    one, other = (
        side.latent_pass(u, quality, [found])  # type: ignore
        for side, found in zip(sides, features, strict=True)
    )
    walk_both(one, other, rng, encodes=True)
    alike(one.latents, other.latents)
    latents = one.latents.clip(-40, 40)
    alike(*(side.synthesise(u, latents, quality) for side in sides))


@pytest.mark.parametrize("quality", [0, 47, 100])
@pytest.mark.parametrize("size", [(1, 1), (3, 2), (5, 6)])
def test_graphs_compute_what_the_networks_compute(
    onnx_side: OnnxRuntime, torch_side: TorchRuntime, size: tuple[int, int], quality: int
) -> None:
    compare(onnx_side, torch_side, size, quality)


def test_every_graph_is_compared(
    file: WeightFile, onnx_side: OnnxRuntime, torch_side: TorchRuntime
) -> None:
    compare(onnx_side, torch_side, (3, 2), 47)
    assert {name for name, _ in onnx_side._graphs._ready} == set(file.graphs)


def inline_tensors(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    yield from (t for t in graph.initializer if t.data_location != TensorProto.EXTERNAL)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                yield attribute.t
            elif attribute.type == onnx.AttributeProto.GRAPH:
                yield from inline_tensors(attribute.g)


def test_no_graph_holds_what_the_file_holds(file: WeightFile) -> None:
    held = {name: array.ravel() for name, array in file.arrays.items()}
    held |= {n: t.numpy().ravel() for n, t in restored(from_arrays(file.arrays, "")).items()}
    held = {name: array for name, array in held.items() if len(np.unique(array)) > 8}
    assert len(held) > 100
    for name, data in file.graphs.items():
        for tensor in inline_tensors(onnx.load_model_from_string(data).graph):
            values = numpy_helper.to_array(tensor).ravel()
            assert values.nbytes <= 4096, (name, tensor.name)
            same = [n for n, array in held.items() if np.array_equal(array, values)]
            assert not same, (name, tensor.name)


def test_graphs_take_the_tensors_of_the_file_as_they_are(file: WeightFile) -> None:
    assert file.graphs
    for name, data in file.graphs.items():
        model = onnx.load_model_from_string(data)
        external = [t for t in model.graph.initializer if t.data_location == TensorProto.EXTERNAL]
        assert tuple(tensor.name for tensor in external) == file.initialisers[name]
        for tensor in external:
            place = tensor.name if tensor.name.startswith("context.") else f"0.{tensor.name}"
            array = file.arrays[place]
            assert tuple(tensor.dims) == array.shape, (name, place)
            assert onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type) == array.dtype
        assert max(model.opset_import, key=lambda o: o.domain == "").version == 20
        assert not any(node.domain for node in model.graph.node)


def test_no_graph_is_large(file: WeightFile) -> None:
    assert all(len(data) < 100_000 for data in file.graphs.values())
