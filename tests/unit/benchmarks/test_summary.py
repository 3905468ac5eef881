import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest
from PIL import Image

from hvae_codec.benchmarks.codecs import OURS, OURS_EYE, Codec
from hvae_codec.benchmarks.metrics import ms_ssim_db
from hvae_codec.benchmarks.published import (
    UnknownAnchor,
    choose_anchor,
    curve_names,
    published_beside,
    published_curves,
)
from hvae_codec.benchmarks.report import compressai_results
from hvae_codec.benchmarks.run import Record, run
from hvae_codec.benchmarks.speed import Process, Speed, Timing
from hvae_codec.benchmarks.summary import Waiting, summarise
from hvae_codec.benchmarks.tables import points, rate_distortion
from hvae_codec.benchmarks.whole import Run

NO_TIMES = Speed((), {})

KODAK = [f"kodim{number:02}.png" for number in range(1, 25)]
PUBLISHED = published_curves()


RecordsOn = Callable[..., list[Record]]
KodakRecords = Callable[..., list[Record]]


@pytest.fixture
def kodak_records(records_on: RecordsOn) -> KodakRecords:
    """Makes records that lie on the published curve of BPG."""
    curve = published_curves()["bpg-444"].psnr_curve
    points = [(*point, 0.99) for point in zip(curve.bpp, curve.db, strict=True)]
    return lambda codec, images=KODAK: records_on(points, codec, images)


def test_means_weigh_every_image_alike(own: Codec, paths: list[Path], tmp_path: Path) -> None:
    records = run(paths, [own], tmp_path)
    found = summarise(records, [own], NO_TIMES, anchor=OURS)
    point = found.codecs[0].points[1]
    group = [record for record in records if record.setting == 50]
    assert point.setting == 50
    assert point.psnr_db == pytest.approx(fmean(record.psnr_db for record in group))
    assert point.bpp == pytest.approx(fmean(record.bpp for record in group))


def test_points_go_from_small_files_to_large_ones(own: Codec, records_on: RecordsOn) -> None:
    """Also those of a codec whose setting is a quantiser, or a distance."""
    records = records_on([(2, 38, 0.99), (1, 34, 0.95)], OURS, ["a.png"])[::-1]
    found = summarise(records, [own], NO_TIMES, anchor=OURS)
    assert [(point.setting, point.bpp) for point in found.codecs[0].points] == [(1, 1), (0, 2)]


def test_ms_ssim_is_averaged_before_it_becomes_decibels(own: Codec, records_on: RecordsOn) -> None:
    one, other = records_on([(1, 30, 0.9)], OURS, ["a.png", "b.png"])
    found = summarise([one, replace(other, ms_ssim=0.99)], [own], NO_TIMES, anchor=OURS)
    assert found.codecs[0].points[0].ms_ssim_db == pytest.approx(ms_ssim_db(0.945))


def test_the_same_encoder_has_a_bd_rate_of_zero(
    own: Codec, jpeg: Codec, paths: list[Path], tmp_path: Path
) -> None:
    records = run(paths, [own, jpeg], tmp_path)
    found = summarise(records, [own, jpeg], NO_TIMES, anchor="jpeg", window_db=(0, 99))
    row = found.comparisons[1]
    assert (row.codec, row.published) == ("jpeg", False)
    assert row.ours.rate_percent == pytest.approx(0)
    assert row.ours.db == pytest.approx(0)


def test_both_directions_of_a_comparison(own: Codec, jpeg: Codec, records_on: RecordsOn) -> None:
    curve = [(0.5, 30, 0.9), (1.0, 34, 0.95), (2.0, 38, 0.99)]
    half = [(bpp / 2, psnr, ms_ssim) for bpp, psnr, ms_ssim in curve]
    records = records_on(half, OURS, ["a.png"]) + records_on(curve, "jpeg", ["a.png"])
    ours, theirs = summarise(records, [own, jpeg], NO_TIMES, anchor="jpeg").comparisons
    assert ours.against_anchor.rate_percent == pytest.approx(-50)
    assert theirs.against_anchor.rate_percent == pytest.approx(0)
    assert theirs.ours.rate_percent == pytest.approx(-50)
    assert theirs.ours_ms_ssim and theirs.ours_ms_ssim.rate_percent == pytest.approx(-50)
    turned = summarise(records, [own, jpeg], NO_TIMES, anchor=OURS).comparisons[1]
    assert turned.against_anchor.rate_percent == pytest.approx(100)


