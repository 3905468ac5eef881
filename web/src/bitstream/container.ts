/** The whole file: header, metadata, map, index, tiles (bitstream/container.py draws it). */

import { crc32, crc32Integers } from "./crc32.ts";
import { Cursor } from "./cursor.ts";
import { HvaeError } from "./errors.ts";
import { type Header, PATCH_PX, readHeader } from "./header.ts";
import { type Metadata, readMetadata } from "./metadata.ts";
import { readMap } from "./quality_map.ts";

const MAX_LEVELS = 64;
const WORD_BYTES = 4;
const CODERS = ["learned", "exact", "both"] as const;

/** Where bytes are in the file. */
export interface Span {
  begin: number;
  end: number;
}

/** What the index says of a tile. */
export interface TileIndex {
  number: number;
  /** What codes the tile: the networks, a lossless coder, or the one here and the other there. */
  coder: (typeof CODERS)[number];
  /** Of each level, coarse to fine; of an exact tile all are empty. */
  levels: Span[];
  /** Check of each level: the lower 16 bits of a CRC32, of the last level all 32. */
  checks: number[];
  alpha: Span;
  alphaCheck: number;
  /** Its exact patches, with their alpha where all are exact. */
  exact: Span;
  exactCheck: number;
}

/** All of a file but its tiles, and where these are. */
export interface Index {
  header: Header;
  metadata: Metadata;
  /** By how much the quality of each patch differs from the header's; null where none does. */
  map: Int16Array | null;
  /** Number of levels, the context included. */
  levels: number;
  tiles: TileIndex[];
  /** Size of the whole file in bytes. */
  end: number;
  /** Bytes before the first tile: header, metadata, map and index. */
  begin: number;
}

/** Read all but the tiles; whether these are there is not looked at. */
export function readIndex(data: Uint8Array, maxPixels?: number): Index {
  const cursor = new Cursor(data);
  const header = readHeader(cursor, maxPixels);
  const metadata = header.hasMetadata ? readMetadata(cursor) : {};
  const patches = [header.height, header.width].map((side) => Math.ceil(side / PATCH_PX));
  const map = header.hasMap ? readMap(cursor, patches as [number, number], header.quality) : null;
  const begin = cursor.at;
  const count = header.grid[0] * header.grid[1];
  const levels = cursor.byte();
  if (levels < 1 || levels > MAX_LEVELS) {
    throw new HvaeError("InvalidField", `${levels} levels are outside 1...${MAX_LEVELS}`);
  }
  const octets = header.hasExact ? cursor.take(count) : new Uint8Array(count);
  const most = Math.max(...octets);
  if (most >= CODERS.length) {
    throw new HvaeError("InvalidField", `coder ${most} of a tile is none of [0, 1, 2]`);
  }
  const coders = Array.from(octets, (octet) => CODERS[octet]);
  // of each tile; what a tile's coder has no use for is not in the file, and is zero
  const learned = <T>(take: () => T, none: T) =>
    coders.map((is) => (is === "exact" ? none : take()));
  const exact = (take: () => number) => coders.map((is) => (is === "learned" ? 0 : take()));
  const alphaOnly = (take: () => number) => (header.hasAlpha ? take() : 0);
  const list = (size: number, take: () => number) => Array.from({ length: size }, take);
  const none = new Array<number>(levels).fill(0);
  const sizes = learned(
    () => ({
      levels: list(levels, () => cursor.varint() * WORD_BYTES),
      alpha: alphaOnly(() => cursor.varint()),
    }),
    { levels: none, alpha: 0 },
  );
  const exactSizes = exact(() => cursor.varint());
  const halves = learned(() => list(levels - 1, () => cursor.uint16()), none.slice(1));
  const lastChecks = learned(() => cursor.uint32(), 0);
  const alphaChecks = learned(() => alphaOnly(() => cursor.uint32()), 0);
  const exactChecks = exact(() => cursor.uint32());
  const end = cursor.at;
  if (crc32(data.subarray(begin, end)) !== cursor.uint32()) {
    throw new HvaeError("IndexDamaged", "the tile index does not match its checksum");
  }
  let at = cursor.at;
  const span = (size: number): Span => ({ begin: at, end: (at += size) });
  const alphas = sizes.map(({ alpha }) => span(alpha));
  const exacts = exactSizes.map(span);
  const spans: Span[][] = sizes.map(() => []);
  for (let level = 0; level < levels; level++) {
    for (let tile = 0; tile < count; tile++) spans[tile].push(span(sizes[tile].levels[level]));
  }
  const tiles = spans.map((of, number) => ({
    number,
    coder: coders[number],
    levels: of,
    checks: [...halves[number], lastChecks[number]],
    alpha: alphas[number],
    alphaCheck: alphaChecks[number],
    exact: exacts[number],
    exactCheck: exactChecks[number],
  }));
  return { header, metadata, map, levels, tiles, end: at, begin: cursor.at };
}

/** Return a tile's coded alpha or exact patches; null where they are missing or damaged. */
export function readPart(
  data: Uint8Array,
  { begin, end }: Span,
  tile: number,
  check: number,
): Uint8Array | null {
  const part = data.subarray(begin, end);
  return part.length === end - begin && crc32(part, tile) === check ? part : null;
}

/** Return the words of the first levels of a tile, which are there. */
export function readWords(data: Uint8Array, tile: TileIndex, levels: number): Uint32Array {
  const spans = tile.levels.slice(0, levels);
  const size = spans.reduce((sum, span) => sum + span.end - span.begin, 0);
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const { begin, end } of spans) {
    bytes.set(data.subarray(begin, end), at);
    at += end - begin;
  }
  return new Uint32Array(bytes.buffer);
}

/** Refuse a file that is longer than its index says, or shorter. */
export function checkEnd(index: Index, size: number, mayBeCut = false): void {
  if (size > index.end) {
    throw new HvaeError(
      "TrailingData",
      `bytes left over behind the last tile: ${size - index.end}`,
    );
  }
  if (size < index.end && !mayBeCut) {
    const message = `the file is cut: ${size} of ${index.end} bytes are there`;
    throw new HvaeError("Truncated", message);
  }
}

/** Go on with the CRC32 of a tile's symbols. */
export function levelCheck(before: number, symbols: Int32Array[]): number {
  return symbols.reduce((crc, part) => crc32Integers(part, crc), before);
}

/** Tell whether a check is the one that is stored of a level. */
export function isIntact(tile: TileIndex, level: number, check: number): boolean {
  const mask = level === tile.checks.length - 1 ? 0xffffffff : 0xffff;
  return ((tile.checks[level] ^ check) & mask) === 0;
}
