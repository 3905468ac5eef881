import json
import struct
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load

from hvae_codec.codec.errors import WeightsError
from hvae_codec.codec.networks.web import web_parts
from hvae_codec.codec.networks.weight_file import WeightFile, read_weight_file
from hvae_codec.codec.networks.weight_paths import shipped_weights


@pytest.fixture(scope="module")
def file() -> WeightFile:
    return read_weight_file(shipped_weights())


@pytest.fixture(scope="module")
def parts(file: WeightFile) -> dict[str, bytes]:
    return dict(web_parts(file))


def test_parts_are_named_as_headers_name_weights(file: WeightFile, parts: dict[str, bytes]) -> None:
    folder = file.digest.hex()[:8]
    models = [f"{folder}/model-{number}.safetensors" for number in range(3)]
    assert [*parts] == [f"{folder}/context.safetensors", *models]


def test_open_weights_are_refused(file: WeightFile) -> None:
    opened = replace(file, config=replace(file.config, linear_from=90))
    with pytest.raises(WeightsError, match="a page does not decode the files of open weights"):
        next(web_parts(opened))


def test_parts_hold_the_tensors_of_their_graphs_and_no_others_of_models(
    file: WeightFile, parts: dict[str, bytes]
) -> None:
    context, *models = (load(part) for part in parts.values())
    assert np.array_equal(context["tables.pmf"], file.pmfs.pmf)
    assert not any(name.startswith(("0.", "analysis")) for name in context)
    for number, tensors in enumerate(models):
        graphs = [name for name in tensors if name.startswith("graphs.")]
        needed = {
            name for graph in graphs for name in file.initialisers[graph.removeprefix("graphs.")]
        }
        own = tensors.keys() - set(graphs)
        assert own <= needed
        assert all(name in context for name in needed - own)
        for name in own:
            assert np.array_equal(tensors[name], file.arrays[f"{number}.{name}"])


def test_a_part_says_what_it_is_of(file: WeightFile, parts: dict[str, bytes]) -> None:
    for part in parts.values():
        (size,) = struct.unpack_from("<Q", part)
        described = json.loads(json.loads(part[8 : 8 + size])["__metadata__"]["hvae_codec"])
        assert described["weights"] == file.digest.hex()
        assert described["first_qualities"] == [0, 36, 62]
