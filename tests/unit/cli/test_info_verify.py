import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

import hvae_codec
from hvae_codec.codec import api

Run = Callable[..., Result]


def test_info_names_the_levels_and_their_bytes(hvae: Run, coded: Path) -> None:
    result = hvae("info", coded)
    assert result.exit_code == 0
    assert result.stdout.startswith("coded.hvae  24x16 rgb 8 bit  quality 40")
    assert "context" in result.stdout
    assert "masked-diffusion" in result.stdout


def test_info_json_is_a_line_for_every_file(hvae: Run, coded: Path) -> None:
    lines = hvae("info", coded, coded, "--json").stdout.splitlines()
    records = [json.loads(line) for line in lines]
    assert len(records) == 2
    assert records[0]["file"] == str(coded)
    assert records[0]["levels"][0] == {"name": "context", "bytes": 40}
    assert records[0]["file_bytes"] == coded.stat().st_size


def test_a_bad_file_does_not_hide_the_good_ones(hvae: Run, coded: Path) -> None:
    for command in ("info", "verify"):
        result = hvae(command, coded.parent / "missing", coded)
        assert result.exit_code == 1
        assert result.stdout.startswith("coded.hvae")
        assert result.stderr.count("\n") == 1


def test_info_says_that_a_file_is_cut(hvae: Run, coded: Path, damaged: Path) -> None:
    whole = damaged.stat().st_size + 100
    assert "cut" not in hvae("info", coded).stdout
    assert f"bpp, cut from {whole}" in hvae("info", damaged).stdout


def test_info_shows_what_each_tile_is(
    hvae: Run, coded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = "hvae_codec.codec.info.inspect"
    found = api.inspect(coded.read_bytes())
    mixed = replace(
        found, width=700, exact_bytes=9, tiles=3, tile_coders=("learned", "exact", "both")
    )
    monkeypatch.setattr(whole, lambda data: mixed)
    shown = hvae("info", coded).stdout
    assert "3 of 256 px: 1 learned, 1 exact, 1 both\n" in shown
    assert "\n              leb\n" in shown
    monkeypatch.setattr(whole, lambda data: replace(mixed, tile_coders=("exact",) * 3))
    shown = hvae("info", coded).stdout
    assert "none (no tile needs them)" in shown
    assert "latents" not in shown and "prior" not in shown  # of which there are none


def test_verify_says_identical(hvae: Run, coded: Path) -> None:
    result = hvae("verify", coded)
    assert result.exit_code == 0
    assert result.stdout == (
        "coded.hvae  1 tile  12 345 symbols  identical  (pixels within 1 of 255)\n"
    )


def test_verify_of_16_bits_says_of_how_many(
    hvae: Run, coded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = api.verify(coded.read_bytes())
    deep = replace(report, max_pixel_difference=9, largest_sample=65535)
    monkeypatch.setattr(api, "verify", lambda data: deep)
    assert "(pixels within 9 of 65535)" in hvae("verify", coded).stdout


def test_verify_fails_where_symbols_differ(
    hvae: Run, coded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = api.verify(coded.read_bytes())
    monkeypatch.setattr(api, "verify", lambda data: replace(report, differing=7))
    result = hvae("verify", coded)
    assert result.exit_code == 1
    assert "7 differ" in result.stdout


def test_the_map_of_what_comes_through_a_pipe(tmp_path: Path) -> None:
    picture = Image.fromarray(np.arange(64 * 64, dtype=np.uint8).reshape(64, 64))
    data = hvae_codec.encode(picture, 40, content="photo", tune="psnr")
    command = [sys.executable, "-m", "hvae_codec", "info", "-", "--map", str(tmp_path / "map.png")]
    told = subprocess.run(command, input=data, capture_output=True, check=False)
    assert told.returncode == 0, told.stderr
    assert Image.open(tmp_path / "map.png").size == (2, 2)


@pytest.mark.parametrize("suffix", [".qoi", ".blp", ".xbm", ".palm"])
def test_a_format_that_cannot_hold_a_map_is_to_blame(tmp_path: Path, suffix: str) -> None:
    source, target = tmp_path / "a.hvae", tmp_path / f"map{suffix}"
    source.write_bytes(hvae_codec.encode(Image.new("RGB", (40, 40)), lossless=True))
    command = [sys.executable, "-m", "hvae_codec", "info", str(source), "--map", str(target)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 1
    (line,) = told.stderr.splitlines()
    assert line.startswith(f"Error: {target}: ")
    assert not target.exists()


def test_a_stdout_that_lacks_a_letter_gets_an_escape(tmp_path: Path) -> None:
    """As on Windows where stdout is a file or a pipe, which has no λ."""
    path = tmp_path / "snow ☃.hvae"
    path.write_bytes(hvae_codec.encode(Image.new("RGB", (40, 40)), 60))
    command = [sys.executable, "-m", "hvae_codec", "info", str(path)]
    narrow = os.environ | {"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}
    told = subprocess.run(command, env=narrow, capture_output=True, check=False)
    assert (told.returncode, told.stderr) == (0, b"")
    first = told.stdout.splitlines()[0]
    assert first.startswith(rb"snow \u2603.hvae  40x40") and rb"(\u03bb " in first
