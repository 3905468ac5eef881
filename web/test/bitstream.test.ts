/** Bytes and integers, against what Python wrote. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Stack } from "../src/bitstream/ans.ts";
import { checkEnd, readIndex, readWords } from "../src/bitstream/container.ts";
import { crc32, crc32Integers } from "../src/bitstream/crc32.ts";
import { Cursor } from "../src/bitstream/cursor.ts";
import { HvaeError } from "../src/bitstream/errors.ts";
import { orientationOf, profileNameOf, textsOf } from "../src/bitstream/metadata.ts";
import { PmfTables } from "../src/bitstream/tables.ts";
import type { ModelConfig } from "../src/codec/config.ts";
import { contextOrder } from "../src/codec/frequencies.ts";
import { CASES, json, read } from "./fixtures.ts";

interface AnsCases {
  tables: { pmf: number[]; start: number[]; length: number[] };
  stacks: { words: number[]; index: number[]; symbols: number[] }[];
}

const { tables: parts, stacks } = await json<AnsCases>("ans.json");
const tables = new PmfTables(
  Uint32Array.from(parts.pmf),
  Int32Array.from(parts.start),
  Int32Array.from(parts.length),
);

test("symbols that Python pushed are popped, escapes among them", () => {
  for (const { words, index, symbols } of stacks) {
    const stack = new Stack(Uint32Array.from(words));
    assert.deepEqual([...stack.pop(Uint16Array.from(index), tables)], symbols);
    stack.checkEmpty();
  }
});

test("a stack says what is left on it", () => {
  const { words } = stacks.at(-1)!;
  const stack = new Stack(Uint32Array.from(words));
  assert.throws(
    () => stack.checkEmpty(),
    new RegExp(`^StreamDamaged: words left over behind the last symbol: ${words.length}$`),
  );
  assert.throws(() => new Stack(Uint32Array.of(0, 1)), /the first word of a tile is 0/);
});

test("words may come later", () => {
  const { words, index, symbols } = stacks.at(-1)!;
  const whole = new Stack(Uint32Array.from(words));
  const [first, rest] = [Uint16Array.from(index.slice(0, 1)), Uint16Array.from(index.slice(1))];
  const growing = new Stack(Uint32Array.from(words.slice(0, 6)));
  assert.deepEqual(growing.pop(first, tables), whole.pop(first, tables));
  growing.extend(Uint32Array.from(words));
  assert.deepEqual(growing.pop(rest, tables), whole.pop(rest, tables));
  assert.equal(symbols.length, index.length);
});

test("checksums are zlib's", () => {
  const text = new TextEncoder().encode("123456789");
  assert.equal(crc32(text), 0xcbf43926);
  assert.equal(crc32(text.subarray(4), crc32(text.subarray(0, 4))), 0xcbf43926);
  assert.equal(crc32Integers(Int32Array.of(0x34333231)), crc32(text.subarray(0, 4)));
});

test("varints have one form, and 32 bits", () => {
  const varint = (...octets: number[]) => new Cursor(Uint8Array.from(octets)).varint();
  assert.equal(varint(0xff, 0xff, 0xff, 0xff, 0x0f), 2 ** 32 - 1);
  assert.throws(() => varint(0x80, 0), /more bytes than it needs/);
  assert.throws(() => varint(0xff, 0xff, 0xff, 0xff, 0x1f), /outside 0\.\.\.4294967295/);
  assert.throws(() => varint(0x80, 0x80, 0x80, 0x80, 0x80, 1), /more than 5 bytes/);
  assert.throws(() => varint(0x80), /^Truncated/);
});

test("an index describes all of a file", async () => {
  const data = await read("tiles.hvae");
  const index = readIndex(data);
  assert.equal(index.end, data.length);
  assert.equal(index.tiles.length, 12);
  assert.deepEqual(index.header.grid, [3, 4]);
  assert.equal(index.header.quality, 45);
  checkEnd(index, data.length);
  const words = index.tiles.reduce(
    (sum, tile) => sum + readWords(data, tile, index.levels).length,
    0,
  );
  assert.equal(words * 4, data.length - index.begin);
});

test("a flag of a later version ends in one clear error", async () => {
  const data = await read("q50.hvae");
  for (const flags of [
    [0x81, 0x04],
    [0x81, 0x08],
    [0x81, 0x80, 0x80, 0x80, 0x0f],
  ]) {
    const body = [...data.subarray(0, 5), ...flags, ...data.subarray(6, 16)];
    const check = crc32(Uint8Array.from(body));
    const octets = [0, 8, 16, 24].map((shift) => (check >>> shift) & 255);
    assert.throws(
      () => readIndex(Uint8Array.from([...body, ...octets])),
      /^NeedsNewerViewer: this file needs a newer viewer$/,
    );
  }
});

test("a cut at any byte, or any bit flipped before the tiles, is noticed", async () => {
  const data = await read("two_tiles.hvae");
  const { begin } = readIndex(data);
  for (let size = 0; size < begin; size++) {
    assert.throws(() => readIndex(data.subarray(0, size)), { name: /NotOurFile|Truncated/ });
  }
  for (let bit = 0; bit < 8 * begin; bit++) {
    const damaged = data.slice();
    damaged[bit >> 3] ^= 1 << (bit & 7);
    assert.throws(() => readIndex(damaged), HvaeError);
  }
});

test("what Python refuses before the tiles is refused alike", async () => {
  for (const name of [
    "other_file",
    "other_version",
    "damaged_header",
    "damaged_index",
    "damaged_map",
  ]) {
    const data = await read(`${name}.hvae`);
    const [kind, message] = CASES[name].error!;
    assert.throws(() => readIndex(data), { name: kind, message });
  }
});

test("an image may be too large", async () => {
  const data = await read("q50.hvae");
  assert.throws(() => readIndex(data, 1000), {
    name: "ImageTooLarge",
    message: "the image has 192x128 = 24576 pixels, the limit is 1000",
  });
});

test("texts are strings, or there are none", () => {
  const texts = (json: string) => textsOf({ text: new TextEncoder().encode(json) });
  assert.deepEqual(texts('{"a": "b", "c": ""}'), [
    ["a", "b"],
    ["c", ""],
  ]);
  for (const json of ["", "null", "[", '"a"', '["a"]', "7", '{"a": "b", "c": 5}']) {
    assert.deepEqual(texts(json), [], json);
  }
});

test("equal frequencies are ordered by plane, row and column", () => {
  const config = { luma_context: 32, chroma_context: 0 } as ModelConfig;
  const order = contextOrder(config).map(([, row, column]) => [row ** 2 + column ** 2, row]);
  const sorted = [...order].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  assert.deepEqual(order, sorted);
});

test("half of a character is no text, nor is what is not UTF-8", () => {
  for (const json of ['{"a": "\\ud800"}', '{"\\ud800": "\\udc00"}', '\ufeff{"a": "b"}']) {
    assert.deepEqual(textsOf({ text: new TextEncoder().encode(json) }), [], json);
  }
  const wide = Uint8Array.from('{\0"\0a\0"\0:\0"\0b\0"\0}\0', (letter) => letter.charCodeAt(0));
  assert.deepEqual(textsOf({ text: wide }), []);
});

test("an ICC profile of version 2 or 4 tells its name", () => {
  const profile = (data: string) => {
    const tag = `\0\0\0\x01desc\0\0\0\x90\0\0\0${String.fromCharCode(data.length)}`;
    return Uint8Array.from("\0".repeat(128) + tag + data, (letter) => letter.charCodeAt(0));
  };
  const old = profile("desc\0\0\0\0\0\0\0\x05sRGB\0\0\0\0");
  const records = "\0\0\0\x01\0\0\0\x0cenUS\0\0\0\x04\0\0\0\x1c";
  const localised = profile(`mluc\0\0\0\0${records}\0P\x01\x01`);
  assert.equal(profileNameOf(old), "sRGB");
  assert.equal(profileNameOf(localised), "P\u0101");
  assert.equal(profileNameOf(localised.subarray(0, 150)), "");
  assert.equal(profileNameOf(Uint8Array.of(1, 2)), "");
});

test("the module of the page loads where there is none", async () => {
  const { ImgHvae } = await import("../src/hvae.ts");
  assert.equal(typeof ImgHvae, "function");
});

test("EXIF tells how a picture is turned, by any integer", () => {
  const exif = (...orientation: number[]) =>
    Uint8Array.from([
      ...[0x45, 0x78, 0x69, 0x66, 0, 0], // Exif
      ...[0x4d, 0x4d, 0, 42, 0, 0, 0, 8, 0, 1], // big-endian TIFF, one entry
      ...[0x01, 0x12, ...orientation], // its type, its number of values, and these
    ]);
  const short = exif(0, 3, 0, 0, 0, 1, 0, 6, 0, 0);
  assert.equal(orientationOf(short), 6);
  assert.equal(orientationOf(short.subarray(6)), 6);
  assert.equal(orientationOf(Uint8Array.from([...short.subarray(0, 6), ...short])), 6);
  assert.equal(orientationOf(exif(0, 1, 0, 0, 0, 1, 6, 0, 0, 0)), 6);
  assert.equal(orientationOf(exif(0, 4, 0, 0, 0, 1, 0, 0, 0, 6)), 6);
  assert.equal(orientationOf(exif(0, 3, 0, 0, 0, 1, 0, 9, 0, 0)), 1);
  assert.equal(orientationOf(exif(0, 3, 0, 0, 0, 2, 0, 6, 0, 0)), 1, "two values are none");
  assert.equal(orientationOf(exif(0, 2, 0, 0, 0, 1, 0, 6, 0, 0)), 1, "nor is text");
  assert.equal(orientationOf(short.map((octet) => (octet === 0x4d ? 0x4e : octet))), 1);
  for (let size = 0; size < short.length; size++) {
    assert.equal(orientationOf(short.subarray(0, size)), 1);
  }
  assert.equal(orientationOf(undefined), 1);
});
