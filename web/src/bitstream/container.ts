/** The whole file: header, metadata, index, alpha, levels (bitstream/container.py draws it). */

import { crc32, crc32Integers } from "./crc32.ts";
import { Cursor } from "./cursor.ts";
import { HvaeError } from "./errors.ts";
import { type Header, readHeader } from "./header.ts";
import { type Metadata, readMetadata } from "./metadata.ts";

const MAX_LEVELS = 64;
const WORD_BYTES = 4;

/** Where bytes are in the file. */
export interface Span {
  begin: number;
  end: number;
}

/** What the index says of a tile. */
export interface TileIndex {
  number: number;
  /** Of each level, coarse to fine. */
  levels: Span[];
  /** Check of each level: the lower 16 bits of a CRC32, of the last level all 32. */
  checks: number[];
  alpha: Span;
  alphaCheck: number;
}

/** All of a file but its tiles, and where these are. */
export interface Index {
  header: Header;
  metadata: Metadata;
  /** Number of levels, the context included. */
  levels: number;
  tiles: TileIndex[];
  /** Size of the whole file in bytes. */
  end: number;
  /** Bytes before the first tile: header, metadata and index. */
  begin: number;
}

/** Read all but the tiles; whether these are there is not looked at. */
export function readIndex(data: Uint8Array, maxPixels?: number): Index {
  const cursor = new Cursor(data);
  const header = readHeader(cursor, maxPixels);
  const metadata = header.hasMetadata ? readMetadata(cursor) : {};
  const begin = cursor.at;
  const count = header.grid[0] * header.grid[1];
  const levels = cursor.byte();
  if (levels < 1 || levels > MAX_LEVELS) {
    throw new HvaeError("InvalidField", `${levels} levels are outside 1...${MAX_LEVELS}`);
  }
  const sizes: number[][] = [];
  const alphaSizes: number[] = [];
  for (let tile = 0; tile < count; tile++) {
    sizes.push(Array.from({ length: levels }, () => cursor.varint() * WORD_BYTES));
    alphaSizes.push(header.hasAlpha ? cursor.varint() : 0);
  }
  const checks = sizes.map(() => Array.from({ length: levels - 1 }, () => cursor.uint16()));
  for (const of of checks) of.push(cursor.uint32());
  const alphaChecks = sizes.map(() => (header.hasAlpha ? cursor.uint32() : 0));
  const end = cursor.at;
  if (crc32(data.subarray(begin, end)) !== cursor.uint32()) {
    throw new HvaeError("IndexDamaged", "the tile index does not match its checksum");
  }
  let at = cursor.at;
  const span = (size: number): Span => ({ begin: at, end: (at += size) });
  const alphas = alphaSizes.map(span);
  const spans: Span[][] = sizes.map(() => []);
  for (let level = 0; level < levels; level++) {
    for (let tile = 0; tile < count; tile++) spans[tile].push(span(sizes[tile][level]));
  }
  const tiles = spans.map((of, number) => ({
    number,
    levels: of,
    checks: checks[number],
    alpha: alphas[number],
    alphaCheck: alphaChecks[number],
  }));
  return { header, metadata, levels, tiles, end: at, begin: cursor.at };
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

/** Refuse a file that is longer than its index says. */
export function checkEnd(index: Index, size: number): void {
  if (size > index.end) {
    throw new HvaeError(
      "TrailingData",
      `${size - index.end} bytes are left over behind the last tile`,
    );
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
