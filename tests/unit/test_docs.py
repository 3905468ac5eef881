"""The documents: examples run, links and names of files exist, and the bitstream page decodes."""

import hashlib
import re
import shlex
from collections.abc import Callable
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import hvae_codec
from hvae_codec.bitstream import Prior, read_index
from hvae_codec.cli import main
from hvae_codec.codec.config import PRESETS
from hvae_codec.codec.networks.weight_paths import shipped_weights
from hvae_codec.codec.symbols.frequencies import context_order, latent_order
from hvae_codec.codec.symbols.schedule import context_schedule, latent_schedule
from hvae_codec.codec.tiles.conditions import CodingConditions
from tests.drawn import photograph, text

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
GOLDEN_FOLDER = ROOT / "tests" / "golden"
GOLDEN = sorted(GOLDEN_FOLDER.glob("**/*.hvae"))
QUICK = {"map"}
WRITTEN_BY_PROGRAMS = {"benchmark.md", "papers.md"}
MANUALS = [ROOT / "README.md", ROOT / "docs" / "guide.md"]

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
each_manual = pytest.mark.parametrize("page", MANUALS, ids=lambda page: page.name)


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text("utf-8"), re.DOTALL)


def prose(page: Path) -> str:
    return re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)


def anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(page: Path) -> list[list[str]]:
    """The arguments of every call of `hvae-codec` on a page."""
    lines = "\n".join(blocks(page, "sh")).splitlines()
    calls = [call.strip() for line in lines for call in re.split(r"&& | #|^#", line)]
    found = [re.match(r"(?:[A-Z_]+=\S+ )?hvae-codec (.*)", call) for call in calls]
    return [shlex.split(match[1]) for match in found if match]


def test_the_readme_is_one_page() -> None:
    assert len(MANUALS[0].read_text("utf-8").splitlines()) <= 120


@each_page
def test_prose_is_at_most_120_columns_wide(page: Path) -> None:
    if page.name in WRITTEN_BY_PROGRAMS:
        return
    lines = (line for line in prose(page).splitlines() if not line.startswith(("|", "![", "    ")))
    assert not [line for line in lines if len(line) > 120]


def test_the_readme_has_the_figures_of_the_benchmark() -> None:
    measured = benchmark_rows("BD-rate of hvae-codec-psnr to it")
    shown = {row[0]: row[1:] for row in tables(prose(MANUALS[0])) if len(row) == 4}
    assert {*shown} == {"against", *IN_THE_BENCHMARK}
    for peer, name in IN_THE_BENCHMARK.items():
        psnr, ssimulacra2, butteraugli = (
            measured[name][column].replace("–", "")
            for column in ("BD-rate of hvae-codec-psnr to it", "in SSIMULACRA2", "in Butteraugli")
        )
        assert shown[peer] == [ssimulacra2, butteraugli, psnr], peer


def test_the_headline_is_that_of_the_benchmark() -> None:
    measured = benchmark_rows("BD-rate of hvae-codec-psnr to it")
    to_jpeg, to_avif, to_avif_psnr = (measured[n] for n in ("jpeg", "avif-iq", "avif-psnr"))
    wanted = [to_jpeg["in SSIMULACRA2"], to_avif["in SSIMULACRA2"]] + [
        row["BD-rate of hvae-codec-psnr to it"] for row in (to_jpeg, to_avif_psnr, to_avif)
    ]
    (headline,) = re.findall(r"^- \*\*Small.*?(?=^- )", prose(MANUALS[0]), re.MULTILINE | re.DOTALL)
    said = [int(number) for number in re.findall(r"(\d+)(?: to| %)", headline)]
    *said, slow_avif = said
    assert said == [round(-float(cell.removesuffix(" %"))) for cell in wanted]
    eye = (ROOT / "docs" / "eye.md").read_text("utf-8")
    slow = {row[0]: row[1:] for row in tables(eye) if row[0].startswith("speed 2")}
    left = slow["speed 2, `tune=ssimulacra2`"][0], slow["speed 2, `tune=psnr`"][2]
    assert slow_avif == max(round(-float(cell.replace("−", "-").split()[0])) for cell in left)