def test_scores_for_the_eye_are_those_of_the_files_for_the_eye(
    own: Codec, jpeg: Codec, records_on: RecordsOn
) -> None:
    curve = [(0.5, 30, 0.9), (1.0, 34, 0.95), (2.0, 38, 0.99)]
    half = [(bpp / 2, psnr, ms_ssim) for bpp, psnr, ms_ssim in curve]
    records = [
        *records_on(curve, OURS, ["a.png"]),
        *records_on(half, OURS_EYE, ["a.png"]),
        *records_on(curve, "jpeg", ["a.png"]),
    ]
    codecs = [own, replace(own, name=OURS_EYE), jpeg]
    rows = summarise(records, codecs, NO_TIMES, anchor="jpeg").comparisons
    for row in (rows[0], rows[2]):
        assert row.ours.rate_percent == pytest.approx(0)
        assert row.ours_ssimulacra2 and row.ours_ssimulacra2.rate_percent == pytest.approx(-50)
        assert row.ours_butteraugli and row.ours_butteraugli.rate_percent == pytest.approx(-50)
    assert rows[1].ours_butteraugli is None  # that is the same codec


def test_kodak_is_compared_with_published_curves(own: Codec, kodak_records: KodakRecords) -> None:
    records = kodak_records(OURS)
    found = summarise(records, [own], NO_TIMES, anchor="bpg-444", published=PUBLISHED)
    rows = {row.codec: row for row in found.comparisons}
    assert rows["bpg-444"].published
    assert rows["bpg-444"].ours.rate_percent == pytest.approx(0)
    assert rows["vtm-9.1"].ours.rate_percent > 20
    assert rows["vtm-9.1"].ours_ms_ssim
    assert rows["elic2022"].ours_ms_ssim is None  # its authors published PSNR alone


def test_kodak_is_known_by_names_and_sizes(own: Codec, jpeg: Codec, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in KODAK]
    for number, path in enumerate(paths):
        Image.new("L", (512, 768) if number % 5 else (768, 512)).save(path)
    beside = published_beside([own, jpeg, replace(jpeg, name="webp", times_only=True)], paths)
    assert beside.keys() == PUBLISHED.keys() - {"jpeg"}  # which is measured
    assert curve_names([own, jpeg], beside) == [OURS, "jpeg", *beside]
    assert not published_beside([own], paths[1:])
    Image.new("L", (384, 256)).save(paths[7])  # a part of it
    assert not published_beside([own], paths)


def test_a_model_with_random_weights_lends_its_times_only(
    own: Codec, jpeg: Codec, kodak_records: KodakRecords
) -> None:
    model = replace(jpeg, name="mbt2018-mean", times_only=True)
    timings = [
        Timing(model.name, 4, k, "a.png", 0.4, s, 2 * s, 3 * s) for k, s in enumerate((1, 2, 9))
    ]
    speed = Speed(tuple(timings), {model.name: Process(2.0, None)})
    found = summarise(
        kodak_records(OURS), [own, model], speed, anchor="mbt2018-mean", published=PUBLISHED
    )
    timed = found.codecs[1]
    assert not timed.points
    assert (timed.seconds.encode_s, timed.seconds.decode_s) == (2, 4)  # the median, not the mean
    assert timed.seconds.encode_mps == pytest.approx(0.2)
    assert timed.seconds.cores == pytest.approx(1)
    row = next(row for row in found.comparisons if row.codec == model.name)
    assert row.published
    assert math.isnan(found.codecs[0].seconds.encode_s)  # that one was not timed


def test_whole_processes_count_by_their_medians(own: Codec, records_on: RecordsOn) -> None:
    runs = tuple(
        Run(OURS, 50, number, "a.png", 0.4, process, factor * seconds, 100 * seconds)
        for process, factor in (("encode", 1), ("decode", 2))
        for number, seconds in enumerate((3.0, 1.0, 9.0))
    )
    records = records_on([(1, 30, 0.9)], OURS, ["a.png"])
    speed = Speed((), {}, runs, installed_mib=226.0)
    found = summarise(records, [own], speed, anchor=OURS)
    assert found.codecs[0].waiting == {"encode": Waiting(3, 300), "decode": Waiting(6, 300)}
    assert found.installed_mib == 226
    nothing = summarise(records, [own], NO_TIMES, anchor=OURS)
    assert (nothing.codecs[0].waiting, nothing.installed_mib) == ({}, None)


