/** A file to pixels: its context first, then level by level as bytes come, or tile by tile. */

import { checkEnd, type Index, readIndex } from "../bitstream/container.ts";
import { HvaeError } from "../bitstream/errors.ts";
import { type DecodeWebp, decodeAlpha } from "./alpha.ts";
import type { Codec } from "./codec.ts";
import { LATENTS_A_SIDE, PATCH_PX, sum } from "./config.ts";
import { fillUnknown } from "./conceal.ts";
import type { Source } from "./source.ts";
import { contextThumbnail } from "./thumbnail.ts";
import { Tile } from "./tile.ts";
import { grown, lay, patchGrid, shared, sizeOf, synthesisHalo, tileWindows, type Window } from "./tiling.ts";

export interface DecodeOptions {
  /** Levels of latents, all by default; the rest is left at its means. */
  levels?: number;
  /** x, y, width and height in px; only the tiles that it touches are decoded. */
  region?: [number, number, number, number];
  /** 8: the context alone, at 1/8 of the size. */
  scale?: 1 | 8;
  /** Show what is left of a damaged or cut file. */
  keepGoing?: boolean;
  /** Show the picture while it comes: its context, and its levels as bytes arrive. */
  progressive?: boolean;
  maxPixels?: number;
}

/** A rectangle of the picture, RGBA. */
export interface Area {
  /** Place and size in px of the picture at 1/scale. */
  x: number;
  y: number;
  width: number;
  height: number;
  scale: 1 | 8;
  /** Levels that it is of, the context included. */
  levels: number;
  rgba: Uint8ClampedArray<ArrayBuffer>;
}

export interface Shows {
  /** What the file says of itself, before its first pixel. */
  index(index: Index): void;
  area(area: Area): void;
}

/** What is left to tell when all is shown. */
export interface Outcome {
  /** Levels of latents that are intact in every tile, of those asked for. */
  wholeLevels: number;
  /** Numbers of the tiles of which something is damaged or missing. */
  lostTiles: number[];
}

export interface Machine {
  codecOf(hash: string): Promise<Codec>;
  decodeWebp: DecodeWebp;
  /** Let messages in, between two pieces of work; throws where the work is not wanted any more. */
  breathe(): Promise<void>;
}

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
  const index = await arrivedIndex(source, options);
  shows.index(index);
  const region = checkedRegion(index, options.region);
  if (index.header.prior !== "masked-diffusion") {
    throw new HvaeError("InvalidField", `the prior ${index.header.prior} is not decoded here`);
  }
  const codec = await machine.codecOf(index.header.weights);
  const every = 1 + codec.config.level_channels.length;
  if (index.levels !== every) {
    throw new HvaeError("InvalidField", `the file has ${index.levels} levels, its weights have ${every}`);
  }
  return new Decoder(source, index, options, region, codec, machine, shows).decode();
}

async function arrivedIndex(source: Source, options: DecodeOptions): Promise<Index> {
  for (;;) {
    const size = source.data.length;
    try {
      const index = readIndex(source.data, options.maxPixels);
      return index;
    } catch (error) {
      const isCut = error instanceof HvaeError && error.name === "Truncated";
      if (!isCut || !(await source.more(size))) throw error;
    }
  }
}

function checkedRegion(index: Index, region: DecodeOptions["region"]): Window {
  const { width, height } = index.header;
  const [x, y, w, h] = region ?? [0, 0, width, height];
  const isWhole = [x, y, w, h].every(Number.isInteger);
  if (!isWhole || w < 1 || h < 1 || x < 0 || y < 0 || x + w > width || y + h > height) {
    throw new HvaeError(
      "InvalidField",
      `region ${x},${y},${w},${h} is not within the ${width}x${height} pixels of the image`,
    );
  }
  return { left: x, top: y, right: x + w, bottom: y + h };
}

class Decoder {
  private windows: Window[];
  private halo: number;
  /** Those that are shown, and those whose border is seen. */
  private tiles: (Tile | undefined)[] = [];
  private shown: number[];
  private wanted: number;
  private damage: unknown = null;

  constructor(
    private source: Source,
    private index: Index,
    private options: DecodeOptions,
    /** What is shown, in px. */
    private region: Window,
    private codec: Codec,
    private machine: Machine,
    private shows: Shows,
  ) {
    const { header } = index;
    this.windows = tileWindows(header);
    this.halo = options.scale === 8 ? 0 : synthesisHalo(codec.config);
    this.wanted = 1 + Math.min(options.levels ?? index.levels, index.levels - 1);
    if (options.scale === 8) this.wanted = 1;
    const patches = this.patches();
    const seen = grown(patches, this.halo, patchGrid(header));
    const all = this.windows.map((_, number) => number);
    this.shown = all.filter((number) => shared(this.windows[number], patches));
    for (const number of all.filter((each) => shared(this.windows[each], seen))) {
      this.tiles[number] = new Tile(codec, index, index.tiles[number], this.windows[number]);
    }
  }

