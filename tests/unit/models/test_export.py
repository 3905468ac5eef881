"""Several models in one weight file, each for its range of qualities."""

import copy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hvae_codec.bitstream import read_index
from hvae_codec.codec.config import PRESETS
from hvae_codec.codec.decoder import decode_file
from hvae_codec.codec.encoder import encode_pixels
from hvae_codec.codec.errors import WeightsError
from hvae_codec.codec.images import to_pixels
from hvae_codec.codec.networks.weight_file import read_weight_file
from hvae_codec.codec.networks.weights import Codec
from hvae_codec.models.dct_vae import DctVae
from hvae_codec.models.export import export, gather, load_checkpoints
from hvae_codec.models.training import fitting
from hvae_codec.models.training.data import ImageCache
from hvae_codec.models.training.fitting import codec_in_memory
from hvae_codec.models.training.state import starting_point
from hvae_codec.models.weight_models import load_weights
from tests.conftest import smooth_images, torch_codec
from tests.weight_files import without_graphs


@pytest.fixture(autouse=True, scope="module")
def no_graphs() -> Iterator[None]:
    """Weight files are for PyTorch alone."""
    with without_graphs():
        yield


@pytest.fixture(scope="module")
def other_model(tiny_model: DctVae) -> DctVae:
    """A model for other qualities, with the norm and the prior of the tiny one."""
    model = copy.deepcopy(tiny_model)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith("context."):
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
    export(gather(sources), folder / "w.safetensors", None)
    return torch_codec(read_weight_file(folder / "w.safetensors"))


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
        gather(paths)


def test_a_checkpoint_of_another_model_is_refused(tiny_model: DctVae, tmp_path: Path) -> None:
    path = saved(tmp_path / "old.pt", tiny_model, (0, 100))
    content = torch.load(path)
    del content["average"]["module.latents.reconstruction.offsets"]
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


def test_the_context_is_that_of_the_coarsest_qualities(
    tiny_model: DctVae, other_model: DctVae, tmp_path: Path
) -> None:
    strange = copy.deepcopy(other_model)
    strange.context.norm.spread.mul_(2)  # type: ignore[operator, union-attr]
    codec = exported(tmp_path, (strange, (51, 100)), (tiny_model, (0, 50)))
    norm = load_weights(tmp_path / "w.safetensors").context.norm
    expected = tiny_model.context.norm.to_integer()  # type: ignore
    assert torch.equal(norm.inward_table, expected.inward_table)  # type: ignore
    assert codec.file.first_qualities == (0, 51)


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
    data, alone = (encode_pixels(codec, to_pixels(image), quality) for codec in (both, own))
    assert data[32:] == alone[32:]  # behind the header
    pixels = [
        decode_file(codec, file, read_index(file)).samples
        for codec, file in ((both, data), (own, alone))
    ]
    assert np.array_equal(*pixels)  # type: ignore


def test_models_have_their_context_in_common(both: Codec, tiny_model: DctVae) -> None:
    weights = both.runtime.weights  # type: ignore[attr-defined]
    assert both.file.first_qualities == weights.first_qualities == (0, 50)
    models = [weights.model_at(quality) for quality in (49, 50)]
    assert models[0].context is models[1].context
    assert [both.file.model_at(quality) for quality in (0, 49, 50, 100)] == [0, 0, 1, 1]
    stems = [model.latents.synthesis.stem.weight for model in models]
    assert not torch.equal(*stems)


def test_what_is_in_memory_codes_as_the_file_does(
    both: Codec, photograph: np.ndarray, tmp_path: Path
) -> None:
    """Tables are refined before there is a file."""
    in_memory = codec_in_memory(both.runtime.weights)  # type: ignore[attr-defined]
    pixels = to_pixels(photograph[:64, :64])
    data, other = (encode_pixels(codec, pixels, 60) for codec in (both, in_memory))
    assert data[32:] == other[32:]


@pytest.mark.slow
def test_photographs_round_filters_and_refine_tables(
    tiny_model: DctVae,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "photographs").mkdir()
    generator = torch.Generator().manual_seed(2)
    pixels = smooth_images(1, 256, generator)[0].to(torch.uint8).permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(tmp_path / "photographs" / "one.png")
    cache = ImageCache(tmp_path / "photographs", tmp_path / "cache")
    monkeypatch.setattr(fitting, "FITTING_BATCHES", 1)
    found = gather([saved(tmp_path / "c.pt", tiny_model, (0, 100))])
    for name, seen in (("without", None), ("with", cache)):
        export(found, tmp_path / f"{name}.safetensors", seen, crops=2)
    shown = capsys.readouterr().err
    for bar in ("rounding filters: 100%", "reconstruction: 100%", "counting symbols: 100%"):
        assert bar in shown
    without, rounded = (load_weights(tmp_path / f"{n}.safetensors") for n in ("without", "with"))
    assert not np.array_equal(without.pmfs.pmf, rounded.pmfs.pmf)
    ours, theirs = (weights.model_at(0).state_dict() for weights in (rounded, without))
    changed = {name for name in ours if not torch.equal(ours[name], theirs[name])}
    integers = "latents.trunk.", "context.priors."
    for part in (*integers, "latents.analysis.", "latents.posteriors."):
        assert any(name.startswith(part) and name.endswith(".weight") for name in changed), part
    assert not any(name.startswith("latents.synthesis.") for name in changed)
    assert "latents.reconstruction.offsets" in changed


def test_a_model_of_another_size_is_named(tiny_model: DctVae, tmp_path: Path) -> None:
    other = DctVae(PRESETS["base"])
    paths = [
        saved(tmp_path / "high.pt", other, (50, 100)),
        saved(tmp_path / "low.pt", tiny_model, (0, 52)),
    ]
    with pytest.raises(WeightsError, match=r"another size than that of low\.pt") as caught:
        gather(paths)
    assert caught.value.filename == str(paths[0])


def test_names_do_not_matter(tiny_model: DctVae, tmp_path: Path) -> None:
    checkpoint = saved(tmp_path / "c.safetensors", tiny_model, (0, 100))
    export(gather([checkpoint]), tmp_path / "w.pt", None)
    assert not gather([tmp_path / "w.pt"]).trained
    begun = [starting_point(tmp_path / name, (0, 100)) for name in ("c.safetensors", "w.pt")]
    assert begun[0]["config"] == begun[1]["config"]
    (tmp_path / "junk.safetensors").write_bytes(b"something else")
    with pytest.raises(WeightsError, match=r"junk\.safetensors is not a checkpoint") as caught:
        starting_point(tmp_path / "junk.safetensors", (0, 100))
    assert caught.value.filename == str(tmp_path / "junk.safetensors")


def test_a_prior_of_other_contexts_is_blamed_itself(tiny_model: DctVae, tmp_path: Path) -> None:
    source, strange = saved(tmp_path / "c.pt", tiny_model, (0, 100)), copy.deepcopy(tiny_model)
    strange.context.norm.spread.mul_(2)  # type: ignore[operator, union-attr]
    export(gather([saved(tmp_path / "s.pt", strange, (0, 100))]), tmp_path / "other", None)
    with pytest.raises(WeightsError, match="its priors were fitted to other contexts") as caught:
        gather([source], [tmp_path / "other"])
    assert caught.value.filename == str(tmp_path / "other")
