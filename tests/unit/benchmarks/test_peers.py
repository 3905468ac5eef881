import io
import pickle

import numpy as np
import pytest
from PIL import Image

from hvae_codec.benchmarks.codecs import Absent
from hvae_codec.benchmarks.compressai_models import NAMES
from hvae_codec.benchmarks.metrics import psnr_rgb
from hvae_codec.benchmarks.peers import PEERS


@pytest.fixture(scope="module")
def image() -> Image.Image:
    wave = 127 + 120 * np.sin(np.arange(64) / 5)
    plane = np.add.outer(wave, wave) / 2
    return Image.fromarray(np.stack([plane, plane.T[::-1], 255 - plane], 2).astype(np.uint8))


@pytest.mark.parametrize("name", [name for name in PEERS if name not in NAMES])
def test_more_bytes_are_more_decibels(name: str, image: Image.Image) -> None:
    try:
        codec = pickle.loads(pickle.dumps(PEERS[name]()))  # it must reach other processes
    except Absent as absent:
        pytest.skip(str(absent))
    sizes, psnrs = [], []
    for setting in (codec.settings[0], codec.settings[-1]):
        assert setting in codec.accepts
        data = codec.encode(image, setting)
        sizes.append(len(data))
        psnrs.append(psnr_rgb(np.asarray(image), np.asarray(codec.decode(data))))
    assert sizes[0] < sizes[1]
    assert psnrs[0] < psnrs[1]


@pytest.mark.parametrize(
    ("name", "luma"), [("jpeg", (2, 2)), ("jpeg-444", (1, 1)), ("jpegli", (2, 2))]
)
def test_jpeg_subsamples_as_it_says(name: str, luma: tuple[int, int], image: Image.Image) -> None:
    file = Image.open(io.BytesIO(PEERS[name]().encode(image, 75)))
    assert file.format == "JPEG"
    # sampling factors of Y, Cb, Cr: horizontal, vertical
    assert [layer[1:3] for layer in file.layer] == [luma, (1, 1), (1, 1)]  # pyright: ignore


def test_a_peer_decodes_no_other_format(image: Image.Image) -> None:
    with pytest.raises(OSError, match="cannot identify"):
        PEERS["jpeg"]().decode(PEERS["webp"]().encode(image, 50))


def test_an_absent_peer_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.features.check", lambda feature: False)
    with pytest.raises(Absent, match=r"Pillow .* was built without it"):
        PEERS["avif"]()
    monkeypatch.setitem(__import__("sys").modules, "pillow_jxl", None)
    with pytest.raises(Absent, match="pip install pillow-jxl-plugin"):
        PEERS["jpegxl"]()


def test_avif_names_the_encoder_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    avif = pytest.importorskip("PIL._avif")
    for versions in ("dav1d [dec]:1.5, aom [enc]:3.14.1", "aom [enc/dec]:3.14.1, rav1e [enc]:0.7"):
        monkeypatch.setattr(avif, "codec_versions", lambda found=versions: found)
        assert "libaom 3.14.1, speed 6" in PEERS["avif"]().description
    monkeypatch.setattr(avif, "codec_versions", lambda: "aom [dec]:3.14.1, rav1e [enc]:0.7")
    with pytest.raises(Absent, match="without libaom"):
        PEERS["avif"]()
