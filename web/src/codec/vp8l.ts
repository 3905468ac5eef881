/** Samples of 8 bits without loss: the VP8L stream of a lossless WebP (codec/images/lossless.py). */

import { HvaeError } from "../bitstream/errors.ts";

/** Decode a WebP file to RGBA samples. */
export type DecodeWebp = (file: Uint8Array<ArrayBuffer>) => Promise<Uint8ClampedArray>;

const SIGNATURE = 0x2f;

/** Decode a stream of a known size in px to RGBA; throws StreamDamaged. */
export async function decodeVp8l(
  stream: Uint8Array,
  [height, width]: [number, number],
  decodeWebp: DecodeWebp,
): Promise<Uint8ClampedArray> {
  const view = new DataView(stream.buffer, stream.byteOffset, stream.byteLength);
  // the size is looked at first, so that a made-up one takes no memory
  const size = stream.length >= 5 ? view.getUint32(1, true) & 0xfffffff : -1;
  if (size !== ((width - 1) | ((height - 1) << 14)) || stream[0] !== SIGNATURE) {
    throw new HvaeError("StreamDamaged", `it is not a VP8L stream of ${width}x${height} pixels`);
  }
  try {
    return await decodeWebp(webpOf(stream));
  } catch (error) {
    throw new HvaeError("StreamDamaged", `its VP8L stream does not decode (${error})`);
  }
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
