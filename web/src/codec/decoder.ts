/** A file to pixels: its context first, then level by level as bytes come, or tile by tile. */

import type { Index } from "../bitstream/container.ts";
import { HvaeError } from "../bitstream/errors.ts";
import { checkMetadata } from "../bitstream/metadata.ts";
import { arrivedIndex, asksForLess, checkLength } from "./arriving.ts";
import type { Codec } from "./codec.ts";
import { LATENTS_A_SIDE, PATCH_PX, sum } from "./config.ts";
import { fillUnknown } from "./conceal.ts";
import {
  checkedRegion,
  checkOptions,
  type DecodeOptions,
  type Machine,
  type Outcome,
  type Shows,
} from "./options.ts";
import { Painting } from "./painting.ts";
import { Qualities } from "./qualities.ts";
import type { Source } from "./source.ts";
import { contextThumbnail } from "./thumbnail.ts";
import { Tile } from "./tile.ts";
import {
  cut,
  divided,
  grown,
  lay,
  patchGrid,
  pieces,
  shared,
  sizeOf,
  synthesisHalo,
  tileWindows,
  type Window,
} from "./tiling.ts";

/** Largest side of what is synthesised at once, in patches: bounds what the networks hold. */
const PIECE = 12;

/** Pictures of no more tiles than these sharpen level by level: each holds what its trunk knows. */
const LEVELWISE_TILES = 4;

/**
 * Decode a file, and show it on the way.
 *
 * Throws an HvaeError where the file is not whole, unless `keepGoing` says so.
 */
export async function decodeFile(
  source: Source,
  options: DecodeOptions,
  machine: Machine,
  shows: Shows,
): Promise<Outcome> {
  checkOptions(options);
  const index = await arrivedIndex(source, options);
  source.limitTo(index.end);
  shows.index(index);
  checkLength(source, index, options);
  checkMetadata(index.metadata, index.header.bitDepth);
  const region = checkedRegion(index, options.region);
  if (!index.header.needsWeights) {
    if (index.tiles.some(({ coder }) => coder !== "exact")) {
      const message = "the file names no weights, but some of its tiles need them";
      throw new HvaeError("InvalidField", message);
    }
    return new Decoder(source, index, options, region, null, machine, shows).decode();
  }
  if (index.header.prior !== "masked-diffusion") {
    throw new HvaeError("InvalidField", `the prior ${index.header.prior} is not decoded here`);
  }
  const codec = await machine.codecOf(index.header.weights);
  const every = 1 + codec.config.level_channels.length;
  if (index.levels !== every) {
    throw new HvaeError(
      "InvalidField",
      `the file has ${index.levels} levels, its weights have ${every}`,
    );
  }
  return new Decoder(source, index, options, region, codec, machine, shows).decode();
}

class Decoder {
  private windows: Window[];
  private halo: number;
  /** Those that are shown, and those whose border is seen. */
  private tiles: (Tile | undefined)[] = [];
  private shown: number[];
  private wanted: number;
  /** Those that the region touches. */
  private patches: Window;
  private painting: Painting;

  constructor(
    private source: Source,
    private index: Index,
    private options: DecodeOptions,
    /** What is shown, in px. */
    region: Window,
    /** Null where no tile needs weights. */
    private codec: Codec | null,
    private machine: Machine,
    shows: Shows,
  ) {
    const { header } = index;
    this.windows = tileWindows(header);
    this.painting = new Painting(source, index, this.windows, region, options, machine, shows);
    this.patches = divided(region, PATCH_PX);
    // a thumbnail sees around itself only to fill what is lost
    const halo = codec && options.scale !== 8 ? synthesisHalo(codec.config) : 1;
    this.halo = codec && (options.scale !== 8 || options.keepGoing) ? halo : 0;
    this.wanted = 1 + Math.min(options.levels ?? index.levels, index.levels - 1);
    if (options.scale === 8) this.wanted = 1;
    const seen = grown(this.patches, this.halo, patchGrid(header));
    const all = this.windows.map((_, number) => number);
    this.shown = all.filter((number) => shared(this.windows[number], this.patches));
    for (const number of all.filter((each) => shared(this.windows[each], seen))) {
      if (!codec || index.tiles[number].coder === "exact") continue;
      this.tiles[number] = new Tile(codec, index, index.tiles[number], this.windows[number]);
    }
  }

