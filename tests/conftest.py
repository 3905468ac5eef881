"""Weights to test with: an untrained model's, made on the spot, and the shipped ones if there."""

import atexit
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from torch import Tensor

from hvae_codec.bitstream import PmfTables
from hvae_codec.codec.config import PRESETS
from hvae_codec.codec.networks.fetching import SOURCE_VARIABLE
from hvae_codec.codec.networks.threads import THREADS_VARIABLE
from hvae_codec.codec.networks.weight_file import WeightFile, read_weight_file
from hvae_codec.codec.networks.weight_paths import WEIGHTS_VARIABLE, shipped_weights
from hvae_codec.codec.networks.weights import Codec, load_codec
from hvae_codec.codec.symbols.tables import Tables, start_pmfs
from hvae_codec.models.dct_vae import DctVae
from hvae_codec.models.networks.dct import to_ycbcr
from hvae_codec.models.priors import PRIORS
from hvae_codec.models.runtime import TorchRuntime
from hvae_codec.models.weight_models import Weights, models_of, save_weights
from tests.weight_files import save_without_graphs

ROOT = Path(__file__).parents[1]

PRIORS_AT_HAND = [name for name in PRIORS if name != "factorised" or find_spec("compressai")]
"""CompressAI, which fits the factorised one, is not for every Python."""

# How fast the machine is at the moment is no property of the code.
settings.register_profile("any speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any speed")

# Networks and pictures this small gain nothing from threads, and lose much where cores are busy.
torch.set_num_threads(1)
os.environ.setdefault(THREADS_VARIABLE, "1")

# What the user has fetched, or would have fetched, is no part of a test.
os.environ.pop(SOURCE_VARIABLE, None)
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="hvae-codec-tests-")
atexit.register(shutil.rmtree, os.environ["XDG_CACHE_HOME"], ignore_errors=True)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Tests draw the same, in whatever order they run."""
    torch.manual_seed(0)


@pytest.fixture
def heeded_signals() -> Iterator[None]:
    """Ctrl-C and SIGHUP do what they do in a terminal, also under nohup and behind `&`."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def smooth_images(count: int, side: int, generator: torch.Generator) -> Tensor:
    """(count, 3, side, side) in 0...255, with the spectrum of photographs, 1 / frequency."""
    image = torch.full((count, 3, side, side), 128.0)
    for octave in range(side.bit_length()):
        shape = (count, 3, 2**octave + 1, 2**octave + 1)
        noise = torch.randn(shape, generator=generator) * 70 * 0.6**octave
        image += torch.nn.functional.interpolate(noise, (side, side), mode="bilinear")
    return image.clamp(0, 255)


@pytest.fixture(scope="session")
def tiny_model() -> DctVae:
    """An untrained model in float, every path of which matters. Not to be changed: copy it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = DctVae(PRESETS["tiny"])
        generator = torch.Generator().manual_seed(1)
        model.start_from(to_ycbcr(smooth_images(8, 256, generator)))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if not parameter.any() or name.endswith(("knots", "head.weight")):
                    parameter.add_(0.01 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


@pytest.fixture(scope="session")
def pmfs() -> PmfTables:
    """Gaussian pmfs."""
    return start_pmfs()


@pytest.fixture(scope="session")
def tiny_integers(tiny_model: DctVae) -> DctVae:
    """The tiny model with integers where symbols are decided. Not to be changed: copy it."""
    return tiny_model.to_integer()


def weights_of(model: DctVae) -> Weights:
    """What a weight file of one integer model holds."""
    return Weights(model.context, (model.latents,), (0,), start_pmfs())


@pytest.fixture(scope="session")
def integer_weights(tiny_integers: DctVae) -> Weights:
    """What a weight file of the tiny model holds. Not to be changed: copy it."""
    return weights_of(tiny_integers)


@pytest.fixture(scope="session")
def tiny_weights(tiny_integers: DctVae, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weight file without graphs, which take a minute to export: PyTorch runs it."""
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    return save_without_graphs(path, weights_of(tiny_integers))


@pytest.fixture(scope="session")
def tiny_codec(tiny_weights: Path) -> Codec:
    return torch_codec(read_weight_file(tiny_weights))


def torch_codec(file: WeightFile) -> Codec:
    """The networks of a file in PyTorch, which needs no graphs."""
    return Codec(file, Tables(file.pmfs), TorchRuntime(models_of(file), torch.device("cpu")))


@pytest.fixture(scope="session")
def exported_weights(tiny_integers: DctVae, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model's weight file with its graphs; only for tests that are marked slow."""
    path = tmp_path_factory.mktemp("weights") / "exported.safetensors"
    save_weights(path, weights_of(tiny_integers))
    return path


@pytest.fixture(scope="session")
def clouds() -> Tensor:
    """(4, 3, 256, 256) float in 0...255: images like those that the tiny model was made for."""
    return smooth_images(4, 256, torch.Generator().manual_seed(2)).round()


@pytest.fixture
def tiny_in_use(tiny_weights: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the public functions use the tiny weights, in PyTorch."""
    monkeypatch.setattr(
        "hvae_codec.codec.networks.weights.codec_of", lambda file, device: torch_codec(file)
    )
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tiny_weights))
    return tiny_weights


@pytest.fixture(scope="session")
def shipped() -> Path:
    """The weight file of `--tune psnr` (or the one that the environment names)."""
    return shipped_weights("psnr")


@pytest.fixture(scope="session")
def shipped_codec(shipped: Path) -> Codec:
    """The shipped weights in ONNX Runtime: what users have."""
    return load_codec(shipped)


@pytest.fixture(scope="session")
def kodak() -> Path:
    """The 24 images: where the environment says, beside the repository, or in its data folder."""
    shared = ROOT.parent / "shared" / "data" / "kodak"
    there = shared if shared.is_dir() else ROOT / "data" / "kodak"
    folder = Path(os.environ.get("HVAE_CODEC_KODAK") or there)
    if not folder.is_dir():
        pytest.skip("the Kodak images are not at hand")
    return folder


@pytest.fixture(scope="session")
def photograph() -> np.ndarray:
    """(512, 512, 3) uint8; comes with scikit-image, nothing is fetched."""
    data = pytest.importorskip("skimage.data")
    pixels = np.ascontiguousarray(data.astronaut())
    pixels.setflags(write=False)
    return pixels
