r"""Measures the priors of the context side by side, and the context alone against JPEG.

    python -m hvae_codec.benchmarks.studies.priors KODAK VALID --out OUT --markdown docs/priors.md \
        --plot docs/context.png

Of every image at five qualities a file is written under each prior that the weights have. The
symbols are the same, so networks run once for all of them. The first folder gives the plot and the
sheet (OUT/sheet.png). The Gaussian diffusion takes minutes an image: `--diffusion N` measures it,
with three numbers of steps, on N images spread over the first folder, in a table of their own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from ...bitstream import Header, Prior, coder_of, read_index, write_container
from ...bitstream.header import WEIGHTS_BYTES
from ...codec import api
from ...codec.decoder import decode_file
from ...codec.errors import PayloadTooShort
from ...codec.files import evenly_chosen, find_images
from ...codec.images import to_pixels
from ...codec.networks.weights import Codec, load_codec
from ...codec.options import DecodeOptions, prior_of
from ...codec.symbols.coders import ContextEncoder, push_pairs
from ...codec.symbols.stack import AnsStack, CountingStack
from ...codec.symbols.walk import walk
from ...codec.tiles.conditions import CodingConditions
from ...codec.tiles.tile_decoder import pop_contexts
from ...codec.tiles.tile_encoder import TileSymbols, encode_tiles, push_context, push_tile
from ...codec.tiles.tiling import Window, default_tile_side, tiles_in
from ...models.integer.convert import to_float
from ...models.integer.norms import FloatNorm
from ...models.priors.gaussian_diffusion import STEPS, GaussianDiffusion
from ..bjontegaard_delta import Curve, bd_rate
from ..metrics import psnr_rgb
from ..run import read_image
from ..tables import counted_images
from . import context_alone
from .context_alone import Point

QUALITIES = (10, 30, 50, 70, 90)
DIFFUSION_STEPS = (10, 50, 200)
BEGIN, END = "<!-- measured -->", "<!-- end -->"


@dataclass(frozen=True)
class Row:
    """A file of one image at one quality under one prior.

    Attributes:
        context_bytes: of the file less its latents: what bits-back borrowed is given back.
        bound_bytes: -log2 p(u) under the integer masses that code; of the Gaussian diffusion its
            NELBO in float.
        push_s, pop_s: what coding the context takes, networks included.
    """

    image: str
    pixels: int
    quality: int
    prior: str
    file_bytes: int
    context_bytes: int
    bound_bytes: float
    psnr_db: float
    push_s: float
    pop_s: float


def measure(codec: Codec, path: Path, diffusion: bool = False) -> tuple[list[Row], list[Point]]:
    """Write files of one image at every quality under every prior; the context alone as well.

    Where the latents do not cover what the Gaussian diffusion borrows, there is no row.
    """
    image, rows, alone = read_image(path), [], []
    for quality in QUALITIES:
        walked = _walked(codec, path.name, image, quality)
        usual = walked.file(Prior.MASKED_DIFFUSION)
        latents_bytes = len(usual) - api.inspect(usual).levels[0].bytes
        psnr_db = walked.psnr(usual)
        alone.append(walked.context_alone(usual))
        for name, kind in _ways(codec, diffusion):
            try:
                size = len(walked.file(kind))
            except PayloadTooShort:
                continue
            push_s, pop_s = walked.coding_seconds(kind)
            rows.append(
                Row(
                    image=path.name,
                    pixels=image.width * image.height,
                    quality=quality,
                    prior=name,
                    file_bytes=size,
                    context_bytes=size - latents_bytes,
                    bound_bytes=sum(_bound_bits(codec, s, kind) for s in walked.symbols) / 8,
                    psnr_db=psnr_db,
                    push_s=push_s,
                    pop_s=pop_s,
                )
            )
    return rows, alone


@dataclass(frozen=True)
class _Walked:
    """An image at one quality after its networks have run: any prior codes its symbols."""

    codec: Codec
    image: str
    original: np.ndarray
    header: Header
    symbols: list[TileSymbols]

    def file(self, kind: Prior) -> bytes:
        """Return the whole file under a prior; raise PayloadTooShort where it borrows too much."""
        tiles = [push_tile(self.codec, n, s, prior=kind) for n, s in enumerate(self.symbols)]
        return write_container(replace(self.header, prior=kind), (), tiles)

    def psnr(self, data: bytes, levels: int | None = None) -> float:
        """Return the PSNR of a file, or of its first levels, in dB."""
        options = DecodeOptions(levels=levels)
        decoded = decode_file(self.codec, data, read_index(data), options).samples
        return psnr_rgb(self.original, decoded)

    def context_alone(self, data: bytes) -> Point:
        """Return bits and PSNR of a file that is cut behind its context."""
        info = api.inspect(data)
        bits = 8 * (info.header_bytes + info.levels[0].bytes)
        bpp = bits / (self.header.width * self.header.height)
        return Point(self.image, self.header.quality, bpp, self.psnr(data, levels=0))

    def coding_seconds(self, kind: Prior) -> tuple[float, float]:
        """Return what pushing and popping the contexts of all tiles take."""
        each = [_coding_seconds(self.codec, symbols, kind) for symbols in self.symbols]
        return sum(push for push, _ in each), sum(pop for _, pop in each)


def _walked(codec: Codec, name: str, image: Image.Image, quality: int) -> _Walked:
    pixels = to_pixels(image)
    height, width = pixels.size
    side = default_tile_side(height, width)
    conditions = CodingConditions(codec.config, quality, is_grey=pixels.color.is_grey)
    header = Header(
        width=width,
        height=height,
        quality=quality,
        tile_side=side,
        weights=codec.file.digest[:WEIGHTS_BYTES],
        color=pixels.color,
    )
    windows = [window for _, window in tiles_in(height, width, side)]
    symbols = [encode_tiles(codec, pixels, [window], conditions)[0] for window in windows]
    return _Walked(codec, name, np.asarray(image), header, symbols)


def _ways(codec: Codec, diffusion: bool) -> Iterator[tuple[str, Prior]]:
    """Yield each prior with its name, the Gaussian diffusion once for each number of its steps."""
    for name in codec.file.priors:
        kind = prior_of(name)
        if kind is not Prior.GAUSSIAN_DIFFUSION:
            yield name, kind
        elif diffusion:
            prior = _diffusion(codec)
            for steps in DIFFUSION_STEPS:
                prior.steps = steps
                yield f"{name}, T = {steps}", kind
            prior.steps = STEPS


def _diffusion(codec: Codec) -> GaussianDiffusion:
    prior = codec.research_priors.context.priors[Prior.GAUSSIAN_DIFFUSION.label]
    assert isinstance(prior, GaussianDiffusion)
    return prior


@torch.inference_mode()
def _bound_bits(codec: Codec, symbols: TileSymbols, kind: Prior) -> float:
    if kind is not Prior.GAUSSIAN_DIFFUSION:
        stack = CountingStack(codec.tables.pmfs)
        push_context(codec, symbols, stack, kind)
        return stack.bits
    torch.manual_seed(0)
    prior, norm = to_float(_diffusion(codec)), to_float(codec.research_priors.context.norm)
    assert isinstance(prior, GaussianDiffusion) and isinstance(norm, FloatNorm)
    at = torch.full((1,), symbols.conditions.quality)
    return float(prior.bound(torch.from_numpy(symbols.context).float()[None], at, norm).sum())


def _coding_seconds(codec: Codec, symbols: TileSymbols, kind: Prior) -> tuple[float, float]:
    """Return the seconds of pushing and of popping the context, with the networks of each."""
    below = np.random.default_rng(0).integers(1, 2**32, 4096, np.uint32)  # for bits-back
    stack = AnsStack(coder_of(below), codec.tables.pmfs)
    context, conditions = symbols.context, symbols.conditions
    size = context.shape[1], context.shape[2]
    start = time.perf_counter()
    if kind is Prior.MASKED_DIFFUSION:  # the networks of the others run when they push
        own = context[None].astype(np.float32)
        again = ContextEncoder(codec.tables, conditions.context_mask, decides=False)
        walk(codec.runtime.context_pass((1, *size), conditions.quality, own), again)
        push_pairs(stack, again.pairs())
    else:
        push_context(codec, symbols, stack, kind)
    between = time.perf_counter()
    found = pop_contexts(codec, conditions, kind, [stack], [Window(0, 0, *size)])
    end = time.perf_counter()
    assert np.array_equal(found[0], context)
    return between - start, end - between


def table(name: str, rows: list[Row]) -> str:
    """Tabulate what each prior takes, in Markdown: means over images.

    A quality at which the file of some image was refused is left out of a prior's row.
    """
    images = len({row.image for row in rows})
    priors = dict.fromkeys(row.prior for row in rows)
    found = {prior: _Rows([row for row in rows if row.prior == prior], images) for prior in priors}
    anchor = "factorised" if "factorised" in found else next(iter(found))
    lines = [_line(prior, mine, found[anchor]) for prior, mine in found.items()]
    return "\n".join([*_head(name, images, anchor), *lines])


@dataclass(frozen=True)
class _Rows:
    """The rows of one prior.

    Attributes:
        every: all of them.
        images: how many files a quality has, where none was refused.
    """

    every: list[Row]
    images: int

    @cached_property
    def by_quality(self) -> dict[int, list[Row]]:
        """The rows of each quality at which no file was refused."""
        found = {q: [row for row in self.every if row.quality == q] for q in QUALITIES}
        return {q: rows for q, rows in found.items() if len(rows) == self.images}

    def context_bpp(self, quality: int) -> float:
        """Return the mean bits a pixel of the context."""
        return statistics.mean(8 * r.context_bytes / r.pixels for r in self.by_quality[quality])

    def curve(self) -> Curve:
        """Return bits a pixel of whole files, and PSNR."""
        groups = self.by_quality.values()
        return Curve(
            tuple(statistics.mean(8 * r.file_bytes / r.pixels for r in rows) for rows in groups),
            tuple(statistics.mean(r.psnr_db for r in rows) for rows in groups),
        )

    def total(self, name: str) -> float:
        """Return the sum of a number over all rows."""
        return sum(getattr(row, name) for row in self.every)


def _line(prior: str, rows: _Rows, anchor: _Rows) -> str:
    """Return what one prior takes as a line of the table."""
    bpp = {q: rows.context_bpp(q) for q in rows.by_quality}
    cells = [f"{bpp[q]:.4f}" if q in bpp else "refused" for q in QUALITIES]
    shared = bpp.keys() & anchor.by_quality.keys()
    if not shared:
        return f"| {prior} | {' | '.join(cells)} |" + 5 * " |"
    context = sum(bpp[q] for q in shared) / sum(anchor.context_bpp(q) for q in shared) - 1
    bound = rows.total("context_bytes") / rows.total("bound_bytes") - 1
    push, pop = (1e6 * rows.total(side) / rows.total("pixels") for side in ("push_s", "pop_s"))
    return (
        f"| {prior} | {' | '.join(cells)} | {100 * context:+.1f} % "
        f"| {bd_rate(anchor.curve(), rows.curve()):+.2f} % | {100 * bound:+.2f} % "
        f"| {push:.2f} | {pop:.2f} |"
    )


def _head(name: str, images: int, anchor: str) -> list[str]:
    return [
        f"{name}, {counted_images(images)}. "
        "Bits a pixel of the context on disk at each quality; the rest "
        f"are means over all: context against {anchor}, file's BD-rate against {anchor}, context "
        "against the prior's own bound, seconds a megapixel to encode and decode the context.",
        "",
        f"| prior | {' | '.join(f'q {q}' for q in QUALITIES)} | context | BD-rate | to bound "
        "| encode | decode |",
        "|---|" + "---|" * (len(QUALITIES) + 5),
    ]


def main(argv: list[str] | None = None) -> None:
    """Measure, and write what was asked for."""
    parser = argparse.ArgumentParser(description="Measure the priors of the context.")
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True, help="for priors.json and sheet.png")
    parser.add_argument("--images", type=int, default=1000, help="at most so many of each folder")
    parser.add_argument("--diffusion", type=int, default=0, help="images for Gaussian diffusion")
    parser.add_argument("--markdown", type=Path, help="file whose measured part is replaced")
    parser.add_argument("--plot", type=Path, help="where the plot goes")
    options = parser.parse_args(argv)
    options.out.mkdir(parents=True, exist_ok=True)
    codec, parts, records = load_codec(tune="psnr"), [], []
    found = [find_images(folder)[: options.images] for folder in options.folders]
    for folder, paths in zip(options.folders, found, strict=True):
        measured = [measure(codec, path) for path in tqdm(paths, desc=folder.name)]
        rows = [row for some, _ in measured for row in some]
        records += rows
        _write(options.out, records)
        parts.append(table(folder.name.capitalize(), rows))
        if folder == options.folders[0]:
            points = [point for _, some in measured for point in some]
            parts.append(context_alone.report(points, paths, options.plot))
            context_alone.sheet(options.out / "sheet.png", paths[:6])
    if options.diffusion:
        paths = evenly_chosen(found[0], options.diffusion)
        slow = [measure(codec, path, diffusion=True)[0] for path in tqdm(paths, desc="diffusion")]
        rows = [row for some in slow for row in some]
        records += rows
        _write(options.out, records)
        parts.append(table(", ".join(path.stem for path in paths), rows))
    text = "\n\n".join(parts)
    print(text)
    if options.markdown:
        _fill(options.markdown, text)


def _write(out: Path, records: list[Row]) -> None:
    as_json = json.dumps([asdict(row) for row in records], indent=1)
    (out / "priors.json").write_text(as_json)


def _fill(page: Path, text: str) -> None:
    """Replace the measured part of a page."""
    before, _, rest = page.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", "utf-8")


if __name__ == "__main__":
    main()
