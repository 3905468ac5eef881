/** Writes PNG files of what is decoded: a canvas would change colours under alpha, and forget the profile. */

import { crc32 } from "../bitstream/crc32.ts";
import { dpiOf, type Picture, textsOf } from "../decode.ts";

const SIGNATURE = new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
const PAETH = 4; // the filter that suits photographs, and does well with the rest
const METRES_AN_INCH = 0.0254;

/** Return a PNG file of 8 bits a channel, with all that the file says of its picture. */
export async function pngOf(picture: Picture): Promise<Blob> {
  const { isGrey, hasAlpha } = picture.index.header;
  const { icc, exif, xmp } = picture.index.metadata;
  const parts = [SIGNATURE];
  const add = (kind: string, ...payload: (Uint8Array | number[] | string)[]) => {
    const bytes = joined([kind, ...payload]);
    parts.push(uint32(bytes.length - 4), bytes, uint32(crc32(bytes)));
  };
  const colourType = (isGrey ? 0 : 2) + (hasAlpha ? 4 : 0);
  const size = [uint32(picture.width), uint32(picture.height)];
  add("IHDR", ...size, [8, colourType, 0, 0, 0]);
  if (icc) add("iCCP", "ICC profile\0\0", await deflated(icc));
  if (exif) add("eXIf", tiffOf(exif));
  const dpi = dpiOf(picture.index.metadata);
  if (dpi) add("pHYs", ...dpi.map((each) => uint32(Math.round(each / METRES_AN_INCH))), [1]);
  if (xmp) add("iTXt", "XML:com.adobe.xmp\0\0\0\0\0", xmp);
  for (const [key, text] of textsOf(picture.index.metadata)) {
    add(
      "iTXt",
      `${keywordOf(key)}\0\0\0\0\0`,
      new TextEncoder().encode(text.replaceAll("\0", " ")),
    );
  }
  const channels = [...(isGrey ? [0] : [0, 1, 2]), ...(hasAlpha ? [3] : [])];
  add("IDAT", await deflated(filtered(picture, channels)));
  add("IEND");
  return new Blob(parts, { type: "image/png" });
}

/** Return rows, each behind the number of its filter. */
function filtered({ rgba, width, height }: Picture, channels: number[]): Uint8Array<ArrayBuffer> {
  const count = channels.length;
  const rows = new Uint8Array(height * (1 + width * count));
  let at = 0;
  for (let y = 0; y < height; y++) {
    rows[at++] = PAETH;
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

/** Return EXIF without the words that JPEG puts before it. */
function tiffOf(exif: Uint8Array): Uint8Array {
  return String.fromCharCode(...exif.subarray(0, 6)) === "Exif\0\0"
    ? tiffOf(exif.subarray(6))
    : exif;
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

/** Join bytes; strings are of Latin letters. */
function joined(parts: (Uint8Array | number[] | string)[]): Uint8Array<ArrayBuffer> {
  const bytes = parts.map((part) =>
    typeof part === "string" ? Uint8Array.from(part, (letter) => letter.charCodeAt(0)) : part,
  );
  const all = new Uint8Array(bytes.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of bytes) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
