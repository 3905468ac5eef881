import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hvae_codec.benchmarks.compressai_models import NAMES, cached_qualities, peer

zoo_models = pytest.importorskip("compressai.zoo")
zoo = pytest.importorskip("compressai.zoo.image")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of weights."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_without_weights_a_model_is_there_for_its_times(name: str, cache: Path) -> None:
    codec = peer(name)
    assert codec.times_only
    assert "random weights" in codec.description


def test_a_file_holds_all_that_decoding_needs(cache: Path) -> None:
    codec = pickle.loads(pickle.dumps(peer("bmshj2018-hyperprior")))
    image = Image.linear_gradient("L").convert("RGB").resize((70, 33))
    data = codec.encode(image, codec.settings[0])
    decoded = codec.decode(data)
    assert decoded.size == (70, 33)
    # not by chance: the same model decodes the same file to the same pixels
    assert np.array_equal(np.asarray(decoded), np.asarray(codec.decode(data)))


def test_weights_in_the_cache_are_used(cache: Path) -> None:
    name = "bmshj2018-factorized"
    for quality in (1, 3):
        url: str = zoo.model_urls[name]["mse"][quality]
        torch.manual_seed(quality)
        network = zoo_models.image_models[name](quality, metric="mse", pretrained=False)
        state = network.state_dict()
        state["g_s.6.bias"] = torch.full((3,), 0.25 * quality)
        torch.save(state, cache / Path(url).name)
    assert cached_qualities(name) == (1, 3)
    codec = peer(name)
    assert (codec.settings, codec.times_only) == ((1, 3), False)
    image = Image.new("RGB", (64, 64))
    means = [np.asarray(codec.decode(codec.encode(image, q))).mean() for q in (1, 3)]
    # random synthesis is small, so that the bias of the last layer shows
    assert means == pytest.approx([0.25 * 255, 0.75 * 255], abs=25)