IN_THE_BENCHMARK = {
    "JPEG (Pillow, 4:2:0, optimised)": "jpeg",
    "JPEG (jpegli)": "jpegli",
    "WebP (Pillow, method 6)": "webp",
    "JPEG XL (libjxl, effort 7)": "jpegxl",
    "AVIF (4:4:4, speed 6, `tune=iq`)": "avif-iq",
    "AVIF, tuned for PSNR": "avif-psnr",
    "HEIC (x265, tuned for SSIM)": "heic",
    "BPG 4:4:4 (published curve)": "bpg-444 (published)",
    "VTM 9.1 (published curve)": "vtm-9.1 (published)",
    "cheng2020-anchor (published curve)": "cheng2020-anchor (published)",
}
"""Rows of the README, and what the benchmark calls them."""


def tables(text: str) -> list[list[str]]:
    """Rows of the tables of a page, without the lines below their heads."""
    rows = [line for line in text.splitlines() if re.fullmatch(r"\|.*\|", line)]
    cells = [[cell.strip() for cell in line[1:-1].split("|")] for line in rows]
    return [row for row in cells if not all(re.fullmatch("-*", cell) for cell in row)]


def benchmark_rows(column: str) -> dict[str, dict[str, str]]:
    """Rows of the benchmark's table that has a column, by their first cell."""
    rows = tables((ROOT / "docs" / "benchmark.md").read_text("utf-8"))
    at = next(number for number, row in enumerate(rows) if column in row)
    same = [row for row in rows[at + 1 :] if len(row) == len(rows[at])]
    return {row[0]: dict(zip(rows[at], row, strict=True)) for row in reversed(same)}


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", prose(page)):
        target, _, anchor = "".join(link).partition("#")
        if target.startswith("http"):
            continue
        there = page.parent / target if target else page
        assert there.exists(), link
        assert not anchor or anchor in anchors(there), link


@each_page
def test_files_that_are_named_exist_and_hold_what_is_named(page: Path) -> None:
    rooms = "bitstream|codec|models|benchmarks|cli|src|tests|web|docs"
    for path, name in re.findall(rf"`((?:{rooms})/[\w./-]*)(?:: (\w+))?[\w.]*`", prose(page)):
        assert (ROOT / path).exists(), path
        assert not name or re.search(rf"\b{name}\b", (ROOT / path).read_text("utf-8")), (path, name)


def test_pages_that_code_names_exist() -> None:
    rooms = ("bitstream", "codec", "models", "benchmarks", "cli", "src", "tests", "web/src")
    files = [path for room in rooms for path in (ROOT / room).rglob("*.[pt][ys]")]
    named = {
        name for path in files for name in re.findall(r"docs/[\w-]+\.md", path.read_text("utf-8"))
    }
    assert len(named) > 3
    assert all((ROOT / name).exists() for name in named), named


@each_page
def test_python_on_a_page_is_python(page: Path) -> None:
    for block in blocks(page, "python"):
        compile(block, page.name, "exec")