  async decode(): Promise<Outcome> {
    const { options, codec } = this;
    const isContextOnly = options.scale === 8;
    if (!isContextOnly) codec?.fetchModel(this.index.header.quality); // while the context decodes
    await this.exactTiles();
    await this.contexts();
    const seen = this.tiles.filter((tile) => tile !== undefined);
    if (options.progressive && seen.length <= LEVELWISE_TILES) await this.levelwise();
    if (asksForLess(options)) await this.arrive(seen, this.wanted);
    else while (await this.more());
    if (!isContextOnly) await this.whole();
    else if (options.keepGoing) await this.lostContexts();
    const { intact, lost } = this.left();
    if (!options.keepGoing) {
      if (this.painting.damage) throw this.painting.damage;
      for (const tile of seen) this.checkThere(tile);
    }
    return { wholeLevels: Math.max(0, intact - 1), lostTiles: lost };
  }

  /** Show the tiles that are exact; of what is damaged, networks show what is around it. */
  private async exactTiles(): Promise<void> {
    const { tiles, levels } = this.index;
    for (const number of this.shown.filter((each) => tiles[each].coder === "exact")) {
      while (this.source.data.length < tiles[number].exact.end) {
        if (!(await this.more())) break;
      }
      if (!(await this.painting.exactOf(number))) continue;
      const [part, scale] = [shared(this.windows[number], this.patches)!, this.options.scale ?? 1];
      await this.painting.paint(number, null, part, part, scale, levels);
      await this.breathe();
    }
  }

  /** Pop the context of each tile, and show it. */
  private async contexts(): Promise<void> {
    for (const tile of this.tiles) {
      if (!tile) continue;
      await this.arrive([tile], 1);
      await this.pop(tile, 1);
      const isWanted = this.options.progressive || this.options.scale === 8;
      if (isWanted && tile.intact && this.shown.includes(tile.number)) await this.showContext(tile);
      await this.breathe();
    }
  }

  /** Show at 1/8 each tile that has no context, by those around it. */
  private async lostContexts(): Promise<void> {
    for (const number of this.shown) {
      const tile = this.tiles[number];
      if (tile ? tile.intact : !this.painting.lostExact.has(number)) continue;
      const part = shared(this.windows[number], this.patches)!;
      const seen = grown(part, this.halo, patchGrid(this.index.header));
      const size = sizeOf(seen);
      const near = this.tiles.filter((each) => each !== undefined);
      const qualities = Qualities.of(this.index, seen);
      const rgb = this.codec
        ? contextThumbnail(this.codec.config, this.contextOf(seen, near), size, qualities, 4)
        : greyOf(size, PATCH_PX / 8);
      await this.painting.paint(number, rgb, seen, part, 8, 0);
    }
  }

  /** Pop the levels of all tiles together as they come, and show what is known of the rest. */
  private async levelwise(): Promise<void> {
    const tiles = this.tiles.filter((tile) => tile !== undefined);
    let levels = 1;
    while (levels < this.wanted && !this.painting.damage) {
      await this.arrive(tiles, levels + 1);
      const there = this.there(tiles);
      if (there <= levels) return; // cut
      levels = there;
      for (const tile of tiles) await this.pop(tile, levels);
      await this.breathe();
      const isLast = levels === this.wanted;
      if (isLast || this.painting.damage || this.there(tiles) > levels) continue; // better comes at once
      const near = tiles.map((tile) => tile.number);
      for (const number of this.synthesised()) await this.show(number, near);
    }
  }

