/** Alpha of learned tiles: the green channel of a VP8L stream each (codec/tiles/alpha.py). */

import { readPart, type TileIndex } from "../bitstream/container.ts";
import { HvaeError, tileDamaged } from "../bitstream/errors.ts";
import { decodeVp8l } from "./lossless.ts";
import type { Machine } from "./options.ts";

/** Decode the alpha of a tile of height by width px: 8 bits each, the upper ones of 16. */
export async function decodeAlpha(
  data: Uint8Array,
  tile: TileIndex,
  size: [number, number],
  machine: Machine,
): Promise<Uint8Array> {
  const stream = readPart(data, tile.alpha, tile.number, tile.alphaCheck);
  if (!stream) throw tileDamaged(tile.number, "its alpha does not match its checksum");
  try {
    const rgba = decodeVp8l(stream, size, 3, await machine.openWebp());
    return Uint8Array.from({ length: rgba.length / 4 }, (_, i) => rgba[4 * i + 1]);
  } catch (error) {
    if (!(error instanceof HvaeError)) throw error;
    throw tileDamaged(tile.number, `its alpha: ${error.message}`);
  }
}