@pytest.fixture
def desk(tmp_path: Path, photograph: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all that examples name; the current one."""
    monkeypatch.chdir(tmp_path)
    photo = Image.fromarray(photograph[40:210, 100:372])
    for name in ("photo.png", "photo.jpg", "scan.png"):
        photo.save(name)
    for name in ("DIR", "PHOTOGRAPHS", "IMAGES", "FOLDER", "photos", "photographs", "DATA"):
        Path(name).mkdir()
        photo.resize((40, 32)).save(Path(name, "a.png"))
    text(np.random.default_rng(0)).save("page.png")
    photo.convert("L").save("mask.png")
    Image.new("L", (9, 6), 120).save("map.png")
    photo.save("scan.tif", save_all=True, append_images=[photo])
    Path("cut.jpg").write_bytes(Path("photo.jpg").read_bytes()[:-3000])
    written = "runs/a runs/low runs/mid runs/high"
    for name in (*(f"{run}/checkpoint.pt" for run in written.split()), "mixture.pt", "prior.pt",
                 "factorised.pt", "runs/checkpoint.pt", "all.safetensors", "weights.safetensors",
                 "models/weights/base.safetensors", "OUT/0-40.pt", "OUT/28-64.pt",
                 "OUT/52-100.pt"):  # fmt: skip
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    return tmp_path


@each_page
def test_options_on_a_page_are_options(desk: Path, page: Path) -> None:
    whole = click.Context(main, **main.context_settings)
    for name, *arguments in commands(page):
        command = main.commands[name]
        command.make_context(name, list(arguments), parent=whole).close()


def is_possible(arguments: list[str]) -> bool:
    """Tell whether an example runs here, in seconds."""
    needs = {"--ssimulacra2": "ssimulacra2", "--effort": "torch", "transcode": "fsspec"}
    if any(find_spec(needs[word]) is None for word in arguments if word in needs):
        return False
    takes_long = {"benchmark", "dataset", "papers", "train", "train-prior", "export", "pack"}
    asks_for_more = {"view", "export-web", "--device", "-j"}
    return not takes_long & {arguments[0]} and not asks_for_more & {*arguments}


@pytest.mark.slow
@each_manual
def test_commands_of_the_manuals_run(shipped: Path, desk: Path, page: Path) -> None:
    run = [each for each in commands(page) if is_possible(each)]
    assert len(run) > 5
    Path("damaged.hvae").write_bytes(hvae_codec.encode("photo.png", 20)[:-40])
    for arguments in run:
        if "$(" in arguments[1]:
            arguments[1] = "photo.png"
        expanded = [
            name
            for each in arguments
            for name in (sorted(map(str, Path().glob(each))) if "*" in each else [each])
        ]
        done = CliRunner().invoke(main, expanded)
        assert done.exit_code == ("--keep-going" in arguments), (arguments, done.output)


@pytest.mark.slow
@each_manual
def test_python_of_the_manuals_runs(shipped: Path, desk: Path, page: Path) -> None:
    image = Image.open("photo.png").resize((300, 180))
    Path("photo.hvae").write_bytes(hvae_codec.encode(image, 30))
    deep = np.asarray(image).astype(np.uint16)[:40, :40] * 257
    Path("photo16.hvae").write_bytes(hvae_codec.encode(deep))
    x = torch.from_numpy(np.asarray(image)).permute(2, 0, 1) / 255
    names: dict[str, Any] = {"image": image, "x": x}
    for block in blocks(page, "python"):
        if "compressai" not in block or find_spec("compressai"):  # not for every Python
            exec(compile(block, page.name, "exec"), names)
    assert isinstance(names["data"], bytes) and names["image"].width


@pytest.fixture(scope="session")
def bitstream() -> dict[str, Any]:
    """All names of the page on the bitstream."""
    names: dict[str, Any] = {}
    exec("\n".join(blocks(ROOT / "docs" / "bitstream.md", "python")), names)
    return names


@pytest.fixture(scope="session")
def decoder(bitstream: dict[str, Any], shipped: Path) -> Callable[[bytes], np.ndarray]:
    """The decoder that the page is, with the weights that each file names."""
    files = [path.read_bytes() for path in (shipped, shipped_weights())]
    weights = {hashlib.sha256(file).digest()[:4]: bitstream["Weights"](file) for file in files}

    def decode(data: bytes) -> np.ndarray:
        header = read_index(data).header
        named = header.weights if header.needs_weights else next(iter(weights))
        return bitstream["decode"](data, weights[named])

    return decode


def test_steps_are_drawn_as_they_are(bitstream: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "bitstream.md").read_text("utf-8")
    (drawn,) = re.findall(r"```\n(context, first zone.*?)```", page, re.DOTALL)
    columns = zip(*(re.split(r" {4,}", line.strip()) for line in drawn.splitlines()), strict=True)
    zones = [[squares for squares, _ in bitstream[name]] for name in ("FIRST_ZONE", "OTHER_ZONES")]
    anchors, every = bitstream["ANCHORS"], bitstream["EVERY"]
    for (_, *rows), steps in zip(
        columns, (*zones, [anchors, every - anchors], [every]), strict=True
    ):
        for i, row in enumerate(rows):
            for j, number in enumerate(row.split()):
                assert (i, j) in steps[int(number) - 1]


def test_the_bitstream_page_takes_a_file_apart(bitstream: dict[str, Any]) -> None:
    (example,) = blocks(ROOT / "docs" / "bitstream.md", "hex")
    data = bytes.fromhex("".join(re.split(r" {2,}", line)[0] for line in example.splitlines()))
    for decode in (hvae_codec.decode, lambda file: bitstream["decode"](file, None)):
        assert np.array_equal(np.asarray(decode(data)), np.zeros((1, 1, 3)))
    assert hvae_codec.encode(np.zeros((1, 1, 3), np.uint8), lossless=True)[:20] == data[:20]


@pytest.mark.parametrize("name", PRESETS)
def test_the_bitstream_page_has_the_schedules_of_the_codec(
    bitstream: dict[str, Any], name: str
) -> None:
    config, sizes = PRESETS[name], asdict(PRESETS[name])
    assert bitstream["context_order"](sizes) == context_order(config)
    assert bitstream["latent_order"](sizes) == latent_order(config.latent_channels)
    assert bitstream["context_schedule"](sizes) == [
        (step.start, step.stop, step.squares, step.has_block, [*step.slices])
        for step in context_schedule(config)
    ]
    assert bitstream["latent_schedule"](sizes) == [
        (step.level, step.start, step.stop, step.squares) for step in latent_schedule(config)
    ]


def test_the_bitstream_page_skips_where_the_codec_does(bitstream: dict[str, Any]) -> None:
    config, never = PRESETS["open"], []
    for quality in range(101):
        share = bitstream["share_of"](quality, 100 - config.linear_from)
        assert CodingConditions(config, quality, is_grey=False).skips == (share == 1)
        never += [quality] * (share != 1)
    # files of open weights stay what they are
    assert never == [22, 23, 27, 28, 61, 64, 66, 69, 82, 87, *range(91, 101)]


def differ_by(samples: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference in 255ths of the range."""
    assert samples.shape == expected.shape
    return np.abs(samples - expected.astype(np.float64)).max() * 255 / np.iinfo(expected.dtype).max


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(
            file,
            marks=() if file.stem in QUICK else pytest.mark.slow,
            id=file.relative_to(GOLDEN_FOLDER).with_suffix("").as_posix(),
        )
        for file in GOLDEN
    ],
)
def test_the_bitstream_page_decodes_golden_files(
    decoder: Callable[[bytes], np.ndarray], file: Path
) -> None:
    """It compares all checks on its way. Golden tests say what Python decodes."""
    data = file.read_bytes()
    if read_index(data).header.prior is not Prior.MASKED_DIFFUSION:
        with pytest.raises(AssertionError):
            decoder(data)
        return
    exact = set(hvae_codec.inspect(data).tile_coders) == {"exact"}
    expected = hvae_codec.decode_parts(data).pixels
    assert differ_by(decoder(data), expected) <= (0 if exact else 1)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_the_bitstream_page_decodes_lossless_files(
    decoder: Callable[[bytes], np.ndarray], channels: int, kind: type
) -> None:
    rng = np.random.default_rng(channels)
    pixels = rng.integers(0, np.iinfo(kind).max, (37, 45, channels), kind, endpoint=True)
    assert differ_by(decoder(hvae_codec.encode(pixels, lossless=True)), pixels) == 0


