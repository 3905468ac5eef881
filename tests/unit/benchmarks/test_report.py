import base64
import csv
import io
import json
import math
import os
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hvae_codec.benchmarks import crops, report, speed, whole
from hvae_codec.benchmarks.codecs import OURS, Codec
from hvae_codec.benchmarks.metrics import bits_per_pixel
from hvae_codec.benchmarks.run import Record, run
from hvae_codec.benchmarks.summary import Waiting, summarise

NO_TIMES = speed.Speed((), {})


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two smooth images, large enough for MS-SSIM."""
    folder = tmp_path_factory.mktemp("photos")
    ramp = np.arange(180)
    for name, period in (("a", 7), ("b", 13)):
        wave = 127 + 100 * np.sin(np.add.outer(ramp, 2 * ramp) / period)
        noise = np.random.default_rng(0).normal(0, 6, (*wave.shape, 3))
        pixels = (wave[..., None] + noise).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a report lies."""
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def written(own: Codec, jpeg: Codec, photos: list[Path], folder: Path) -> report.Report:
    own = replace(own, settings=(15, 45, 85), accepts=range(1, 101))
    records = run(photos, [own, jpeg], folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whole, "RUNS", 1)
        times = speed.measure(photos, [own, jpeg], rounds=1)
    pictures = crops.make(photos, [own, jpeg], records, jobs=1)
    found = summarise(records, [own, jpeg], times, anchor="jpeg", window_db=(10, 60))
    made = report.Report(found, records, times, {"processor": "<one>"}, "hvae-codec x", pictures)
    report.write(folder, made, folder / "docs" / "benchmark.md")
    return made


def test_files_of_a_report(written: report.Report, folder: Path) -> None:
    results = json.loads((folder / "jpeg.json").read_text())
    assert set(results) == {"name", "description", "results"}
    assert set(results["results"]) == {
        "bpp", "psnr-rgb", "ms-ssim-rgb", "encoding_time", "decoding_time",
    }  # fmt: skip
    assert all(len(column) == 3 for column in results["results"].values())

    rows = list(csv.DictReader((folder / "images.csv").open()))
    assert len(rows) == len(written.records) == 12
    assert int(rows[0]["file_bytes"]) == written.records[0].file_bytes
    timed = list(csv.DictReader((folder / "speed.csv").open()))
    assert [row["process"] for row in timed] == [""] * 6 + ["encode", "decode"] * 2
    for row in timed:
        warm = not row["process"]
        assert [bool(row[name]) for name in ("encode_s", "decode_s", "cpu_s")] == [warm] * 3
        assert [bool(row[name]) for name in ("seconds", "peak_mib")] == [not warm] * 2
    found = json.loads((folder / "summary.json").read_text())
    for codec in found["codecs"]:
        assert {*codec["waiting"]} == {"encode", "decode"}
        assert codec["waiting"]["encode"]["seconds"] > 0
    assert found["installed_mib"] > 10

    for name in ("rd_psnr", "rd_ms_ssim", "rd_ssimulacra2", "speed"):
        assert "<svg" in (folder / f"{name}.svg").read_text()
        assert Image.open(folder / f"{name}.png").format == "PNG"


def test_tables_say_what_a_reviewer_asks(written: report.Report) -> None:
    text = report.text(written)
    for word in ("BD-rate to jpeg", "BD-PSNR", "start-up s", "peak MiB", "medians", "cores busy"):
        assert word in text
    assert re.search(r"^jpeg +\+0\.0 %", text, re.MULTILINE)


def test_what_a_person_waits_for_stands_under_one_heading(
    written: report.Report, tmp_path: Path
) -> None:
    processes = {
        "encode": Waiting(1.234, 250.0),
        "decode": Waiting(0.5, 180.0),
        "info": Waiting(0.21, 70.0),
        "--help": Waiting(0.08, 23.0),
    }
    own, jpeg = written.summary.codecs
    summary = replace(
        written.summary, codecs=(replace(own, waiting=processes), jpeg), installed_mib=226.4
    )
    report.write(tmp_path, replace(written, summary=summary), tmp_path / "b.md")
    text = (tmp_path / "b.md").read_text()
    (part,) = (part for part in text.split("\n## ") if part.startswith("What a person waits for"))
    assert re.search(r"^\| hvae-codec-psnr \| 1\.23 \| 250 \| 0\.50 \| 180 \|$", part, re.MULTILINE)
    assert re.search(r"^\| jpeg \| \d+\.\d\d \| \d+ \| \d+\.\d\d \| \d+ \|$", part, re.MULTILINE)
    assert "On <one>: whole processes" in part
    assert "`hvae-codec info` takes 0.21 s and 70 MiB." in part
    assert "`hvae-codec --help` takes 0.08 s and 23 MiB." in part
    assert "takes 226 MiB of site-packages" in part
    page = (tmp_path / "index.html").read_text()
    (part,) = (part for part in page.split("<h2>") if part.startswith("What a person waits for"))
    for words in ("<td>1.23</td><td>250</td>", "On &lt;one&gt;: whole", "226 MiB of site-packages"):
        assert words in part


