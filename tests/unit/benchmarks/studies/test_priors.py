from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hvae_codec.benchmarks.bjontegaard_delta import Curve
from hvae_codec.benchmarks.studies import context_alone, priors
from hvae_codec.codec.networks.weights import Codec, load_codec


def row(prior: str, quality: int, context_bytes: int) -> priors.Row:
    return priors.Row("a", 8000, quality, prior, 500 + 9 * quality + context_bytes, context_bytes,
                      context_bytes / 1.01, 25 + quality / 8, 0.004, 0.008)  # fmt: skip


def test_the_table_compares_with_the_factorised_prior() -> None:
    sizes = {"masked-diffusion": 80, "factorised": 100}
    rows = [row(name, q, size) for name, size in sizes.items() for q in priors.QUALITIES]
    lines = priors.table("Some", rows).splitlines()
    masked, factorised = (line.split(" | ") for line in lines[-2:])
    assert masked[1:6] == ["0.0800"] * 5
    assert masked[6] == "-20.0 %"
    assert masked[7].startswith("-")
    assert masked[8:] == ["+1.00 %", "0.50", "1.00 |"]
    assert factorised[6:8] == ["+0.0 %", "+0.00 %"]


def test_qualities_at_which_a_file_is_refused_are_left_out() -> None:
    rows = [row("factorised", q, 100) for q in priors.QUALITIES]
    rows += [row("gaussian-diffusion, T = 50", q, 90) for q in priors.QUALITIES[1:]]
    cells = priors.table("Some", rows).splitlines()[-1].split(" | ")
    assert cells[1:7] == ["refused", *["0.0900"] * 4, "-10.0 %"]
    assert -20 < float(cells[7].removesuffix(" %")) < 0


def test_a_prior_that_was_refused_at_every_quality_has_a_line() -> None:
    rows = [row("factorised", q, 100) for q in priors.QUALITIES]
    rows += [row("mixture", q, 90) for q in priors.QUALITIES]
    others = [replace(each, image="b") for each in rows if each.prior == "factorised"]
    line = priors.table("Some", rows + others).splitlines()[-1]
    assert line == f"| mixture | {' | '.join(['refused'] * 5)} | | | | | |"


@pytest.mark.slow
def test_one_command_writes_table_plot_and_sheet(
    tiny_codec: Codec, photograph: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(priors, "QUALITIES", (10, 60))
    monkeypatch.setattr(priors, "load_codec", lambda **options: tiny_codec)
    for place in ("encode.load_codec", "decode.codec_for"):
        name = f"hvae_codec.codec.{place}"
        monkeypatch.setattr(name, lambda *found, **options: tiny_codec)
    folder, page = tmp_path / "pictures", tmp_path / "page.md"
    folder.mkdir()
    for width, name in ((96, "a.png"), (64, "a.webp")):
        Image.fromarray(photograph[256:320, :width]).save(folder / name)
    page.write_text(f"before {priors.BEGIN} old {priors.END} after")
    out, plot = tmp_path / "out", tmp_path / "plot.png"
    priors.main([str(folder), "--out", str(out), "--markdown", str(page), "--plot", str(plot)])
    text = page.read_text()
    assert text.startswith("before ") and text.endswith(" after")
    assert "old" not in text
    assert "Pictures, 2 images." in text
    assert "| masked-diffusion |" in text and "refused" not in text
    rows, alone = priors.measure(tiny_codec, folder / "a.png")
    assert [r.quality for r in rows] == [p.setting for p in alone] == [10, 60]
    assert "| 10 | " in text
    for point, r in zip(alone, rows, strict=True):
        assert 8 * r.context_bytes < point.bpp * r.pixels < 8 * r.file_bytes
    assert plot.stat().st_size > 1000
    with Image.open(out / "sheet.png") as sheet:
        assert sheet.size == (7 * 256, 2 * 256)


@pytest.mark.slow
def test_the_gaussian_diffusion_is_measured_net_of_what_it_borrows(
    shipped: Path, photograph: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(priors, "QUALITIES", (1, 80))
    monkeypatch.setattr(priors, "DIFFUSION_STEPS", (20, 50))
    grain = np.random.default_rng(0).integers(0, 16, (128, 160, 3))
    grainy = np.clip(photograph[:128, :160] + grain, 0, 255).astype(np.uint8)
    Image.fromarray(grainy).save(tmp_path / "a.png")
    codec = load_codec(shipped)
    rows, _ = priors.measure(codec, tmp_path / "a.png", diffusion=True)
    names = [f"gaussian-diffusion, T = {steps}" for steps in (20, 50)]
    sizes = {r.prior: r.context_bytes for r in rows if r.quality == 80}
    assert sizes[names[0]] > sizes[names[1]] > sizes["masked-diffusion"]
    diffusion = [r for r in rows if r.prior == names[1]]
    assert [r.quality for r in diffusion] == [80]  # too little to borrow from at quality 1
    assert diffusion[0].context_bytes == pytest.approx(diffusion[0].bound_bytes, rel=0.1)


def test_a_context_beyond_jpegs_points_says_so() -> None:
    context = Curve((0.1, 0.2, 0.3), (19.0, 25.0, 31.0))
    lines = context_alone.against_jpeg([1, 2, 3], context, Curve((0.5, 1.0), (20.0, 30.0)))
    cells = [line.split(" | ")[-1] for line in lines.splitlines()[2:]]
    assert cells == ["< 0.5000 |", "0.7500 |", "> 1.0000 |"]
