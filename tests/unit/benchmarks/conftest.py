from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest
from PIL import Image

from hvae_codec.benchmarks import whole
from hvae_codec.benchmarks.codecs import OURS, Codec
from hvae_codec.benchmarks.peers import PEERS
from hvae_codec.benchmarks.run import Record


@pytest.fixture(autouse=True)
def few_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole, "RUNS", 1)


@pytest.fixture(scope="session")
def jpeg() -> Codec:
    return replace(PEERS["jpeg"](), settings=(20, 50, 80))


@pytest.fixture(scope="session")
def own(jpeg: Codec) -> Codec:
    """JPEG in the place of this codec: it has a rate and a distortion without any weights."""
    return replace(jpeg, name=OURS, description="JPEG in our place", suffix=".hvae")


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "images"
    folder.mkdir()
    noise = Image.effect_noise((40, 24), 60)
    noise.convert("RGB").save(folder / "b.png")
    noise.rotate(90, expand=True).save(folder / "a.png")
    return sorted(folder.iterdir())


class RecordsOn(Protocol):
    def __call__(
        self, curve: Iterable[tuple[float, float, float]], codec: str, images: Iterable[str]
    ) -> list[Record]: ...


@pytest.fixture
def records_on() -> RecordsOn:
    """Makes records of a codec on a curve of bpp, PSNR and MS-SSIM, the same for every image."""

    def records(
        curve: Iterable[tuple[float, float, float]], codec: str, images: Iterable[str]
    ) -> list[Record]:
        return [
            Record(
                codec,
                "",
                "",
                setting,
                image,
                "0",
                768,
                512,
                1,
                bpp,
                psnr,
                psnr,
                ms_ssim,
                0.9,
                2 * psnr,
                40 / psnr,
            )
            for setting, (bpp, psnr, ms_ssim) in enumerate(curve)
            for image in images
        ]

    return records
