/**
 * Samples coded without loss (codec/tiles/lossless.py):
 *
 *     8 bits a channel     the VP8L stream of a lossless WebP, alpha included
 *     16 bits a channel    a JPEG 2000 codestream a channel, each behind its size, red and blue
 *                          as differences from green
 */

import { Cursor } from "../bitstream/cursor.ts";
import { HvaeError } from "../bitstream/errors.ts";

/** Decode a WebP file to RGBA samples; null where it is none. */
export type DecodeWebp = (file: Uint8Array) => Uint8ClampedArray | null;

/** Decode a codestream of one channel of 16 bits; null where it is none of this size. */
export type DecodeJpeg2000 = (
  codestream: Uint8Array,
  size: [number, number],
) => Uint16Array<ArrayBuffer> | null;

const SIGNATURE = 0x2f;
const MIDDLE = 1 << 15;

/** Decode a stream of 1 to 4 channels and a known size in px to RGBA; throws StreamDamaged. */
export function decodeVp8l(
  stream: Uint8Array,
  [height, width]: [number, number],
  channels: number,
  decodeWebp: DecodeWebp,
): Uint8ClampedArray {
  const view = new DataView(stream.buffer, stream.byteOffset, stream.byteLength);
  // the size is looked at first, so that a made-up one takes no memory
  const size = stream.length >= 5 ? view.getUint32(1, true) & 0xfffffff : -1;
  if (size !== ((width - 1) | ((height - 1) << 14)) || stream[0] !== SIGNATURE) {
    throw new HvaeError("StreamDamaged", `it is not a VP8L stream of ${width}x${height} pixels`);
  }
  const rgba = decodeWebp(webpOf(stream));
  if (!rgba) throw new HvaeError("StreamDamaged", "its VP8L stream does not decode");
  // a stream may have more channels than its file says
  for (let i = 0; i < rgba.length; i += 4) {
    if (channels < 3) rgba[i + 1] = rgba[i + 2] = rgba[i];
    if (channels % 2) rgba[i + 3] = 255;
  }
  return rgba;
}

/** Put a VP8L stream into the file that it came from. */
function webpOf(stream: Uint8Array): Uint8Array {
  const padded = stream.length + (stream.length % 2);
  const file = new Uint8Array(20 + padded);
  file.set(new TextEncoder().encode("RIFF    WEBPVP8L"));
  const view = new DataView(file.buffer);
  view.setUint32(4, 12 + padded, true);
  view.setUint32(16, stream.length, true);
  file.set(stream, 20);
  return file;
}

/** Decode 1 to 4 channels of 16 bits and a known size in px to RGBA of 8; throws StreamDamaged. */
export function decodeDeep(
  stream: Uint8Array,
  size: [number, number],
  channels: number,
  decodeJpeg2000: DecodeJpeg2000,
): Uint8ClampedArray {
  const cursor = new Cursor(stream);
  const planes = Array.from({ length: channels }, () => plane(cursor, size, decodeJpeg2000));
  const isGrey = channels < 3;
  const [red, green, blue] = isGrey ? [planes[0], planes[0], planes[0]] : planes;
  const alpha = channels % 2 ? null : planes[channels - 1];
  const rgba = new Uint8ClampedArray(4 * green.length).fill(255);
  for (let i = 0, to = 0; i < green.length; i++, to += 4) {
    const less = isGrey ? 0 : green[i] - MIDDLE;
    rgba[to] = ((red[i] + less) & 0xffff) / 257;
    rgba[to + 1] = green[i] / 257;
    rgba[to + 2] = ((blue[i] + less) & 0xffff) / 257;
    if (alpha) rgba[to + 3] = alpha[i] / 257;
  }
  return rgba;
}

function plane(
  cursor: Cursor,
  size: [number, number],
  decodeJpeg2000: DecodeJpeg2000,
): Uint16Array {
  let found: Uint16Array | null;
  try {
    found = decodeJpeg2000(cursor.take(cursor.varint()), size);
  } catch (error) {
    throw new HvaeError("StreamDamaged", `a plane does not decode (${error})`);
  }
  if (found) return found;
  const [height, width] = size;
  throw new HvaeError(
    "StreamDamaged",
    `a plane is not one of ${width}x${height} pixels of 16 bits`,
  );
}