  /** The tiles that networks show: all but those that are exact, and there. */
  private synthesised(): number[] {
    const { lostExact } = this.painting;
    const { tiles } = this.index;
    return this.shown.filter((each) => tiles[each].coder !== "exact" || lostExact.has(each));
  }

  /** Show each tile with all of its levels, and let go of those that nothing more sees. */
  private async whole(): Promise<void> {
    for (const number of this.synthesised()) {
      const near = this.neighbours(number);
      for (const tile of near.map((each) => this.tiles[each]!)) {
        await this.pop(tile, this.wanted);
        if (tile.intact) await this.latentsOf(tile);
        tile.release();
        await this.breathe();
      }
      await this.show(number, near);
      this.forget(this.windows[number]);
    }
  }

  private neighbours(number: number): number[] {
    const seen = grown(this.windows[number], this.halo, patchGrid(this.index.header));
    return this.windows.flatMap((window, each) =>
      this.tiles[each] && shared(window, seen) ? [each] : [],
    );
  }

  /** Wait until some tiles have so many levels, or the file ends. */
  private async arrive(tiles: Tile[], levels: number): Promise<void> {
    while (this.there(tiles) < Math.min(levels, this.wanted)) {
      if (!(await this.more())) return;
    }
  }

  /** Wait for more bytes; returns false once all had come. */
  private async more(): Promise<boolean> {
    const isMore = await this.source.more(this.source.data.length);
    checkLength(this.source, this.index, this.options);
    return isMore;
  }

  /** Let messages in, and look at what they brought. */
  private async breathe(): Promise<void> {
    await this.machine.breathe();
    checkLength(this.source, this.index, this.options);
  }

  private there(tiles: Tile[]): number {
    const size = this.source.data.length;
    return Math.min(this.wanted, ...tiles.map((tile) => tile.levelsThere(size)));
  }

  /** Pop levels of a tile that are there; damage is kept for later. */
  private async pop(tile: Tile, levels: number): Promise<void> {
    if (tile.isDamaged) return;
    const there = tile.levelsThere(this.source.data.length);
    try {
      if (Math.min(levels, there) > tile.intact) this.latents.delete(tile.number);
      await tile.pop(this.source.data, Math.min(levels, there));
    } catch (error) {
      if (!(error instanceof HvaeError)) throw error;
      this.painting.damage ??= error;
      if (!this.options.keepGoing) throw error;
    }
  }

  /** Latents of tiles, with what is not popped at its means; of those that are past, a border. */
  private latents = new Map<number, { window: Window; array: Float32Array }>();

  private async latentsOf(tile: Tile): Promise<{ window: Window; array: Float32Array }> {
    let latents = this.latents.get(tile.number);
    if (!latents) {
      latents = { window: tile.window, array: await tile.latents() };
      this.latents.set(tile.number, latents);
    }
    return latents;
  }

  /** Keep of the latents what tiles behind the one that was shown see of them, row by row. */
  private forget(shown: Window): void {
    for (const [number, { window, array }] of this.latents) {
      const isPast = window.right <= shown.right - this.halo;
      const edge = isPast ? shown.bottom : shown.top;
      const left = shared(window, { ...window, top: Math.max(window.top, edge - this.halo) });
      if (!left) this.latents.delete(number);
      else if (left.top > window.top) {
        this.latents.set(number, { window: left, array: cut(array, window, left, LATENTS_A_SIDE) });
      }
    }
  }

  /** Show what the region has of a tile, piece by piece. */
  private async show(number: number, near: number[]): Promise<void> {
    const part = shared(this.windows[number], this.patches)!;
    const tiles = near.map((each) => this.tiles[each]!);
    // of the whole tile, so that the middle of a lost one has colours from around it as well
    const window = grown(part, this.halo, patchGrid(this.index.header));
    const around = { window, context: this.contextOf(window, tiles) };
    for (const piece of pieces(part, PIECE)) {
      await this.showPiece(number, piece, tiles, around);
      await this.breathe();
    }
  }