def test_markdown_links_what_lies_there(written: report.Report, folder: Path) -> None:
    docs = folder / "docs"
    text = (docs / "benchmark.md").read_text()
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) == 6
    assert all((docs / link).is_file() for link in links)
    assert "![rate and PSNR](../rd_psnr.svg)" in text
    assert "compressai.utils.plot -f ../hvae-codec-psnr.json ../jpeg.json\n" in text
    assert "```sh\nhvae-codec x\n```" in text


def test_names_that_are_no_utf_8_are_written(
    own: Codec, records_on: Callable[..., list[Record]], tmp_path: Path
) -> None:
    """They ended the benchmark after all was measured."""
    odd = os.fsdecode(b"a\xe9\x1b[2J.png")
    records = records_on([(2, 34, 0.95)], OURS, [odd, "b.png"])
    records[-2] = replace(records[-2], bpp=9.0, psnr_db=math.inf)
    found = summarise(records, [own], NO_TIMES, anchor=OURS)
    assert found.exact == (odd,)
    picture = crops.Picture(odd, crops.Goal("bpp", 1), ())
    made = report.Report(found, records, NO_TIMES, {}, f"hvae-codec benchmark {odd}", [picture])
    report.write(tmp_path, made, tmp_path / "b.md")
    rows = csv.DictReader((tmp_path / "images.csv").open(encoding="utf-8"))
    assert {row["image"] for row in rows} == {"a\\udce9\x1b[2J.png", "b.png"}
    for name in ("index.html", "b.md"):
        assert r"a\udce9" in (tmp_path / name).read_text("utf-8")
    assert report.text(made).replace("\n", "").isprintable()  # no terminal obeys a name
    # CompressAI's plot draws means over all images, and of these there is none
    assert "compressai.utils.plot" not in (tmp_path / "b.md").read_text("utf-8")


class Page(HTMLParser):
    """Collects what a page refers to, and what its buttons show."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.captions: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "href", "data-src"):
                self.sources.append(value or "")
            elif name == "data-text":
                self.captions.append(value or "")


def test_the_page_needs_no_other_file(written: report.Report, folder: Path) -> None:
    text = (folder / "index.html").read_text()
    page = Page()
    page.feed(text)
    assert len(written.pictures) > 2  # both images, at more than one rate
    assert len(page.sources) == 4 + 3 * len(written.pictures)  # plots; original and two codecs
    assert all(source.startswith("data:image/") for source in page.sources)
    assert "@import" not in text and "url(" not in text
    assert "&lt;one&gt;" in text  # escaped
    assert page.captions[0] == "original"
    assert re.fullmatch(
        r"hvae-codec-psnr, setting \d+: \d\.\d{3} bpp, \d+\.\d\d dB, SSIMULACRA2 -?\d+\.\d",
        page.captions[1],
    )


@pytest.mark.slow
def test_crops_are_of_equal_bits_or_scores(
    jpeg: Codec, own: Codec, photos: list[Path], tmp_path: Path
) -> None:
    own = replace(own, settings=(40,), accepts=(40,))
    records = run(photos, [own, jpeg], tmp_path)
    pictures = crops.make(photos, [own, jpeg], records, jobs=1)
    assert {picture.goal.measure for picture in pictures} == {"bpp", "ssimulacra2"}
    for picture in pictures:
        original, ours, theirs = picture.crops
        assert original.bpp is None
        if picture.goal.measure == "bpp":
            # JPEG stands for both: at equal bits it finds the setting that our stand-in has
            assert (theirs.setting, theirs.bpp) == (40, ours.bpp)
            assert theirs.png == ours.png != original.png
            continue
        (path,) = (photo for photo in photos if photo.name == picture.image)
        assert theirs.setting is not None
        for setting in (theirs.setting - 1, theirs.setting + 1):
            (near,) = crops._crops_of(replace(jpeg, accepts=(setting,)), path, [picture.goal], {})
            off = [abs((crop.ssimulacra2 or 0) - picture.goal.value) for crop in (theirs, near)]
            assert off == sorted(off)


def test_pictures_too_small_for_a_score_are_of_equal_bits_alone(
    jpeg: Codec, photos: list[Path], tmp_path: Path
) -> None:
    records = [replace(r, ssimulacra2=math.nan) for r in run(photos, [jpeg], tmp_path)]
    pictures = crops.make(photos, [jpeg], records, jobs=1)
    assert {picture.goal.measure for picture in pictures} == {"bpp"}


def test_the_place_to_look_at_lies_within_the_image() -> None:
    """A small image by a name of Kodak's was shown black."""
    for size in ((96, 64), (400, 300), (768, 512)):
        url = crops._part(Image.new("RGB", size, "red"), Path("kodim13.png"))
        with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as shown:
            assert shown.size == tuple(map(min, size, crops.SIZE_PX))
            assert shown.getcolors() == [(shown.width * shown.height, (255, 0, 0))]


