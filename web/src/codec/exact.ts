/** Exact patches of a tile: where they are, and their samples (codec/tiles/exact.py). */

import { readPart, type TileIndex } from "../bitstream/container.ts";
import { Cursor } from "../bitstream/cursor.ts";
import { HvaeError, tileDamaged } from "../bitstream/errors.ts";
import type { Header } from "../bitstream/header.ts";
import { PATCH_PX } from "./config.ts";
import { decodeDeep, decodeVp8l } from "./lossless.ts";
import type { Machine } from "./options.ts";
import { pixelsOf, sizeOf, type Window } from "./tiling.ts";

/** What is exact of a tile. */
export interface ExactPatches {
  /** Of each patch of the tile, whether it is exact; null where all are, alpha included. */
  where: Uint8Array | null;
  /** Where the samples lie, in px. */
  window: Window;
  rgba: Uint8ClampedArray;
}

/**
 * Decode what is exact of a tile; throws TileDamaged where it is missing, or not what was coded.
 *
 * @param window - of the tile, in patches
 */
export async function decodeExact(
  data: Uint8Array,
  tile: TileIndex,
  window: Window,
  header: Header,
  machine: Machine,
): Promise<ExactPatches> {
  const part = readPart(data, tile.exact, tile.number, tile.exactCheck);
  if (!part) throw tileDamaged(tile.number, "its exact patches do not match their checksum");
  const inside = pixelsOf(window, header);
  const isWhole = tile.coder === "exact";
  const channels = (header.isGrey ? 1 : 3) + Number(isWhole && header.hasAlpha);
  try {
    const cursor = new Cursor(part);
    const where = isWhole ? null : readRuns(cursor, sizeOf(window));
    const stream = part.subarray(cursor.at);
    const rgba =
      header.bitDepth === 16
        ? decodeDeep(stream, sizeOf(inside), channels, await machine.openJpeg2000())
        : decodeVp8l(stream, sizeOf(inside), channels, await machine.openWebp());
    return { where, window: inside, rgba };
  } catch (error) {
    if (!(error instanceof HvaeError)) throw error;
    throw tileDamaged(tile.number, `its exact patches: ${error.message}`);
  }
}

/** Read how many patches, row by row, are learned, exact, learned, and so on. */
function readRuns(cursor: Cursor, [height, width]: [number, number]): Uint8Array {
  const where = new Uint8Array(height * width);
  for (let at = 0, isExact = 0; at < where.length; isExact = 1 - isExact) {
    const run = cursor.varint();
    if ((!run && at) || at + run > where.length) {
      throw new HvaeError(
        "StreamDamaged",
        `a run of ${run} patches behind ${at} of ${where.length}`,
      );
    }
    where.fill(isExact, at, at + run);
    at += run;
  }
  return where;
}

/**
 * Lay what is exact over RGBA of a rectangle `out` of the picture at 1/scale: means of its px, in
 * which colours count as much as they are seen.
 *
 * @param beside - alpha of the px of the tile, where it is coded beside its exact patches
 */
export function layExact(
  rgba: Uint8ClampedArray,
  out: Window,
  { where, window, rgba: samples }: ExactPatches,
  beside: Uint8Array | null,
  scale: number,
): void {
  const [height, width] = sizeOf(window);
  const columns = Math.ceil(width / PATCH_PX);
  const alphaOf = (place: number) => (beside ? beside[place] : samples[4 * place + 3]);
  for (let y = out.top, at = 0; y < out.bottom; y++) {
    const top = y * scale - window.top;
    const bottom = Math.min(top + scale, height);
    for (let x = out.left; x < out.right; x++, at += 4) {
      const left = x * scale - window.left;
      const right = Math.min(left + scale, width);
      const patch = Math.floor(top / PATCH_PX) * columns + Math.floor(left / PATCH_PX);
      if (where && !where[patch]) continue;
      if (scale === 1) {
        const from = 4 * (top * width + left);
        rgba.set(samples.subarray(from, from + (where ? 3 : 4)), at);
        continue;
      }
      let [red, green, blue, seen] = [0, 0, 0, 0];
      for (let i = top; i < bottom; i++) {
        for (let place = i * width + left; place < i * width + right; place++) {
          const alpha = alphaOf(place);
          red += alpha * samples[4 * place];
          green += alpha * samples[4 * place + 1];
          blue += alpha * samples[4 * place + 2];
          seen += alpha;
        }
      }
      const mean = [red, green, blue].map((total) => total / (seen || 1));
      rgba.set(where ? mean : [...mean, seen / ((bottom - top) * (right - left))], at);
    }
  }
}