@pytest.mark.slow
def test_the_bitstream_page_decodes_tiles_that_are_exact_in_part(
    decoder: Callable[[bytes], np.ndarray],
) -> None:
    page = text(np.random.default_rng(0))
    page.paste(photograph(np.random.default_rng(1)).crop((0, 0, 128, 96)), (192, 128))
    pixels = np.asarray(page)
    alpha = np.full_like(pixels[..., :1], 255)
    alpha[:40, :50] = 0
    pixels = np.concatenate([pixels, alpha], axis=2)
    data = hvae_codec.encode(pixels, 40)
    assert "both" in hvae_codec.inspect(data).tile_coders
    assert differ_by(decoder(data), hvae_codec.decode_parts(data).pixels) <= 1


@pytest.mark.slow
def test_the_bitstream_page_squeezes_ranges(decoder: Callable[[bytes], np.ndarray]) -> None:
    pixels = np.random.default_rng(1).integers(100, 3000, (40, 40, 1), np.uint16)
    data = hvae_codec.encode(pixels, content="photo")
    assert differ_by(decoder(data), hvae_codec.decode_parts(data).pixels) <= 1


def test_all_pages_name_one_version() -> None:
    version = hvae_codec.__version__
    changes = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    cited = re.findall(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text("utf-8"), re.MULTILINE)
    released = [change for change in changes if change != "Unreleased"]
    assert released[0] == version and cited == [version]
