import json
import math
import os
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from hvae_codec.benchmarks import metrics
from hvae_codec.benchmarks.codecs import OURS, Codec, that_code
from hvae_codec.benchmarks.run import CACHE, parallel, read_image, run


def no_encoder(image: Image.Image, setting: int) -> bytes:
    raise AssertionError("this was measured before")


def refuse(image: Image.Image, setting: int) -> bytes:
    raise ValueError("too wide")


def test_sizes_are_those_of_files_on_disk(
    own: Codec, jpeg: Codec, paths: list[Path], tmp_path: Path
) -> None:
    records = run(paths, [own, jpeg], tmp_path)
    assert len(records) == 2 * 2 * 3
    for record in records:
        suffix = ".hvae" if record.codec == OURS else ".jpg"
        file = tmp_path / "files" / record.codec / str(record.setting) / (record.image + suffix)
        assert file.stat().st_size == record.file_bytes
        assert record.bpp == 8 * record.file_bytes / (40 * 24)
        assert math.isnan(record.ms_ssim)  # too small for it


def test_metadata_is_nobodys_bits(own: Codec, tmp_path: Path) -> None:
    image = Image.new("RGB", (32, 32))
    image.save(tmp_path / "plain.png")
    image.save(tmp_path / "profile.png", icc_profile=b"\0" * 5000)
    few = replace(own, settings=(50,))
    plain, profile = run([tmp_path / "plain.png", tmp_path / "profile.png"], [few], tmp_path)
    assert plain.file_bytes == profile.file_bytes
    assert not read_image(tmp_path / "profile.png").info


@pytest.mark.slow
def test_processes_measure_the_same(own: Codec, paths: list[Path], tmp_path: Path) -> None:
    alone = run(paths, [own], tmp_path / "alone")
    together = run(paths, [own], tmp_path / "together", jobs=2)
    # NaN is not equal to itself: too small for MS-SSIM, and Butteraugli may not be installed
    assert list(map(repr, together)) == list(map(repr, alone))


def test_processes_beside_each_other_have_a_thread_each() -> None:
    asked = [("HVAE_CODEC_THREADS",), ("OMP_NUM_THREADS",)]
    assert {found for _, found in parallel(os.getenv, asked, jobs=2)} == {"1"}  # type: ignore


def test_a_second_run_adds_what_is_new(own: Codec, paths: list[Path], tmp_path: Path) -> None:
    first = run(paths, [own], tmp_path)
    again = run(paths, [replace(own, encode=no_encoder)], tmp_path)
    assert [record.bpp for record in again] == [record.bpp for record in first]
    more = replace(own, settings=(20, 50, 80, 90))
    assert len(run(paths, [more], tmp_path)) == 8
    assert len((tmp_path / CACHE).read_text().splitlines()) == 8


def test_a_renamed_image_is_known_by_its_content(
    own: Codec, paths: list[Path], tmp_path: Path
) -> None:
    run(paths, [own], tmp_path)
    renamed = paths[0].rename(paths[0].with_name("c.png"))
    for setting in own.settings:
        folder = tmp_path / "files" / OURS / str(setting)
        (folder / "a.png.hvae").rename(folder / "c.png.hvae")
    records = run([renamed], [replace(own, encode=no_encoder)], tmp_path)
    assert {record.image for record in records} == {"c.png"}


@pytest.mark.parametrize("what", ["version", "metrics", "pixels", "file", "line"])
def test_what_changed_is_measured_again(
    what: str, own: Codec, paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = replace(own, settings=(50,))
    run(paths, [own], tmp_path)
    cache = tmp_path / CACHE
    lines = len(cache.read_text().splitlines())
    if what == "version":
        own = replace(own, description="another version")
    elif what == "metrics":
        monkeypatch.setattr(metrics, "scorers", lambda: "as before, and Butteraugli")
    elif what == "pixels":
        Image.effect_noise((40, 24), 30).convert("RGB").save(paths[0])
    elif what == "file":
        (tmp_path / "files" / OURS / "50" / "a.png.hvae").unlink()
    else:  # a run was cut while it wrote
        cache.write_text(cache.read_text()[:-20] + "\n")
    run(paths, [own], tmp_path)
    added = {"version": 2, "metrics": 2, "pixels": 1, "file": 1, "line": 1}[what]
    assert len(cache.read_text().splitlines()) == lines + added


def test_what_was_measured_survives_a_failure(
    own: Codec, paths: list[Path], tmp_path: Path
) -> None:
    bad = replace(own, name="bad", encode=refuse)
    with pytest.raises(OSError, match="bad at setting 20: too wide") as caught:
        run(paths, [own, bad], tmp_path)
    assert caught.value.filename == "a.png"
    kept = [json.loads(line) for line in (tmp_path / CACHE).read_text().splitlines()]
    assert [line["setting"] for line in kept] == [20, 50, 80]


def test_results_are_known_by_all_modules_that_code() -> None:
    names = {name for name, _ in that_code()}
    assert {"bitstream/ans.py", "codec/tiles/tiling.py", "models/runtime.py"} <= names
    assert not {name for name in names if name.startswith(("codec/batch/", "models/training/"))}


def test_a_decoder_that_gives_another_size_is_named(
    own: Codec, paths: list[Path], tmp_path: Path
) -> None:
    cropping = replace(own, decode=lambda data: own.decode(data).crop((0, 0, 9, 9)))
    with pytest.raises(OSError, match=rf"{own.name} at setting \d+: ") as raised:
        run(paths[:1], [cropping], tmp_path)
    assert raised.value.filename == paths[0].name


def test_a_damaged_image_is_named(own: Codec, paths: list[Path], tmp_path: Path) -> None:
    paths[1].write_bytes(b"no image")
    with pytest.raises(OSError, match="cannot be read as an image") as caught:
        run(paths, [own], tmp_path)
    assert caught.value.filename == str(paths[1])


def test_grey_of_sixteen_bits_is_scaled(tmp_path: Path) -> None:
    Image.new("I;16", (8, 8), 32896).save(tmp_path / "deep.png")
    assert read_image(tmp_path / "deep.png").getpixel((0, 0)) == (128, 128, 128)
