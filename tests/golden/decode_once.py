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

from hvae_codec.bitstream import (
    Header,
    check_empty,
    coder_of,
    level_checks,
    read_index,
    read_tile,
)
from hvae_codec.codec.decoder import decode_file
from hvae_codec.codec.encoder import context_integers
from hvae_codec.codec.grey import coded_context, walk_latents
from hvae_codec.codec.symbols import AnsStack, SymbolReader
from hvae_codec.codec.tiling import Window, tiles_in
from hvae_codec.codec.view import view_of
from hvae_codec.codec.weights import Codec, load_codec
from hvae_codec.models.priors.masked_diffusion import Popper
from hvae_codec.models.weights import carry_in

Place = tuple[str, int]
"""A file and the number of a tile in it."""


class Decoder:
    """Decodes tiles of several files, in any order and several at once."""

    def __init__(self, codec: Codec, files: dict[str, bytes]):
        self.codec, self.files = codec, files
        self.indices = {name: read_index(data) for name, data in files.items()}
        self.windows = {
            (name, number): window
            for name, index in self.indices.items()
            for number, window in windows_of(index.header)
        }
        self.symbols: dict[Place, list[np.ndarray]] = {}

    def batches(self, together: bool) -> list[list[Place]]:
        """All tiles, those of one size, kind and model together or each alone."""
        if not together:
            return [[place] for place in self.windows]
        groups = defaultdict(list)
        for place, window in self.windows.items():
            header = self.indices[place[0]].header
            model = self.codec.model_at(header.quality)
            groups[window.size, header.color.is_grey, model].append(place)
        return list(groups.values())

    @torch.inference_mode()
    def decode(self, places: list[Place]) -> None:
        """Decode tiles of one size and model as one batch, of whatever files and qualities."""
        tables, indices = self.codec.tables, [self.indices[name] for name, _ in places]
        model = self.codec.model_at(indices[0].header.quality)
        tiles = [read_tile(self.files[name], self.indices[name], k) for name, k in places]
        at = torch.tensor([index.header.quality for index in indices])
        stacks = [coder_of(tile.words) for tile in tiles]
        popper = Popper([AnsStack(stack, tables) for stack in stacks])
        trunk = SymbolReader(popper.stacks)
        is_grey = indices[0].header.color.is_grey
        coded = coded_context(model.config, is_grey)
        prior, size = model.entropy.prior, self.windows[places[0]].size
        found = [prior.pop_corrections(stack, size, coded) for stack in popper.stacks]
        context = prior.walk(
            (len(places), *size),
            at,
            model.entropy.norm,
            popper,
            coded,
            corrections=torch.stack(found),
        )
        walk_latents(model, context, at, trunk, is_grey=is_grey)
        for k, place in enumerate(places):
            check_empty(stacks[k])
            levels = [
                [context_integers(context[k])],
                *([part[k] for part in one] for one in trunk.levels),
            ]
            if tiles[k].intact_levels(level_checks(place[1], levels)) != len(levels):
                raise SystemExit(f"symbols of tile {place[1]} of {place[0]} differ")
            self.symbols[place] = [symbols for level in levels for symbols in level]

    def symbol_hash(self, name: str) -> str:
        """Return the sha256 of a file's symbols, tile by tile, coarse to fine."""
        digest = hashlib.sha256()
        for number in range(self.indices[name].header.tile_count):
            for level in self.symbols[name, number]:
                digest.update(level.astype("<i4").tobytes())
        return digest.hexdigest()

    def pixels(self, name: str) -> np.ndarray:
        """Return a file's samples (H, W, C), by the decoder that users call."""
        index = self.indices[name]
        return decode_file(self.codec, self.files[name], index, view_of(index.header)).samples


def windows_of(header: Header) -> list[tuple[int, Window]]:
    """Return number and place of each tile."""
    return tiles_in(header.height, header.width, header.tile)


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
        for model in codec.models:
            carry_in(model, getattr(torch, options.carrier))
        streams = {file.stem: file.read_bytes() for file in files}
        decoder = Decoder(codec, streams)
        for index in decoder.indices.values():
            codec.accept(index.header)
        for places in decoder.batches(options.together)[:: -1 if options.reverse else 1]:
            decoder.decode(places)
        report |= {name: decoder.symbol_hash(name) for name in streams}
        pixels |= {name: decoder.pixels(name) for name in streams}
    if options.pixels:
        np.savez(options.pixels, **pixels)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
