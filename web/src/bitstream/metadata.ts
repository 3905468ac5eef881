/** ICC, EXIF and XMP, verbatim, in a section of their own. */

import { crc32 } from "./crc32.ts";
import { Cursor } from "./cursor.ts";
import { HvaeError } from "./errors.ts";

export interface Metadata {
  icc?: Uint8Array;
  exif?: Uint8Array;
  xmp?: Uint8Array;
}

const KINDS = ["icc", "exif", "xmp"] as const;

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
      throw new HvaeError("InvalidField", `metadata of kinds [${kinds}]: not 0...2, ascending`);
    }
    metadata[KINDS[kind]] = payload;
  });
  return metadata;
}

/** Return the orientation that EXIF names, 1...8; 1 where there is none or EXIF is damaged. */
export function orientationOf(exif: Uint8Array | undefined): number {
  if (!exif) return 1;
  const isPrefixed = exif[0] === 0x45 && exif[4] === 0; // "Exif\0\0"
  const { buffer, byteOffset, byteLength } = exif.subarray(isPrefixed ? 6 : 0);
  const tiff = new DataView(buffer, byteOffset, byteLength);
  try {
    const little = tiff.getUint16(0) === 0x4949;
    const entries = tiff.getUint32(4, little);
    for (let i = 0; i < tiff.getUint16(entries, little); i++) {
      const at = entries + 2 + 12 * i;
      if (tiff.getUint16(at, little) !== 274) continue;
      const value = tiff.getUint16(at + 8, little);
      return value >= 1 && value <= 8 ? value : 1;
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return 1;
}
