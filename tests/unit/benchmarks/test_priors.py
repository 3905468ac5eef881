from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hvae_codec.benchmarks import priors
from hvae_codec.codec.weights import load_codec


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


def test_one_command_writes_table_plot_and_sheet(
    tiny_in_use: Path, photograph: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(priors, "QUALITIES", (10, 60))
    folder, page = tmp_path / "pictures", tmp_path / "page.md"
    folder.mkdir()
    for top in (0, 256):
        Image.fromarray(photograph[top : top + 64, :96]).save(folder / f"{top}.png")
    page.write_text(f"before {priors.BEGIN} old {priors.END} after")
    out, plot = tmp_path / "out", tmp_path / "plot.png"
    priors.main([str(folder), "--out", str(out), "--markdown", str(page), "--plot", str(plot)])
    text = page.read_text()
    assert text.startswith("before ") and text.endswith(" after")
    assert "old" not in text
    assert "| masked-diffusion |" in text
    rows, alone = priors.measure(load_codec(), folder / "0.png")
    assert [r.quality for r in rows] == [p.setting for p in alone] == [10, 60]
    assert "| 10 | " in text
    for point, r in zip(alone, rows, strict=True):
        assert 8 * r.context_bytes < point.bpp * r.pixels < 8 * r.file_bytes
    assert plot.stat().st_size > 1000
    with Image.open(out / "sheet.png") as sheet:
        assert sheet.size == (7 * 96, 2 * 64)
