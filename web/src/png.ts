/** Writes PNG files: to be saved, and for the browser to convert colours by their profile. */

import type { Index } from "./bitstream/container.ts";
import { crc32 } from "./bitstream/crc32.ts";
import { dpiOf, textsOf, tiffOf } from "./bitstream/metadata.ts";
import { joined } from "./bytes.ts";
import type { Picture } from "./decode.ts";

/** RGBA, 8 bits each. */
export type Pixels = Pick<Picture, "rgba" | "width" | "height">;
type Part = Uint8Array | number[] | string;
/** Its kind and payload. */
type Chunk = [string, ...Part[]];

const SIGNATURE = new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
const METRES_AN_INCH = 0.0254;
/** The largest piece of a zlib stream that is not compressed. */
const PIECE = 65535;

/** Return a picture as a file of 8 bits a channel, with all that is told of it. */
export async function pngOf(picture: Picture): Promise<Blob> {
  const { header, metadata } = picture.index;
  const { icc, exif, xmp } = metadata;
  const dpi = dpiOf(metadata)?.map((each) => uint32(Math.round(each / METRES_AN_INCH)));
  const chunks: Chunk[] = [];
  if (icc) chunks.push(["iCCP", "ICC profile\0\0", await deflated(icc)]);
  if (exif) chunks.push(["eXIf", tiffOf(exif)]);
  if (dpi) chunks.push(["pHYs", ...dpi, [1]]);
  if (xmp) chunks.push(textChunk("XML:com.adobe.xmp", xmp));
  for (const [key, text] of textsOf(metadata)) {
    chunks.push(textChunk(keywordOf(key), new TextEncoder().encode(text.replaceAll("\0", " "))));
  }
  const isGrey = isWrittenGrey(picture.index);
  const rows = filtered(picture, channelsOf(isGrey, header.hasAlpha));
  return png(picture, isGrey, header.hasAlpha, [...chunks, ["IDAT", await deflated(rows)]]);
}

/** Return pixels and their profile as a file that is made at once, and is large. */
export function quickPngOf(pixels: Pixels, index: Index): Blob {
  const isGrey = isWrittenGrey(index);
  return png(pixels, isGrey, true, [
    ["iCCP", "ICC profile\0\0", stored(index.metadata.icc!)],
    ["IDAT", stored(unfiltered(pixels, channelsOf(isGrey, true)))],
  ]);
}

function png({ width, height }: Pixels, isGrey: boolean, hasAlpha: boolean, chunks: Chunk[]): Blob {
  const colourType = (isGrey ? 0 : 2) + (hasAlpha ? 4 : 0);
  const header: Chunk = ["IHDR", uint32(width), uint32(height), [8, colourType, 0, 0, 0]];
  const parts = [SIGNATURE];
  for (const [kind, ...payload] of [header, ...chunks, ["IEND"] as Chunk]) {
    const bytes = joined([kind, ...payload].map(bytesOf));
    parts.push(uint32(bytes.length - 4), bytes, uint32(crc32(bytes)));
  }
  return new Blob(parts, { type: "image/png" });
}

/** Return text of UTF-8 under a keyword: not compressed, of no language, without a translation. */
function textChunk(keyword: string, utf8: Uint8Array): Chunk {
  return ["iTXt", `${keyword}\0\0\0\0\0`, utf8];
}

/** Tell whether a PNG is grey: no profile of colours belongs to such a one. */
function isWrittenGrey({ header, metadata: { icc } }: Index): boolean {
  return header.isGrey && (!icc || String.fromCharCode(...icc.subarray(16, 20)) === "GRAY");
}

/** Return which of red, green, blue and alpha are written. */
function channelsOf(isGrey: boolean, hasAlpha: boolean): number[] {
  return [...(isGrey ? [0] : [0, 1, 2]), ...(hasAlpha ? [3] : [])];
}

/** Return rows as they are, each behind the number of its filter. */
function unfiltered({ rgba, width, height }: Pixels, channels: number[]): Uint8Array {
  const rows = new Uint8Array(height * (1 + width * channels.length));
  for (let at = 0, i = 0; i < rgba.length; i += 4) {
    if (i % (4 * width) === 0) at++;
    for (const channel of channels) rows[at++] = rgba[i + channel];
  }
  return rows;
}

/** Return rows by the filter Paeth, which suits photographs and does well with the rest. */
function filtered({ rgba, width, height }: Pixels, channels: number[]): Uint8Array {
  const rows = new Uint8Array(height * (1 + width * channels.length));
  let at = 0;
  for (let y = 0; y < height; y++) {
    rows[at++] = 4;
    for (let x = 0; x < width; x++) {
      for (const channel of channels) {
        const i = 4 * (y * width + x) + channel;
        const left = x ? rgba[i - 4] : 0;
        const above = y ? rgba[i - 4 * width] : 0;
        const corner = x && y ? rgba[i - 4 * width - 4] : 0;
        rows[at++] = rgba[i] - nearest(left, above, corner);
      }
    }
  }
  return rows;
}

/** Return that of three neighbours which is next to left + above - corner. */
function nearest(left: number, above: number, corner: number): number {
  const toLeft = Math.abs(above - corner);
  const toAbove = Math.abs(left - corner);
  const toCorner = Math.abs(left + above - 2 * corner);
  if (toLeft <= toAbove && toLeft <= toCorner) return left;
  return toAbove <= toCorner ? above : corner;
}

async function deflated(data: Uint8Array): Promise<Uint8Array> {
  const stream = new Blob([data as BlobPart])
    .stream()
    .pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Return a zlib stream that holds data as they are. */
function stored(data: Uint8Array): Uint8Array {
  const parts: ArrayLike<number>[] = [[0x78, 0x01]];
  for (let at = 0; at < data.length; at += PIECE) {
    const piece = data.subarray(at, at + PIECE);
    const size = [piece.length & 255, piece.length >> 8];
    const isLast = at + PIECE >= data.length;
    parts.push([Number(isLast), ...size, ...size.map((each) => each ^ 255)], piece);
  }
  let [a, b] = [1, 0]; // Adler-32, whose sums fit in 32 bits for 5,552 bytes
  for (let at = 0; at < data.length; at += 5552) {
    for (const byte of data.subarray(at, at + 5552)) {
      a += byte;
      b += a;
    }
    a %= 65521;
    b %= 65521;
  }
  return joined([...parts, uint32(b * 65536 + a)]);
}

/** Return 1 to 79 letters of Latin, which a text is called by. */
function keywordOf(key: string): string {
  const latin = [...key].map((each) => (each > "\xff" ? "?" : each)).join("");
  return latin.replaceAll("\0", " ").trim().slice(0, 79).trim() || "Comment";
}

function uint32(value: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}

/** Return the bytes of a part; strings are of Latin letters. */
function bytesOf(part: Part): ArrayLike<number> {
  return typeof part === "string" ? Uint8Array.from(part, (each) => each.charCodeAt(0)) : part;
}
