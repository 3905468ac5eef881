"""Pictures that are no photographs, drawn for tests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Draw = Callable[[np.random.Generator], Image.Image]

WIDTH, HEIGHT = 320, 224
_WORDS = ("tiles", "patches", "context", "latents", "quality", "photograph", "0123456789")


def write_lines(
    image: Image.Image, rng: np.random.Generator, size: int, colour: tuple[int, int, int]
) -> None:
    """Fill an image with lines of words."""
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size)
    for top in range(4, image.height - size, size * 4 // 3):
        draw.text((6, top), " ".join(rng.choice(_WORDS, 40)), fill=colour, font=font)


def text(rng: np.random.Generator) -> Image.Image:
    """Draw dark text on a light page."""
    image = Image.new("RGB", (WIDTH, HEIGHT), (252, 250, 245))
    write_lines(image, rng, int(rng.integers(11, 18)), (30, 20, 40))
    return image


def terminal(rng: np.random.Generator) -> Image.Image:
    """Draw green text on black."""
    image = Image.new("RGB", (WIDTH, HEIGHT))
    write_lines(image, rng, 12, (0, 230, 60))
    return image


def windows(rng: np.random.Generator) -> Image.Image:
    """Draw overlapping windows with titles."""
    image = Image.new("RGB", (WIDTH, HEIGHT), (40, 90, 140))
    draw = ImageDraw.Draw(image)
    for number in range(12):
        x, y = int(rng.integers(0, WIDTH - 60)), int(rng.integers(0, HEIGHT - 50))
        box = [x, y, x + int(rng.integers(40, 150)), y + int(rng.integers(30, 90))]
        draw.rectangle(box, fill=(235, 235, 240), outline=(90, 90, 90))
        draw.rectangle([*box[:3], y + 14], fill=tuple(int(c) for c in rng.integers(0, 256, 3)))
        draw.text((x + 4, y + 1), f"window {number}", fill=(255, 255, 255))
    return image


def chart(rng: np.random.Generator) -> Image.Image:
    """Draw bars and a curve."""
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(image)
    values = rng.integers(20, HEIGHT - 20, 16)
    for place, value in enumerate(values.tolist()):
        colour = tuple(int(c) for c in rng.integers(0, 256, 3))
        draw.rectangle([place * 20, HEIGHT - value, place * 20 + 14, HEIGHT], fill=colour)
    draw.line([(n * 20, int(v)) for n, v in enumerate(values[::-1])], fill=(200, 0, 0), width=2)
    return image


def coloured_blocks(rng: np.random.Generator) -> Image.Image:
    """Draw small squares of saturated colours."""
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [0, 0, 0]], np.uint8)
    image = Image.fromarray(rng.choice(colours, (HEIGHT // 8, WIDTH // 8)))
    return image.resize((WIDTH, HEIGHT), Image.Resampling.NEAREST)


def stripes(rng: np.random.Generator) -> Image.Image:
    """Draw lines of one pixel in two colours."""
    colours = rng.integers(0, 256, (2, 3)).astype(np.uint8)
    rows = np.arange(HEIGHT)[:, None] + int(rng.integers(0, 2)) * np.arange(WIDTH)
    return Image.fromarray(colours[rows % 2])


def noise(rng: np.random.Generator) -> Image.Image:
    """Draw every sample at random."""
    return Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8))


def ramp(rng: np.random.Generator) -> Image.Image:
    """Draw a smooth change of colour."""
    ends = rng.integers(0, 256, (3, 3))
    y, x = np.mgrid[:HEIGHT:1.0, :WIDTH:1.0]
    colours = ends[0] * (x / WIDTH)[..., None] + ends[1] * (y / HEIGHT)[..., None]
    return Image.fromarray((colours / 2).astype(np.uint8))


def halftone(rng: np.random.Generator) -> Image.Image:
    """Draw dots of growing size."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    pitch = int(rng.integers(5, 9))
    inside = (x % pitch - pitch / 2) ** 2 + (y % pitch - pitch / 2) ** 2 < 1 + pitch * x / WIDTH
    colours = np.array([[255, 255, 255], [220, 30, 70]], np.uint8)
    return Image.fromarray(colours[inside.astype(int)])


def map_of_areas(rng: np.random.Generator) -> Image.Image:
    """Draw areas of flat colour between outlines."""
    image = Image.new("RGB", (WIDTH, HEIGHT), (170, 211, 223))
    draw = ImageDraw.Draw(image)
    for _ in range(14):
        x, y = rng.integers(0, WIDTH), rng.integers(0, HEIGHT)
        radii = rng.integers(10, 70, 9)
        angles = np.linspace(0, 2 * np.pi, 9, endpoint=False)
        corners = [
            (x + r * np.cos(a), y + r * np.sin(a)) for r, a in zip(radii, angles, strict=True)
        ]
        colour = tuple(int(c) for c in rng.integers(120, 256, 3))
        draw.polygon(corners, fill=colour, outline=(80, 80, 80))
    return image


def photograph(rng: np.random.Generator) -> Image.Image:
    """Draw what has a photograph's spectrum, and its grain."""
    side = 16
    small = rng.integers(40, 215, (HEIGHT // side, WIDTH // side, 3)).astype(np.uint8)
    smooth = Image.fromarray(small).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    grain = rng.normal(0, 4, (HEIGHT, WIDTH, 1))
    return Image.fromarray((np.asarray(smooth) + grain).clip(0, 255).astype(np.uint8))


GRAPHICS: tuple[Draw, ...] = (
    text,
    terminal,
    windows,
    chart,
    coloured_blocks,
    stripes,
    noise,
    ramp,
    halftone,
    map_of_areas,
)
