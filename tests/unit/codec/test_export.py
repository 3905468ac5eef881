"""Several models in one weight file, each for its range of qualities."""

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hvae_codec.codec import export as exporting
from hvae_codec.codec.export import export, load_checkpoints
from hvae_codec.codec.weights import Codec, load_codec
from hvae_codec.models.dct_vae import DctVae
from hvae_codec.models.errors import WeightsError
from hvae_codec.models.training.data import ImageCache
from tests.conftest import smooth_images

from .conftest import Files


@pytest.fixture(scope="module")
def other_model(tiny_model: DctVae) -> DctVae:
    """A model for other qualities, with the norm and the prior of the tiny one."""
    model = copy.deepcopy(tiny_model)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith("entropy.prior"):
                parameter.add_(0.01 * torch.randn(parameter.shape, generator=generator))
    return model


def saved(path: Path, model: DctVae, qualities: tuple[int, int]) -> Path:
    """Write what export reads of a checkpoint."""
    average = {f"module.{name}": values for name, values in model.state_dict().items()}
    config = model.config.to_json()
    torch.save({"config": config, "qualities": qualities, "average": average}, path)
    return path


def exported(folder: Path, *runs: tuple[DctVae, tuple[int, int]]) -> Codec:
    sources = [saved(folder / f"{n}.pt", *run) for n, run in enumerate(runs)]
    export(sources, folder / "w.safetensors", None)
    return load_codec(folder / "w.safetensors")


@pytest.fixture(scope="module")
def both(
    tiny_model: DctVae, other_model: DctVae, tmp_path_factory: pytest.TempPathFactory
) -> Codec:
    # in any order
    runs = (other_model, (48, 100)), (tiny_model, (0, 52))
    return exported(tmp_path_factory.mktemp("both"), *runs)


@pytest.mark.parametrize(
    ("ranges", "begins"),
    [
        ([(0, 100)], (0,)),
        ([(0, 52), (48, 100)], (0, 50)),
        ([(50, 100), (0, 49)], (0, 50)),
        ([(0, 40), (30, 70), (60, 100)], (0, 35, 65)),
    ],
)
def test_models_meet_in_the_middle_of_what_both_serve(
    tiny_model: DctVae, tmp_path: Path, ranges: list[tuple[int, int]], begins: tuple[int, ...]
) -> None:
    paths = [saved(tmp_path / f"{n}.pt", tiny_model, one) for n, one in enumerate(ranges)]
    assert load_checkpoints(paths)[1] == begins


@pytest.mark.parametrize(
    ("ranges", "missing"),
    [([(0, 40), (50, 100)], "41 to 49"), ([(10, 100)], "0 to 9"), ([(0, 90)], "91 to 100")],
)
def test_a_quality_without_a_model_is_named(
    tiny_model: DctVae, tmp_path: Path, ranges: list[tuple[int, int]], missing: str
) -> None:
    paths = [saved(tmp_path / f"{n}.pt", tiny_model, one) for n, one in enumerate(ranges)]
    with pytest.raises(WeightsError, match=f"no checkpoint serves the qualities {missing}"):
        export(paths, tmp_path / "w.safetensors", None)
    assert not (tmp_path / "w.safetensors").exists()


def test_a_checkpoint_of_another_model_is_refused(tiny_model: DctVae, tmp_path: Path) -> None:
    path = saved(tmp_path / "old.pt", tiny_model, (0, 100))
    content = torch.load(path)
    del content["average"]["module.reconstruction.offsets"]
    torch.save(content, path)
    with pytest.raises(WeightsError, match=r"old\.pt is of another version of the model"):
        load_checkpoints([path])


@pytest.mark.parametrize(
    ("ranges", "within"),
    [
        ([(0, 100), (20, 80)], "20 to 80"),
        ([(0, 50), (0, 100)], "0 to 50"),
        ([(0, 60), (50, 100), (55, 100)], "55 to 100"),
    ],
)
def test_a_range_within_another_is_refused(
    tiny_model: DctVae, tmp_path: Path, ranges: list[tuple[int, int]], within: str
) -> None:
    paths = [saved(tmp_path / f"{n}.pt", tiny_model, one) for n, one in enumerate(ranges)]
    with pytest.raises(WeightsError, match=f"another checkpoint serves the qualities {within}"):
        load_checkpoints(paths)


def test_models_of_other_contexts_do_not_share_a_file(
    tiny_model: DctVae, other_model: DctVae, tmp_path: Path
) -> None:
    strange = copy.deepcopy(other_model)
    strange.entropy.norm.spread.mul_(2)  # type: ignore[operator, union-attr]
    with pytest.raises(WeightsError, match="to different scales"):
        exported(tmp_path, (tiny_model, (0, 50)), (strange, (51, 100)))


def test_models_of_other_sizes_do_not_share_a_file(tiny_model: DctVae, tmp_path: Path) -> None:
    config = dataclasses.replace(tiny_model.config, synthesis_blocks=(2, 1))
    larger = DctVae(config)
    larger.entropy.norm.load_state_dict(tiny_model.entropy.norm.state_dict())
    with pytest.raises(WeightsError, match="of different sizes"):
        exported(tmp_path, (tiny_model, (0, 50)), (larger, (51, 100)))


@pytest.mark.parametrize("quality", [0, 49, 50, 100])
def test_each_quality_is_coded_by_its_own_model(
    both: Codec,
    tiny_model: DctVae,
    other_model: DctVae,
    photograph: np.ndarray,
    tmp_path: Path,
    quality: int,
) -> None:
    own = exported(tmp_path, (tiny_model if quality < 50 else other_model, (0, 100)))
    image = np.ascontiguousarray(photograph[:96, :128])
    files, alone = Files(both), Files(own)
    data = files.encode(image, quality=quality)
    assert data[32:] == alone.encode(image, quality=quality)[32:]  # behind the header
    assert np.array_equal(files.samples(data), alone.samples(alone.encode(image, quality=quality)))


def test_models_have_their_priors_in_common(both: Codec) -> None:
    first, second = both.models
    assert both.begins == (0, 50)
    assert first.entropy.prior is second.entropy.prior
    assert first.entropy.norm is second.entropy.norm
    assert both.model_at(49) is first
    assert both.model_at(50) is second
    weights = [model.synthesis.stem.weight for model in both.models]
    assert not torch.equal(*weights)
    assert both.float_model_at(100).synthesis.stem.weight.equal(weights[1])


def test_photographs_round_filters_and_refine_tables(
    tiny_model: DctVae, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photographs").mkdir()
    generator = torch.Generator().manual_seed(2)
    pixels = smooth_images(1, 256, generator)[0].to(torch.uint8).permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(tmp_path / "photographs" / "one.png")
    cache = ImageCache(tmp_path / "photographs", tmp_path / "cache")
    monkeypatch.setattr(exporting, "FITTING_BATCHES", 1)
    source = [saved(tmp_path / "c.pt", tiny_model, (0, 100))]
    for name, seen in (("without", None), ("with", cache)):
        export(source, tmp_path / f"{name}.safetensors", seen, crops=2)
    without, rounded = (load_codec(tmp_path / f"{n}.safetensors") for n in ("without", "with"))
    assert not np.array_equal(without.tables.pmf, rounded.tables.pmf)
    ours, theirs = (codec.models[0].state_dict() for codec in (rounded, without))
    changed = {name for name in ours if not torch.equal(ours[name], theirs[name])}
    for part in ("entropy.trunk.", "entropy.priors.", "analysis.", "posteriors."):
        assert any(name.startswith(part) and name.endswith(".weight") for name in changed), part
    assert not any(name.startswith("synthesis.") for name in changed)