def test_the_anchor_is_jpeg_or_what_is_asked_for() -> None:
    assert choose_anchor(None, [OURS, "webp", "jpeg"]) == "jpeg"
    assert choose_anchor(None, [OURS, "webp"]) == "webp"
    assert choose_anchor(None, [OURS]) == OURS
    assert choose_anchor("webp", [OURS, "webp"]) == "webp"
    with pytest.raises(UnknownAnchor, match="anchor 'gif' is not one of hvae-codec-psnr, webp"):
        choose_anchor("gif", [OURS, "webp"])


def test_an_exact_image_counts_for_no_psnr(own: Codec, jpeg: Codec, records_on: RecordsOn) -> None:
    curve = [(0.5, 30, 0.9), (1.0, 34, 0.95), (2.0, 38, 0.99)]
    records = records_on(curve, OURS, ["a.png", "b.png"])
    records += records_on(curve, "jpeg", ["a.png", "b.png"])
    records = [
        replace(record, bpp=9.0, psnr_db=math.inf)
        if (record.codec, record.image) == (OURS, "b.png")
        else record
        for record in records
    ]
    found = summarise(records, [own, jpeg], NO_TIMES, anchor="jpeg")
    assert found.exact == ("b.png",)
    ours, theirs = found.comparisons
    assert ours.against_anchor.rate_percent == pytest.approx(0)
    assert theirs.ours.rate_percent == pytest.approx(0)
    assert [point.psnr_db for point in found.codecs[0].points] == [30, 34, 38]
    assert found.codecs[0].points[0].bpp == pytest.approx((0.5 + 9) / 2)  # all count for that
    note = rate_distortion(found).notes[0]
    assert "PSNR, and the bits that it is held against, leave out b.png: some codec" in note
    assert "psnr-rgb" not in compressai_results(found.codecs[0])["results"]


def test_names_of_images_are_no_formats(own: Codec, records_on: RecordsOn) -> None:
    curve = [(0.5, 30, 0.9), (1.0, 34, 0.95), (2.0, 38, 0.99)]
    records = records_on(curve, OURS, ["a.png", "{b}.png"])
    records[-1] = replace(records[-1], psnr_db=math.inf)
    found = summarise(records, [own], NO_TIMES, anchor=OURS)
    assert "leave out {b}.png: some codec" in rate_distortion(found).notes[0]


def test_a_lossless_setting_leaves_no_image_out(own: Codec, records_on: RecordsOn) -> None:
    curve = [(0.5, 30, 0.9), (1.0, 34, 0.95), (2.0, math.inf, 1)]
    found = summarise(records_on(curve, OURS, ["a.png", "b.png"]), [own], NO_TIMES, anchor=OURS)
    assert not found.exact
    assert [point.psnr_db for point in found.codecs[0].points] == [30, 34, math.inf]
    assert "PSNR is infinite (inf): BD-rate passes over such" in rate_distortion(found).notes[0]


def test_a_small_image_says_why_means_are_missing(own: Codec, records_on: RecordsOn) -> None:
    curve = [(0.5, 30, 0.9), (1.0, 34, 0.95)]
    records = records_on(curve, OURS, ["a.png", "b.png"])
    assert "(–)" not in points(summarise(records, [own], NO_TIMES, anchor=OURS)).notes[0]
    records[-1] = replace(records[-1], ms_ssim=math.nan, ssim=math.nan)
    found = summarise(records, [own], NO_TIMES, anchor=OURS)
    for table in (rate_distortion(found), points(found)):
        assert "than some image has, in pixels: 161 for MS-SSIM, 11 for SSIM." in table.notes[0]


def test_one_image_is_no_plural(own: Codec, records_on: RecordsOn) -> None:
    found = summarise(records_on([(1, 30, 0.9)], OURS, ["a.png"]), [own], NO_TIMES, anchor=OURS)
    assert rate_distortion(found).notes[0].startswith("Means over 1 image; bits are")
