/** The first bytes of a file: what the image is, and what it takes to decode it. */

import { crc32 } from "./crc32.ts";
import { Cursor } from "./cursor.ts";
import { HvaeError } from "./errors.ts";

export const PATCH_PX = 32;
/** Largest picture that is decoded unless told otherwise: 256 MiB of RGBA. */
export const MAX_PIXELS = 1 << 26;

const MAGIC = [0x8f, 0x48, 0x56, 0x43];
const VERSION = 2;
const MAX_SIDE_PX = 1 << 24;
const MAX_TILE_SIDE = 64;
const MAX_TILES = 1 << 14;
const WEIGHTS_BYTES = 4;

const HAS_ALPHA = 1 << 1;
const IS_COLOUR = 1 << 0;
const DEEP = 1 << 2;
const METADATA = 1 << 3;
const PRIOR_SHIFT = 4;
const PRIOR_MASK = 0b111;
const EXACT = 1 << 7;
const MAP = 1 << 8;
/** All bits that have a meaning here. A file with another one needs what this program lacks. */
const KNOWN_FLAGS = 0b1_1111_1111;

export const PRIORS = [
  "masked-diffusion",
  "gaussian-diffusion",
  "factorised",
  "mixture",
  "vamp",
] as const;

/** What a decoder must know before the first symbol. */
export interface Header {
  width: number;
  height: number;
  /** 0...100 */
  quality: number;
  /** Side of a tile in patches of 32 px. */
  tileSide: number;
  /** First 4 bytes of the weights' hash, in hexadecimal. */
  weights: string;
  /** Whether there is a tile that networks decode. */
  needsWeights: boolean;
  isGrey: boolean;
  hasAlpha: boolean;
  /** Bits of a channel, 8 or 16. */
  bitDepth: number;
  prior: (typeof PRIORS)[number];
  hasMetadata: boolean;
  /** Whether a tile is exact, or in part so. */
  hasExact: boolean;
  /** Whether patches have qualities of their own. */
  hasMap: boolean;
  /** Rows and columns of tiles. */
  grid: [number, number];
}

/**
 * Read a header and move the cursor behind it.
 *
 * Throws NotOurFile, UnsupportedVersion, NeedsNewerViewer, Truncated, HeaderDamaged, InvalidField
 * or ImageTooLarge.
 */
export function readHeader(cursor: Cursor, maxPixels = MAX_PIXELS): Header {
  const data = cursor.data;
  if (!data.length) throw new HvaeError("Truncated", "the file is empty");
  const begin = data.subarray(0, 4);
  if (begin.some((octet, i) => octet !== MAGIC[i])) {
    throw new HvaeError(
      "NotOurFile",
      `not a file of this codec: it begins with ${hex(begin, " ")}`,
    );
  }
  if (data.length < 6) {
    throw new HvaeError(
      "Truncated",
      `the file is cut after ${data.length} bytes, within its header`,
    );
  }
  cursor.at = 4;
  const version = cursor.byte();
  if (version !== VERSION) {
    throw new HvaeError(
      "UnsupportedVersion",
      `version ${version} is unknown, this program reads ${VERSION}`,
    );
  }
  const flags = cursor.varint();
  const width = cursor.varint();
  const height = cursor.varint();
  const quality = cursor.byte();
  const tileSide = cursor.byte();
  const weights = hex(cursor.take(WEIGHTS_BYTES));
  const end = cursor.at;
  if (crc32(data.subarray(0, end)) !== cursor.uint32()) {
    throw new HvaeError("HeaderDamaged", "the header does not match its checksum");
  }
  if (flags & ~KNOWN_FLAGS) {
    throw new HvaeError("NeedsNewerViewer", "this file needs a newer viewer");
  }
  checkRange("width", width, 1, MAX_SIDE_PX);
  checkRange("height", height, 1, MAX_SIDE_PX);
  checkRange("quality", quality, 0, 100);
  checkRange("tile side", tileSide, 1, MAX_TILE_SIDE);
  const side = tileSide * PATCH_PX;
  const grid: [number, number] = [Math.ceil(height / side), Math.ceil(width / side)];
  if (grid[0] * grid[1] > MAX_TILES) {
    throw new HvaeError("InvalidField", `${grid[0] * grid[1]} tiles are more than ${MAX_TILES}`);
  }
  const prior = PRIORS[(flags >> PRIOR_SHIFT) & PRIOR_MASK];
  if (!prior) throw new HvaeError("InvalidField", "the prior of the context is none that is known");
  if (width * height > maxPixels) {
    throw new HvaeError(
      "ImageTooLarge",
      `the image has ${width}x${height} = ${width * height} pixels, the limit is ${maxPixels}`,
    );
  }
  return {
    width,
    height,
    quality,
    tileSide,
    weights,
    needsWeights: /[^0]/.test(weights),
    isGrey: !(flags & IS_COLOUR),
    hasAlpha: !!(flags & HAS_ALPHA),
    bitDepth: flags & DEEP ? 16 : 8,
    prior,
    hasMetadata: !!(flags & METADATA),
    hasExact: !!(flags & EXACT),
    hasMap: !!(flags & MAP),
    grid,
  };
}

function checkRange(name: string, value: number, low: number, high: number): void {
  if (value < low || value > high) {
    throw new HvaeError("InvalidField", `${name} ${value} is outside ${low}...${high}`);
  }
}

function hex(data: Uint8Array, separator = ""): string {
  return Array.from(data, (octet) => octet.toString(16).padStart(2, "0")).join(separator);
}
