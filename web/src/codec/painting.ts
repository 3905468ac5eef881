/** What is shown of tiles: what networks give, with alpha, and with exact patches laid over it. */

import type { Index } from "../bitstream/container.ts";
import { HvaeError } from "../bitstream/errors.ts";
import { rangeOf } from "../bitstream/metadata.ts";
import { decodeAlpha } from "./alpha.ts";
import { PATCH_PX } from "./config.ts";
import { decodeExact, type ExactPatches, layExact } from "./exact.ts";
import type { DecodeOptions, Machine, Shows } from "./options.ts";
import { type Alpha, layAlpha, rgbaOf, squeeze } from "./pixels.ts";
import type { Source } from "./source.ts";
import { divided, multiplied, pixelsOf, shared, sizeOf, type Window } from "./tiling.ts";

export class Painting {
  /** Tiles whose exact patches are lost, and those whose alpha is: the one is shown without the other. */
  readonly lostExact = new Set<number>();
  readonly lostAlpha = new Set<number>();
  /** The first damage that was met. */
  damage: unknown = null;
  private range: [number, number] | null;

  constructor(
    private source: Source,
    private index: Index,
    /** Of all tiles, in patches. */
    private windows: Window[],
    /** What is shown, in px. */
    private region: Window,
    private options: DecodeOptions,
    private machine: Machine,
    private shows: Shows,
  ) {
    this.range = rangeOf(index.metadata, index.header.bitDepth);
  }

  /** Show patches of a tile: RGB (3, h, w) at 1/scale of patches that hold them, or what is exact. */
  async paint(
    number: number,
    rgb: Float32Array | null,
    seen: Window,
    part: Window,
    scale: 1 | 8,
    levels: number,
  ): Promise<void> {
    const { header } = this.index;
    const view = divided(this.region, scale);
    const side = PATCH_PX / scale;
    const out = shared(multiplied(part, side), view)!;
    const [height, width] = sizeOf(out);
    const rgba = rgb
      ? rgbaOf(rgb, multiplied(seen, side), out, header.isGrey)
      : new Uint8ClampedArray(4 * width * height);
    const alpha = header.hasAlpha && rgb ? await this.alphaOf(number) : null;
    if (alpha) layAlpha(rgba, out, alpha, scale);
    const exact = await this.exactOf(number);
    if (exact) layExact(rgba, out, exact, exact.where && alpha ? alpha.values : null, scale);
    if (this.range) squeeze(rgba, this.range);
    const [x, y] = [out.left - view.left, out.top - view.top];
    this.shows.area({ x, y, width, height, scale, levels, rgba });
  }

  /** What is exact of the tile that is being shown; null where nothing is, or it is damaged. */
  private exact: { number: number; patches: ExactPatches | null } | null = null;

  async exactOf(number: number): Promise<ExactPatches | null> {
    const tile = this.index.tiles[number];
    if (tile.coder === "learned" || this.lostExact.has(number)) return null;
    if (this.exact?.number === number) return this.exact.patches;
    this.exact = { number, patches: null };
    try {
      this.exact.patches = await decodeExact(
        this.source.data,
        tile,
        this.windows[number],
        this.index.header,
        this.machine,
      );
    } catch (error) {
      this.lose(number, error, this.lostExact);
    }
    return this.exact.patches;
  }

  /** Note that alpha or exact patches of a tile are lost. */
  private lose(number: number, error: unknown, lost: Set<number>): void {
    if (!(error instanceof HvaeError)) throw error;
    this.damage ??= error;
    lost.add(number);
    if (!this.options.keepGoing) throw error;
  }

  /** Alpha of the tile that is being shown; null where it is damaged. */
  private alpha: { number: number; plane: Alpha | null } | null = null;

  private async alphaOf(number: number): Promise<Alpha | null> {
    if (this.alpha?.number === number) return this.alpha.plane;
    this.alpha = { number, plane: null };
    const { tiles, header } = this.index;
    const window = pixelsOf(this.windows[number], header);
    const { data } = this.source;
    try {
      const values = await decodeAlpha(data, tiles[number], sizeOf(window), this.machine);
      this.alpha.plane = { window, values };
    } catch (error) {
      this.lose(number, error, this.lostAlpha);
    }
    return this.alpha.plane;
  }
}
