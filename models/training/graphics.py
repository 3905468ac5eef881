"""Crops that are no photographs: text, screens, drawings, saturated single pixels, noise.

Networks that never saw them do harm where they meet them. All are drawn when they are asked for, of
any size, so that there is nothing to collect, to store or to license.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Crop = NDArray[np.uint8]
Colour = tuple[int, int, int]

_LETTERS = np.array(list("eetaoinshrdlucmfwygpbvkxqjzETAOINSHRDLUM0123456789.,:;-()/%"))
_EXTREMES = (0, 64, 128, 192, 255)


def draw(rng: np.random.Generator, side: int, kind: str | None = None) -> Crop:
    """Draw a picture (side, side, 3), uint8, of a kind of `KINDS`, or of any."""
    kind = kind or str(rng.choice(list(KINDS)))
    return KINDS[kind](rng, side)


def text(rng: np.random.Generator, side: int) -> Crop:
    """Lines of letters in one or two columns, dark on light or the reverse; some as if scanned."""
    paper, ink = _paper_and_ink(rng)
    image = Image.new("RGB", (side, side), paper)
    pen = ImageDraw.Draw(image)
    pen.fontmode = "1" if rng.random() < 0.2 else "L"
    size = int(rng.integers(8, 33))
    columns = int(rng.integers(1, 3))
    for column in range(columns):
        left = column * side // columns + int(rng.integers(-size, size))
        for top in range(int(rng.integers(-size, size)), side, round(size * rng.uniform(1.1, 1.6))):
            if rng.random() < 0.9:
                pen.text((left, top), _words(rng, 2 * side // size), fill=ink, font=_font(size))
        pen.rectangle([(column + 1) * side // columns - 4, 0, side, side], fill=paper)
    if rng.random() < 0.3:
        return _scanned(rng, image)
    return np.asarray(image)


def screen(rng: np.random.Generator, side: int) -> Crop:
    """Windows with borders of a pixel, buttons, ramps and labels."""
    image = Image.new("RGB", (side, side), _paper_and_ink(rng)[0])
    pen = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(4, 6 + side // 12))):
        left, top = (int(v) for v in rng.integers(-20, side, 2))
        width, height = (int(v) for v in rng.integers(6, max(8, side * 2 // 3), 2))
        box = left, top, left + width, top + height
        if rng.random() < 0.15:
            image.paste(_ramp(rng, width, height), (left, top))
        else:
            pen.rectangle(box, fill=_flat(rng), outline=_flat(rng) if rng.random() < 0.7 else None)
        size = int(rng.integers(9, 19))
        if rng.random() < 0.7 and height > size:
            label = _words(rng, max(1, width // size))
            pen.text((left + 4, top + 3), label, fill=_paper_and_ink(rng)[1], font=_font(size))
        if rng.random() < 0.3:
            pen.line([(left, top), (left + width, top)], fill=_flat(rng), width=1)
    return np.asarray(image)


def drawing(rng: np.random.Generator, side: int) -> Crop:
    """Flat shapes with outlines, smoothed; some in halftone, some in a few colours only."""
    factor = int(rng.integers(1, 4))
    full = factor * side
    image = Image.new("RGB", (full, full), _any(rng))
    pen = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(5, 25))):
        x, y = (int(v) for v in rng.integers(0, full, 2))
        reach = int(rng.integers(full // 20 + 1, full // 2))
        outline = (0, 0, 0) if rng.random() < 0.6 else None
        width = int(rng.integers(1, 3 * factor))
        shape = rng.integers(3)
        if shape == 0:
            box = x - reach, y - reach, x + reach, y + int(reach * rng.uniform(0.3, 1))
            pen.ellipse(box, fill=_any(rng), outline=outline, width=width)
        elif shape == 1:
            corners = rng.normal((x, y), reach, (int(rng.integers(3, 7)), 2))
            pen.polygon([(float(a), float(b)) for a, b in corners], fill=_any(rng), outline=outline)
        else:
            line = rng.normal((x, y), reach, (4, 2))
            pen.line([(float(a), float(b)) for a, b in line], fill=_any(rng), width=width)
    if factor > 1:
        image = image.resize((side, side), Image.Resampling.LANCZOS)
    look = rng.random()
    if look < 0.2:
        image = image.quantize(int(rng.integers(2, 17)), dither=Image.Dither.NONE).convert("RGB")
    elif look < 0.35:
        return _halftone(rng, np.asarray(image))
    return np.asarray(image)


def saturated(rng: np.random.Generator, side: int) -> Crop:
    """Cells of one to eight pixels in pure colours: checkers, stripes, at random."""
    palette = rng.choice((0, 255), (int(rng.integers(2, 7)), 3)).astype(np.uint8)
    cell = int(rng.choice((1, 1, 1, 2, 3, 4, 8)))
    y, x = np.mgrid[:side, :side] // cell
    slopes = rng.integers(-2, 3, 2)
    numbers = np.abs(slopes[0] * x + slopes[1] * y)
    if rng.random() < 0.4 or not slopes.any():
        numbers = rng.integers(0, len(palette), (side // cell + 1, side // cell + 1))[y, x]
    return palette[numbers % len(palette)]


def noise(rng: np.random.Generator, side: int) -> Crop:
    """Noise, uniform or normal, of luma alone or of each colour, here and there softened."""
    shape = (side, side, int(rng.choice((1, 3))))
    if rng.random() < 0.4:
        values = rng.uniform(0, 256, shape)
    else:
        values = rng.normal(rng.uniform(30, 225), rng.uniform(3, 80), shape)
    crop = np.broadcast_to(np.clip(values, 0, 255), (side, side, 3)).astype(np.uint8)
    if rng.random() < 0.3:
        softened = Image.fromarray(crop).filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 2)))
        return np.asarray(softened)
    return crop


KINDS: dict[str, Callable[[np.random.Generator, int], Crop]] = {
    drawn.__name__: drawn for drawn in (text, screen, drawing, saturated, noise)
}
"""What is drawn, by name."""


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def _words(rng: np.random.Generator, letters: int) -> str:
    drawn = rng.choice(_LETTERS, letters + 1)
    drawn[rng.random(letters + 1) < 0.17] = " "
    return "".join(drawn)


def _colour(values: NDArray[np.integer]) -> Colour:
    red, green, blue = (int(value) for value in values)
    return red, green, blue


def _any(rng: np.random.Generator) -> Colour:
    return _colour(rng.integers(0, 256, 3))


def _flat(rng: np.random.Generator) -> Colour:
    """Draw a colour of interfaces: a grey, a pure one, or any."""
    look = rng.random()
    if look < 0.4:
        return _colour(np.repeat(rng.integers(0, 256), 3))
    if look < 0.7:
        return _colour(rng.choice(_EXTREMES, 3))
    return _any(rng)


def _paper_and_ink(rng: np.random.Generator) -> tuple[Colour, Colour]:
    """Draw two colours that can be told apart: black on white, or others."""
    if rng.random() < 0.5:
        paper, ink = (255, 255, 255), _colour(np.repeat(rng.integers(0, 60), 3))
    else:
        paper, ink = _colour(rng.integers(170, 256, 3)), _colour(rng.integers(0, 110, 3))
    return (paper, ink) if rng.random() < 0.75 else (ink, paper)


def _ramp(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    ends = rng.uniform(0, 256, (2, 3))
    along = np.linspace(0, 1, width)[None, :, None]
    if rng.random() < 0.5:
        along = np.linspace(0, 1, height)[:, None, None]
    ramp = np.broadcast_to(ends[0] + along * (ends[1] - ends[0]), (height, width, 3))
    return Image.fromarray(ramp.astype(np.uint8))


def _scanned(rng: np.random.Generator, image: Image.Image) -> Crop:
    """Soften, add noise and, mostly, take the colour away."""
    soft = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.0)))
    page = np.asarray(soft, np.float32)
    if rng.random() < 0.7:
        page = page.mean(axis=2, keepdims=True).repeat(3, axis=2)
    grain = rng.normal(0, rng.uniform(1, 8), (*page.shape[:2], 1))
    return np.clip(page * 0.9 + 12 + grain, 0, 255).astype(np.uint8)


def _halftone(rng: np.random.Generator, crop: Crop) -> Crop:
    """Print the picture in dots of one ink, larger where it is darker."""
    period = int(rng.integers(3, 9))
    y, x = np.mgrid[: crop.shape[0], : crop.shape[1]] * (2 * np.pi / period)
    screen = (np.cos(x) + np.cos(y)) / 4 + 0.5
    ink = crop.mean(axis=2) / 255 < screen
    paper, colour = _paper_and_ink(rng)
    return np.where(ink[..., None], colour, paper).astype(np.uint8)
