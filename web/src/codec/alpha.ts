/** Alpha: the VP8L stream of a lossless WebP, a tile each (codec/images/alpha.py). */

import { crc32 } from "../bitstream/crc32.ts";
import type { TileIndex } from "../bitstream/container.ts";
import { tileDamaged } from "../bitstream/errors.ts";

/** Decode a WebP file to RGBA samples. */
export type DecodeWebp = (file: Uint8Array<ArrayBuffer>) => Promise<Uint8ClampedArray>;

const SIGNATURE = 0x2f;

/** Decode the alpha of a tile of width by height px: 8 bits each, the upper ones of 16. */
export async function decodeAlpha(
  data: Uint8Array,
  tile: TileIndex,
  [height, width]: [number, number],
  decodeWebp: DecodeWebp,
): Promise<Uint8Array> {
  const stream = data.subarray(tile.alpha.begin, tile.alpha.end);
  if (
    stream.length < tile.alpha.end - tile.alpha.begin ||
    crc32(stream, tile.number) !== tile.alphaCheck
  ) {
    throw tileDamaged(tile.number, "its alpha does not match its checksum");
  }
  const view = new DataView(stream.buffer, stream.byteOffset, stream.byteLength);
  // the size is looked at first, so that a made-up one takes no memory
  const size = stream.length >= 5 ? view.getUint32(1, true) & 0xfffffff : -1;
  if (size !== ((width - 1) | ((height - 1) << 14)) || stream[0] !== SIGNATURE) {
    throw tileDamaged(tile.number, `its alpha is not ${width}x${height} pixels`);
  }
  let rgba: Uint8ClampedArray;
  try {
    rgba = await decodeWebp(webpOf(stream));
  } catch (error) {
    throw tileDamaged(tile.number, `its alpha does not decode (${error})`);
  }
  return Uint8Array.from({ length: width * height }, (_, i) => rgba[4 * i + 1]);
}

/** Put a VP8L stream into the file that it came from. */
function webpOf(stream: Uint8Array): Uint8Array<ArrayBuffer> {
  const padded = stream.length + (stream.length % 2);
  const file = new Uint8Array(20 + padded);
  file.set(new TextEncoder().encode("RIFF    WEBPVP8L"));
  const view = new DataView(file.buffer);
  view.setUint32(4, 12 + padded, true);
  view.setUint32(16, stream.length, true);
  file.set(stream, 20);
  return file;
}
