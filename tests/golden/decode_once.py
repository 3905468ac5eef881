"""Decode files in one configuration of this process and print checksums, as JSON, a file a key.

    python decode_once.py --threads 1 --carrier float64 --set WEIGHTS FILE... --set WEIGHTS FILE...

Instruction sets are chosen by the environment, which is read when torch is loaded.
"""

import argparse
import hashlib
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from hvae_codec.bitstream import Container, check_empty, coder_of, read_container, symbol_checksum
from hvae_codec.codec.decoder import DecodedTile, synthesise_tile
from hvae_codec.codec.symbols import SymbolReader
from hvae_codec.codec.tiling import tile_rows
from hvae_codec.codec.weights import Codec, load_codec
from hvae_codec.models.fixed_point import OFFSETS
from hvae_codec.models.weights import carry_in

Place = tuple[str, int]
"""A file and the number of a tile in it."""


class Decoder:
    """Decodes tiles of several files, in any order and several at once."""

    def __init__(self, codec: Codec, files: dict[str, Container]):
        self.codec, self.files = codec, files
        self.windows = {
            (name, number): window
            for name, file in files.items()
            for number, window in enumerate(w for row in tile_rows(file.header) for w in row)
        }
        self.tiles: dict[Place, DecodedTile] = {}
        self.symbols: dict[Place, list[np.ndarray]] = {}

    def batches(self, together: bool) -> list[list[Place]]:
        """All tiles, those of one size together or each alone."""
        if not together:
            return [[place] for place in self.windows]
        groups = defaultdict(list)
        for place, window in self.windows.items():
            groups[window.size].append(place)
        return list(groups.values())

    @torch.inference_mode()
    def decode(self, places: list[Place]) -> None:
        """Decode tiles of one size as one batch, of whatever files and qualities."""
        model, tables = self.codec.model, self.codec.tables
        files = [self.files[name] for name, _ in places]
        tiles = [file.tiles[k] for file, (_, k) in zip(files, places, strict=True)]
        at = torch.tensor([file.header.quality for file in files])
        stacks = [coder_of(tile.words) for tile in tiles]
        prior, trunk = SymbolReader(stacks, tables, 1), SymbolReader(stacks, tables, OFFSETS)
        size = (len(places), *self.windows[places[0]].size)
        context = model.entropy.prior.walk(size, at, model.entropy.norm, prior)
        latents = model.latents(context, at, trunk)
        for k, place in enumerate(places):
            check_empty(stacks[k])
            levels = [level[k] for level in prior.levels + trunk.levels]
            if symbol_checksum(place[1], levels) != tiles[k].checksum:
                raise SystemExit(f"symbols of tile {place[1]} of {place[0]} differ")
            self.symbols[place] = levels
            self.tiles[place] = DecodedTile(
                self.windows[place], context[k : k + 1], latents[k : k + 1]
            )

    def symbol_hash(self, name: str) -> str:
        """Return the sha256 of a file's symbols, tile by tile, coarse to fine."""
        digest = hashlib.sha256()
        for number in range(len(self.files[name].tiles)):
            for level in self.symbols[name, number]:
                digest.update(level.astype("<i4").tobytes())
        return digest.hexdigest()

    def pixels(self, name: str) -> np.ndarray:
        """Return a file's pixels (H, W, 3) uint8."""
        header = self.files[name].header
        out = np.empty((header.height, header.width, 3), np.uint8)
        tiles = [tile for place, tile in self.tiles.items() if place[0] == name]
        for tile in tiles:
            synthesise_tile(self.codec, tile.window, tiles, header.quality, out)
        return out


def main() -> None:
    """Parse, decode, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--carrier", default="float32", choices=["float32", "float64"])
    parser.add_argument("--without-onednn", action="store_true")
    parser.add_argument("--reverse", action="store_true", help="the last tile first")
    parser.add_argument("--together", action="store_true", help="tiles of one size in a batch")
    parser.add_argument("--pixels", type=Path, help="where the pixels go, as .npz")
    parser.add_argument("--set", type=Path, nargs="+", action="append", dest="sets")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.without_onednn:
        torch.backends.mkldnn.set_flags(False)
    report, pixels = {}, {}
    for weights, *files in options.sets:
        codec = load_codec(weights)
        carry_in(codec.model, getattr(torch, options.carrier))
        containers = {file.stem: read_container(file.read_bytes()) for file in files}
        for container in containers.values():
            codec.accept(container.header)
        decoder = Decoder(codec, containers)
        for places in decoder.batches(options.together)[:: -1 if options.reverse else 1]:
            decoder.decode(places)
        report |= {name: decoder.symbol_hash(name) for name in containers}
        pixels |= {name: decoder.pixels(name) for name in containers}
    if options.pixels:
        np.savez(options.pixels, **pixels)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
