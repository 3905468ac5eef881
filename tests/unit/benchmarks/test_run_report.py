import csv
import json
import math
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest
from PIL import Image

from hvae_codec.benchmarks import report, summary
from hvae_codec.benchmarks.peers import PEERS
from hvae_codec.benchmarks.run import OURS, Record, run

JPEG = replace(PEERS["jpeg"], settings=(20, 50, 80))
OWN = replace(JPEG, name=OURS, description="JPEG in our place", suffix=".hvae")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    images = tmp_path / "images"
    images.mkdir()
    noise = Image.effect_noise((40, 24), 60)
    noise.convert("RGB").save(images / "b.png")
    noise.rotate(90, expand=True).save(images / "a.png")
    (images / "notes.txt").write_text("no image")
    return images


def test_sizes_are_those_of_files_on_disk(folder: Path, tmp_path: Path) -> None:
    records = run(folder, [OWN, JPEG], tmp_path)
    assert len(records) == 2 * 2 * 3
    assert [record.image for record in records[:6]] == ["a.png"] * 6
    for record in records:
        suffix = ".hvae" if record.codec == OURS else ".jpg"
        file = tmp_path / "files" / record.codec / str(record.setting) / (record.image + suffix)
        assert file.stat().st_size == record.file_bytes
        assert record.bpp == 8 * record.file_bytes / (40 * 24)


def test_codecs_take_turns(folder: Path, tmp_path: Path) -> None:
    few = replace(OWN, settings=(50,))
    order = [record.codec for record in run(folder, [JPEG, few], tmp_path)[:4]]
    assert order == ["jpeg", OURS, "jpeg", "jpeg"]


def test_a_damaged_image_is_named(folder: Path, tmp_path: Path) -> None:
    (folder / "c.png").write_bytes(b"no image")
    with pytest.raises(OSError, match="cannot be read as an image") as caught:
        run(folder, [JPEG], tmp_path)
    assert caught.value.filename == str(folder / "c.png")


def test_means_weigh_every_image_alike(folder: Path, tmp_path: Path) -> None:
    records = run(folder, [OWN], tmp_path)
    point = summary.summarise(records).codecs[0].points[1]
    group = [record for record in records if record.setting == 50]
    assert point.setting == 50
    assert point.psnr_db == pytest.approx(fmean(record.psnr_db for record in group))
    assert point.bpp == pytest.approx(fmean(record.bpp for record in group))


def test_the_same_encoder_has_a_bd_rate_of_zero(folder: Path, tmp_path: Path) -> None:
    found = summary.summarise(run(folder, [OWN, JPEG], tmp_path))
    (row,) = found.comparisons
    assert (row.anchor, row.published) == ("jpeg", False)
    assert row.bd_rate_percent == pytest.approx(0)
    assert "jpeg" in report.table(found)


def test_files_of_a_report(folder: Path, tmp_path: Path) -> None:
    records = run(folder, [OWN, JPEG], tmp_path)
    report.write(tmp_path, records, summary.summarise(records))

    results = json.loads((tmp_path / "jpeg.json").read_text())
    assert set(results) == {"name", "description", "results"}
    assert set(results["results"]) == {"bpp", "psnr-rgb", "encoding_time", "decoding_time"}
    assert all(len(column) == 3 for column in results["results"].values())

    rows = list(csv.DictReader((tmp_path / "images.csv").open()))
    assert len(rows) == len(records)
    assert int(rows[0]["file_bytes"]) == records[0].file_bytes
    assert "<svg" in (tmp_path / "rd.svg").read_text()
    assert Image.open(tmp_path / "rd.png").format == "PNG"


def test_compressai_reads_the_results(folder: Path, tmp_path: Path) -> None:
    plot = pytest.importorskip("compressai.utils.plot.__main__")
    found = summary.summarise(run(folder, [OWN], tmp_path))
    path = tmp_path / "own.json"
    path.write_text(json.dumps(report.compressai_results(found.codecs[0])))
    drawn = plot.parse_json_file(path, "psnr")
    assert (drawn["name"], len(drawn["xs"]), len(drawn["ys"])) == (OURS, 3, 3)


def test_lossless_and_missing_ranges_are_null() -> None:
    lossless = Record(OURS, "", 1, "a.png", 8, 8, 8, 1.0, math.inf, 0.1, 0.1)
    lossy = replace(lossless, codec="jpeg", psnr_db=30.0)
    found = summary.summarise([lossless, lossy])
    (row,) = report.as_json(found)["bd_rate"]  # pyright: ignore
    assert row["percent"] is None
    assert "no common range" in report.table(found)


def kodak_records() -> list[Record]:
    """Records that lie on the published curve of JPEG."""
    curve, _ = summary.published_curves()["jpeg"]
    return [
        Record(OURS, "", setting, f"kodim{image:02}.png", 768, 512, 1, bpp, psnr, 0.1, 0.1)
        for image in range(1, 25)
        for setting, (bpp, psnr) in enumerate(zip(curve.bpp, curve.psnr_db, strict=True))
    ]


def test_kodak_is_compared_with_published_curves() -> None:
    records = kodak_records()
    rows = {row.anchor: row for row in summary.summarise(records).comparisons}
    assert rows["jpeg"].published
    assert rows["jpeg"].bd_rate_percent == pytest.approx(0)
    assert rows["vtm-9.1"].window_bd_rate_percent > 100
    assert "vtm-9.1 (published)" in report.table(summary.summarise(records))
    assert not summary.summarise(records[19:]).comparisons  # 23 images are not Kodak