  /** Synthesise a piece of a tile in its surroundings. */
  private async showPiece(
    number: number,
    part: Window,
    near: Tile[],
    around: { window: Window; context: Float32Array },
  ): Promise<void> {
    const { index, codec } = this;
    const { header } = index;
    if (!codec) {
      const grey = greyOf(sizeOf(part), PATCH_PX);
      await this.painting.paint(number, grey, part, part, 1, 0);
      return;
    }
    const seen = grown(part, this.halo, patchGrid(header));
    const [height, width] = sizeOf(seen);
    const context = cut(around.context, around.window, seen, 1);
    const channels = sum(codec.config.level_channels);
    const latents = new Float32Array(channels * LATENTS_A_SIDE ** 2 * height * width);
    const tiles = near.filter((tile) => shared(tile.window, seen));
    for (const tile of tiles.filter(({ intact }) => intact)) {
      const { window, array } = await this.latentsOf(tile);
      lay(latents, seen, array, window, LATENTS_A_SIDE);
    }
    const rgb = await codec.synthesise(
      context,
      latents,
      [height, width],
      Qualities.of(index, seen),
    );
    const levels = Math.min(this.wanted, ...tiles.map(({ intact }) => intact));
    await this.painting.paint(number, rgb, seen, part, 1, levels);
  }

  /** Return the context of a window; patches whose tile is lost get a mean colour from around them. */
  private contextOf(seen: Window, near: Tile[]): Float32Array {
    const [height, width] = sizeOf(seen);
    const context = new Float32Array((this.codec?.contextChannels ?? 0) * height * width);
    const known = new Float32Array(height * width);
    for (const { context: own, window } of near.filter(({ intact }) => intact)) {
      const [rows, columns] = sizeOf(window);
      lay(context, seen, own, window, 1);
      lay(known, seen, new Float32Array(rows * columns).fill(1), window, 1);
    }
    if (known.every(Boolean)) return context;
    for (let plane = 0; plane < Math.min(3, context.length); plane++) {
      const means = context.subarray(plane * height * width, (plane + 1) * height * width);
      fillUnknown(means, Uint8Array.from(known), height, width);
    }
    return context;
  }

  private async showContext(tile: Tile): Promise<void> {
    const { index } = this;
    const { config } = this.codec!;
    const size = sizeOf(tile.window);
    const rgb = contextThumbnail(config, tile.context, size, Qualities.of(index, tile.window), 4);
    const part = shared(tile.window, this.patches)!;
    await this.painting.paint(tile.number, rgb, tile.window, part, 8, 1);
  }

  private left(): { intact: number; lost: number[] } {
    const tiles = this.tiles.filter((tile) => tile !== undefined);
    const size = this.source.data.length;
    const isLost = (tile: Tile) => tile.isDamaged || !tile.levelsThere(size);
    const lost = new Set([
      ...tiles.filter(isLost).map((tile) => tile.number),
      ...this.painting.lostExact,
      ...this.painting.lostAlpha,
    ]);
    const most = this.codec ? this.wanted : this.index.levels;
    return {
      intact: Math.min(most, ...tiles.map((tile) => tile.intact)),
      lost: [...lost].sort((a, b) => a - b),
    };
  }

  private checkThere(tile: Tile): void {
    const there = tile.levelsThere(this.source.data.length);
    if (there >= this.wanted) return;
    throw new HvaeError(
      "Truncated",
      `the file is cut: level ${there} of tile ${tile.number} is not there`,
    );
  }
}

/** Return RGB (3, side · height, side · width) of patches of which nothing is known. */
function greyOf([height, width]: [number, number], side: number): Float32Array {
  return new Float32Array(3 * height * width * side ** 2).fill(128);
}