  async decode(): Promise<Outcome> {
    const { source, options } = this;
    await this.contexts();
    const seen = this.tiles.filter((tile) => tile !== undefined);
    if (options.progressive && seen.length <= LEVELWISE_TILES) await this.levelwise();
    while (await source.more(source.data.length));
    checkEnd(this.index, source.data.length);
    if (options.scale !== 8) await this.whole();
    const { intact, lost } = this.left();
    if (!options.keepGoing) {
      if (this.damage) throw this.damage;
      for (const tile of seen) this.checkThere(tile);
    }
    return { wholeLevels: Math.max(0, intact - 1), lostTiles: lost };
  }

  /** Pop the context of each tile, and show it. */
  private async contexts(): Promise<void> {
    for (const tile of this.tiles) {
      if (!tile) continue;
      await this.arrive([tile], 1);
      await this.pop(tile, 1);
      if (tile.intact && (this.options.progressive || this.options.scale === 8)) {
        if (this.shown.includes(tile.number)) await this.showContext(tile);
      }
      await this.machine.breathe();
    }
  }

  /** Pop the levels of all tiles together as they come, and show what is known of the rest. */
  private async levelwise(): Promise<void> {
    const tiles = this.tiles.filter((tile) => tile !== undefined);
    let levels = 1;
    while (levels < this.wanted && !this.damage) {
      await this.arrive(tiles, levels + 1);
      const there = this.there(tiles);
      if (there <= levels) return; // cut
      levels = there;
      for (const tile of tiles) await this.pop(tile, levels);
      await this.machine.breathe();
      const isLast = levels === this.wanted;
      if (isLast || this.damage || this.there(tiles) > levels) continue; // better comes at once
      for (const number of this.shown) await this.show(number, tiles.map((tile) => tile.number));
    }
  }

  /** Show each tile with all of its levels, and let go of those that nothing more sees. */
  private async whole(): Promise<void> {
    const lasts = this.tiles.map((_, number) =>
      Math.max(...this.shown.filter((each) => this.neighbours(each).includes(number))),
    );
    for (const number of this.shown) {
      const near = this.neighbours(number);
      for (const each of near) {
        const tile = this.tiles[each]!;
        await this.pop(tile, Math.min(this.wanted, tile.levelsThere(this.source.data.length)));
        await this.machine.breathe();
      }
      if (this.damage && !this.options.keepGoing) return;
      await this.show(number, near);
      for (const each of near) {
        if (lasts[each] > number) continue;
        this.latents.delete(each);
        this.tiles[each]!.release();
      }
      await this.machine.breathe();
    }
  }

  private neighbours(number: number): number[] {
    const seen = grown(this.windows[number], this.halo, patchGrid(this.index.header));
    return this.windows.flatMap((window, each) => (this.tiles[each] && shared(window, seen) ? [each] : []));
  }

