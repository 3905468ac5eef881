/** ICC, EXIF, XMP and what else is told of an image, verbatim, in a section of their own. */

import { crc32 } from "./crc32.ts";
import { Cursor } from "./cursor.ts";
import { HvaeError } from "./errors.ts";

export interface Metadata {
  icc?: Uint8Array;
  exif?: Uint8Array;
  xmp?: Uint8Array;
  /** A JSON object of strings, in UTF-8. */
  text?: Uint8Array;
  /** Across and down, each uint32 in 1/10000 of a pixel an inch. */
  dpi?: Uint8Array;
  /** Of 16 bits, what 0 and 65535 stand for, each uint16. */
  range?: Uint8Array;
}

const KINDS = ["icc", "exif", "xmp", "text", "dpi", "range"] as const;

/** Read the section; throws Truncated, MetadataDamaged or InvalidField. */
export function readMetadata(cursor: Cursor): Metadata {
  const begin = cursor.at;
  const count = cursor.byte();
  const items: [number, Uint8Array][] = [];
  for (let i = 0; i < count; i++) {
    const kind = cursor.byte();
    items.push([kind, cursor.take(cursor.varint()).slice()]);
  }
  const section = cursor.data.subarray(begin, cursor.at);
  if (crc32(section) !== cursor.uint32()) {
    throw new HvaeError("MetadataDamaged", "the metadata does not match its checksum");
  }
  if (!count || items.some(([, payload]) => !payload.length)) {
    throw new HvaeError("InvalidField", "the metadata section has an empty item, or none at all");
  }
  const metadata: Metadata = {};
  items.forEach(([kind, payload], i) => {
    if (!(kind in KINDS) || (i && items[i - 1][0] >= kind)) {
      const kinds = items.map(([k]) => k).join(", ");
      throw new HvaeError("InvalidField", `metadata of kinds [${kinds}]: not 0...5, ascending`);
    }
    metadata[KINDS[kind]] = payload;
  });
  return metadata;
}

/** Return the least and the largest sample of 16 bits; null where they have the whole range. */
export function rangeOf({ range }: Metadata, bitDepth: number): [number, number] | null {
  if (!range) return null;
  const [low, high] = new Uint16Array(range.length === 4 ? range.slice().buffer : [0, 0]);
  if (low >= high) {
    const octets = Array.from(range.slice(0, 8), (octet) => octet.toString(16).padStart(2, "0"));
    throw new HvaeError("InvalidField", `the range of samples ${octets.join(" ")} is none`);
  }
  if (bitDepth !== 16) {
    throw new HvaeError("InvalidField", "a range of 16 bits is told of samples of 8");
  }
  return [low, high];
}

/** Refuse texts, a resolution or a range that are none. */
export function checkMetadata(metadata: Metadata, bitDepth: number): void {
  const { text, dpi } = metadata;
  if (text && !parsedTexts(text)) {
    throw new HvaeError("InvalidField", "the text is no JSON object of strings");
  }
  if (dpi && dpi.length !== 8) {
    throw new HvaeError("InvalidField", `the resolution has ${dpi.length} bytes, not 8`);
  }
  rangeOf(metadata, bitDepth);
}

/** Return pixels an inch, across and down; null where the file does not tell. */
export function dpiOf({ dpi }: Metadata): [number, number] | null {
  if (dpi?.length !== 8) return null;
  const [across, down] = new Uint32Array(dpi.slice().buffer);
  return [across / 10000, down / 10000];
}

/** Return the texts of a file by their keys; none where they are damaged. */
export function textsOf({ text }: Metadata): [string, string][] {
  return (text && parsedTexts(text)) ?? [];
}

function parsedTexts(text: Uint8Array): [string, string][] | null {
  try {
    const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }); // which JSON has none of
    const texts: unknown = JSON.parse(utf8.decode(text));
    if (typeof texts !== "object" || !texts || Array.isArray(texts)) return null;
    const entries = Object.entries(texts);
    if (!entries.every(([, value]) => typeof value === "string")) return null;
    // JSON may hold half of a character
    return entries.flat().every((part) => part.isWellFormed()) ? entries : null;
  } catch {
    return null;
  }
}

const EXIF_PREFIX = [0x45, 0x78, 0x69, 0x66, 0, 0]; // "Exif\0\0"
const [LITTLE_ENDIAN, BIG_ENDIAN] = [0x4949, 0x4d4d];
const ORIENTATION = 274;
/** Bytes of an integer of EXIF by its type, signed or not. */
const INTEGER_BYTES: Record<number, number> = { 1: 1, 3: 2, 4: 4, 6: 1, 8: 2, 9: 4 };

/** Return EXIF without the words that JPEG puts before it. */
export function tiffOf(exif: Uint8Array): Uint8Array {
  let tiff = exif;
  while (EXIF_PREFIX.every((octet, i) => tiff[i] === octet)) tiff = tiff.subarray(6);
  return tiff;
}

/** Return the orientation that EXIF names, 1...8; 1 where there is none or EXIF is damaged. */
export function orientationOf(exif: Uint8Array | undefined): number {
  const tiff = tiffOf(exif ?? new Uint8Array(0));
  const size = tiff.length;
  const view = new DataView(tiff.buffer, tiff.byteOffset, size);
  const order = size < 8 ? 0 : view.getUint16(0);
  if (order !== LITTLE_ENDIAN && order !== BIG_ENDIAN) return 1;
  const little = order === LITTLE_ENDIAN;
  const directory = view.getUint32(4, little);
  if (directory + 2 > size) return 1;
  const end = directory + 2 + 12 * view.getUint16(directory, little);
  for (let at = directory + 2; at < end && at + 12 <= size; at += 12) {
    const bytes = INTEGER_BYTES[view.getUint16(at + 2, little)];
    const isOne = view.getUint32(at + 4, little) === 1;
    if (view.getUint16(at, little) !== ORIENTATION || !bytes || !isOne) continue;
    const value =
      bytes === 1
        ? view.getUint8(at + 8)
        : bytes === 2
          ? view.getUint16(at + 8, little)
          : view.getUint32(at + 8, little);
    return value >= 1 && value <= 8 ? value : 1;
  }
  return 1;
}

/** Return the description of an ICC profile; empty where it has none, or is damaged. */
export function profileNameOf(icc: Uint8Array): string {
  const view = new DataView(icc.buffer, icc.byteOffset, icc.byteLength);
  const text = (kind: string, begin: number, size: number) =>
    new TextDecoder(kind)
      .decode(icc.subarray(begin, begin + size))
      .replace(/[\p{C}]/gu, "")
      .trim();
  try {
    for (let i = 0; i < view.getUint32(128); i++) {
      const at = 132 + 12 * i;
      if (view.getUint32(at) !== 0x64657363) continue; // "desc"
      const data = view.getUint32(at + 4);
      const isLocalised = view.getUint32(data) === 0x6d6c7563; // "mluc", of version 4
      if (!isLocalised) return text("latin1", data + 12, view.getUint32(data + 8));
      return text("utf-16be", data + view.getUint32(data + 24), view.getUint32(data + 20));
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return "";
}