def test_a_rate_out_of_reach_gets_the_nearest_file(jpeg: Codec, photos: list[Path]) -> None:
    image = Image.open(photos[0])
    for bpp, setting in ((0.0, 1), (99.0, 100)):
        (crop,) = crops._crops_of(jpeg, photos[0], [crops.Goal("bpp", bpp)], {})
        assert crop.setting == setting
        assert crop.bpp == bits_per_pixel(len(jpeg.encode(image, setting)), *image.size)


def test_what_was_measured_is_not_coded_again_to_find_a_setting(
    jpeg: Codec, photos: list[Path], tmp_path: Path
) -> None:
    """A slow encoder takes minutes for what the measurements tell."""
    tried = list[int]()

    def encode(image: Image.Image, setting: int) -> bytes:
        tried.append(setting)
        return jpeg.encode(image, setting)

    jpeg_40_44 = replace(jpeg, settings=(40, 44))
    records = [r for r in run(photos, [jpeg_40_44], tmp_path) if r.image == photos[0].name]
    measured = {record.setting: record for record in records}
    bpp = bits_per_pixel(len(jpeg.encode(Image.open(photos[0]), 42)), *Image.open(photos[0]).size)
    goals = [crops.Goal("bpp", bpp), crops.Goal("bpp", measured[44].bpp)]
    found = crops._crops_of(replace(jpeg, encode=encode), photos[0], goals, measured)
    assert [crop.setting for crop in found] == [42, 44]
    assert sorted(tried) == sorted({*tried})
    assert {*tried} <= {41, 42, 43, 44}


@pytest.mark.parametrize("metric", ["psnr", "ms-ssim"])
def test_compressai_draws_the_results(
    written: report.Report, metric: str, folder: Path, tmp_path: Path
) -> None:
    plot = pytest.importorskip("compressai.utils.plot.__main__")
    files = [str(folder / f"{name}.json") for name in (OURS, "jpeg")]
    plot.main(["-f", *files, "-m", metric, "-o", str(tmp_path / "theirs.png")])
    assert Image.open(tmp_path / "theirs.png").format == "PNG"
    drawn = plot.parse_json_file(files[0], metric)
    assert (drawn["name"], len(drawn["xs"]), len(drawn["ys"])) == (OURS, 3, 3)


def test_what_does_not_exist_is_null_and_left_out(
    own: Codec, jpeg: Codec, records_on: Callable[..., list[Record]]
) -> None:
    lossless = records_on([(1, math.inf, math.nan)], OURS, ["a.png"])
    lossy = records_on([(1, 30, math.nan)], "jpeg", ["a.png"])
    records: list[Record] = lossless + lossy
    found = summarise(records, [own, jpeg], NO_TIMES, anchor="jpeg")
    made = report.Report(found, records, NO_TIMES, {}, "", [])
    content = json.loads(json.dumps(report.as_json(made), allow_nan=False))
    assert content["comparisons"][1]["ours"] == {
        "rate_percent": None, "db": None, "range_db": None,
    }  # fmt: skip
    results = report.compressai_results(found.codecs[1])["results"]
    assert set(results) == {"bpp", "psnr-rgb"}
    assert "–" in report.text(made)