  /** Wait until some tiles have so many levels, or the file ends. */
  private async arrive(tiles: Tile[], levels: number): Promise<void> {
    const { source } = this;
    while (this.there(tiles) < Math.min(levels, this.wanted)) {
      if (!(await source.more(source.data.length))) return;
    }
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
      this.damage ??= error;
      if (!this.options.keepGoing) throw error;
    }
  }

  /** Latents of tiles, with what is not popped at its means. */
  private latents = new Map<number, Float32Array>();

  private async latentsOf(tile: Tile): Promise<Float32Array> {
    let latents = this.latents.get(tile.number);
    if (!latents) {
      latents = await tile.latents();
      this.latents.set(tile.number, latents);
    }
    return latents;
  }

  /** Synthesise a tile in its surroundings, and show what the region has of it. */
  private async show(number: number, near: number[]): Promise<void> {
    const { codec, index } = this;
    const { header } = index;
    const part = shared(this.windows[number], this.patches())!;
    const seen = grown(part, this.halo, patchGrid(header));
    const [height, width] = sizeOf(seen);
    const context = new Float32Array(codec.contextChannels * height * width);
    const channels = sum(codec.config.level_channels);
    const latents = new Float32Array(channels * LATENTS_A_SIDE ** 2 * height * width);
    let levels = this.wanted;
    for (const tile of near.map((each) => this.tiles[each]!)) {
      if (!shared(tile.window, seen)) continue;
      levels = Math.min(levels, tile.intact);
      if (!tile.intact) continue;
      lay(context, seen, tile.context, tile.window, 1);
      lay(latents, seen, await this.latentsOf(tile), tile.window, LATENTS_A_SIDE);
    }
    this.conceal(context, seen, near);
    const rgb = await codec.synthesise(context, latents, [height, width], header.quality);
    await this.paint(number, rgb, seen, part, 1, levels);
  }

  /** Give patches whose tile is lost a mean colour from around them. */
  private conceal(context: Float32Array, seen: Window, near: number[]): void {
    const tiles = near.map((each) => this.tiles[each]!);
    if (tiles.every((tile) => tile.intact)) return;
    const [height, width] = sizeOf(seen);
    const known = new Float32Array(height * width);
    for (const tile of tiles.filter((each) => each.intact)) {
      lay(known, seen, new Float32Array(tile.context.length).fill(1), tile.window, 1);
    }
    for (let plane = 0; plane < 3; plane++) {
      const means = context.subarray(plane * height * width, (plane + 1) * height * width);
      fillUnknown(means, Uint8Array.from(known), height, width);
    }
  }

  private async showContext(tile: Tile): Promise<void> {
    const { codec, index } = this;
    const size = sizeOf(tile.window);
    const rgb = contextThumbnail(codec.config, tile.context, size, index.header.quality, 4);
    const part = shared(tile.window, this.patches())!;
    await this.paint(tile.number, rgb, tile.window, part, 8, 1);
  }

  /** Show patches of a tile: RGB (3, h, w) at 1/scale of patches that hold them. */
  private async paint(
    number: number,
    rgb: Float32Array,
    seen: Window,
    part: Window,
    scale: 1 | 8,
    levels: number,
  ): Promise<void> {
    const { header } = this.index;
    const side = PATCH_PX / scale;
    const view = {
      left: Math.floor(this.region.left / scale),
      top: Math.floor(this.region.top / scale),
      right: Math.ceil(this.region.right / scale),
      bottom: Math.ceil(this.region.bottom / scale),
    };
    const px = { left: part.left * side, top: part.top * side, right: part.right * side, bottom: part.bottom * side };
    const out = shared(px, view)!;
    const [height, width] = sizeOf(out);
    const rgba = new Uint8ClampedArray(4 * width * height).fill(255);
    const columns = (seen.right - seen.left) * side;
    const plane = rgb.length / 3;
    for (let row = 0; row < height; row++) {
      let from = (out.top + row - seen.top * side) * columns + out.left - seen.left * side;
      for (let to = 4 * row * width; to < 4 * (row + 1) * width; to += 4, from++) {
        rgba[to] = rgb[from];
        rgba[to + 1] = rgb[header.isGrey ? from : from + plane];
        rgba[to + 2] = rgb[header.isGrey ? from : from + 2 * plane];
      }
    }
    if (header.hasAlpha) await this.paintAlpha(number, rgba, out, scale);
    const { left, top } = out;
    this.shows.area({ x: left - view.left, y: top - view.top, width, height, scale, levels, rgba });
  }

  private async paintAlpha(
    number: number,
    rgba: Uint8ClampedArray,
    out: Window,
    scale: number,
  ): Promise<void> {
    const { header } = this.index;
    const window = this.windows[number];
    const [top, left] = [window.top * PATCH_PX, window.left * PATCH_PX];
    const bottom = Math.min(window.bottom * PATCH_PX, header.height);
    const right = Math.min(window.right * PATCH_PX, header.width);
    let alpha: Uint8Array;
    try {
      const size: [number, number] = [bottom - top, right - left];
      alpha = await decodeAlpha(this.source.data, this.index.tiles[number], size, this.machine.decodeWebp);
    } catch (error) {
      if (!(error instanceof HvaeError)) throw error;
      this.damage ??= error;
      this.lostAlpha.add(number);
      if (!this.options.keepGoing) throw error;
      return; // opaque
    }
    const [height, width] = sizeOf(out);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const row = (out.top + y) * scale - top;
        const column = (out.left + x) * scale - left;
        let total = 0;
        let count = 0;
        for (let i = row; i < Math.min(row + scale, bottom - top); i++) {
          for (let j = column; j < Math.min(column + scale, right - left); j++, count++) {
            total += alpha[i * (right - left) + j];
          }
        }
        rgba[4 * (y * width + x) + 3] = total / count;
      }
    }
  }

  private lostAlpha = new Set<number>();

  private left(): { intact: number; lost: number[] } {
    const tiles = this.tiles.filter((tile) => tile !== undefined);
    const size = this.source.data.length;
    const isLost = (tile: Tile) =>
      tile.isDamaged || !tile.levelsThere(size) || this.lostAlpha.has(tile.number);
    return {
      intact: Math.min(...tiles.map((tile) => tile.intact)),
      lost: tiles.filter(isLost).map((tile) => tile.number),
    };
  }

  private checkThere(tile: Tile): void {
    const there = tile.levelsThere(this.source.data.length);
    if (there >= this.wanted) return;
    throw new HvaeError("Truncated", `the file ends before level ${there} of tile ${tile.number}, from 0 on`);
  }

  /** The patches that the region touches. */
  private patches(): Window {
    const { left, top, right, bottom } = this.region;
    return {
      left: Math.floor(left / PATCH_PX),
      top: Math.floor(top / PATCH_PX),
      right: Math.ceil(right / PATCH_PX),
      bottom: Math.ceil(bottom / PATCH_PX),
    };
  }
}
