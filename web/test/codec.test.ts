/** Files to pixels in node, against Python's. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import * as ort from "onnxruntime-web";
import { readIndex } from "../src/bitstream/container.ts";
import { HvaeError } from "../src/bitstream/errors.ts";
import { arrivedIndex } from "../src/codec/arriving.ts";
import { Codec } from "../src/codec/codec.ts";
import { decodeFile } from "../src/codec/decoder.ts";
import type { Area, DecodeOptions, Machine, Outcome } from "../src/codec/options.ts";
import type { Ort } from "../src/codec/graphs.ts";
import { Source } from "../src/codec/source.ts";
import { Weights } from "../src/codec/weights.ts";
import { open as openJpeg2000 } from "../src/jpeg2000.ts";
import { open as openWebp } from "../src/webp.ts";
import { CASES, difference, read } from "./fixtures.ts";

const codecs = new Map<string, Promise<Codec>>();
const machine: Machine = {
  codecOf(hash) {
    const fetchPart = (path: string) => read(`weights/${path}`).catch(() => null);
    if (!codecs.has(hash)) codecs.set(hash, Codec.open(hash, fetchPart, ort as unknown as Ort));
    return codecs.get(hash)!;
  },
  openWebp: async () => openWebp(await wasmOf("@jsquash/webp/codec/dec/webp_dec.wasm")),
  openJpeg2000: async () => openJpeg2000(await wasmOf("@cornerstonejs/codec-openjpeg/decodewasm")),
  breathe: () => Promise.resolve(),
};

async function wasmOf(specifier: string): Promise<ArrayBuffer> {
  return (await readFile(new URL(import.meta.resolve(specifier)))).buffer as ArrayBuffer;
}

interface Decoded {
  outcome: Outcome;
  areas: Area[];
}

async function decoded(
  source: Source,
  options: DecodeOptions,
  own: Partial<Machine> = {},
): Promise<Decoded> {
  const areas: Area[] = [];
  const outcome = await decodeFile(
    source,
    options,
    { ...machine, ...own },
    {
      index: () => undefined,
      area: (area) => areas.push(area),
    },
  );
  return { outcome, areas };
}

/** Lay areas of a scale side by side. */
function together(areas: Area[], scale: number, width: number, height: number): Uint8Array {
  const rgba = new Uint8Array(4 * width * height);
  for (const area of areas.filter((each) => each.scale === scale)) {
    for (let row = 0; row < area.height; row++) {
      const line = area.rgba.subarray(4 * row * area.width, 4 * (row + 1) * area.width);
      rgba.set(line, 4 * ((area.y + row) * width + area.x));
    }
  }
  return rgba;
}

for (const [name, expected] of Object.entries(CASES)) {
  test(`${name} decodes as in Python`, async () => {
    const source = Source.of(await read(`${name}.hvae`));
    if (expected.error) {
      const [kind, message] = expected.error;
      await assert.rejects(decoded(source, expected.options), (error: HvaeError) => {
        assert.equal(error.name, kind);
        // which of several flaws is noticed first differs
        if (!["Truncated", "TileDamaged"].includes(kind)) assert.equal(error.message, message);
        return true;
      });
      return;
    }
    const { outcome, areas } = await decoded(source, expected.options);
    const { width, height, wholeLevels, lostTiles } = expected;
    assert.deepEqual(outcome, { wholeLevels, lostTiles });
    const rgba = together(areas, expected.options.scale ?? 1, width, height);
    const most = difference(rgba, await read(`${name}.rgba`));
    assert.ok(most <= 1, `pixels differ by ${most}`);
  });
}

test("a picture sharpens as its bytes arrive", async () => {
  const data = await read("q90.hvae");
  const source = new Source();
  const levels: number[] = [];
  const picture = decodeFile(source, { progressive: true }, machine, {
    index: () => undefined,
    area: (area) => levels.push(area.levels),
  });
  for (let at = 0; at < data.length; at += 50) {
    source.append(data.subarray(at, at + 50));
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  source.end();
  assert.deepEqual(await picture, { wholeLevels: 6, lostTiles: [] });
  assert.equal(levels[0], 1);
  assert.equal(levels.at(-1), 7);
  assert.deepEqual(levels, [...levels].sort());
  assert.ok(levels.length > 2, `only levels ${levels} were shown`);
});

test("less than all of a picture does not wait for the rest of its file", async () => {
  const data = await read("tiles.hvae");
  const { tiles } = readIndex(data);
  for (const [options, level] of [
    [{ scale: 8 }, 0],
    [{ levels: 1 }, 1],
  ] as const) {
    const source = new Source(); // which nobody ends
    source.append(data.subarray(0, tiles.at(-1)!.levels[level].end));
    const { outcome } = await decoded(source, options);
    assert.deepEqual(outcome, { wholeLevels: level, lostTiles: [] });
  }
});

test("an exact tile is decoded and shown once, however often the others sharpen", async () => {
  const data = await read("deep_mixed.hvae");
  const { tiles } = readIndex(data);
  const exact = tiles.filter(({ coder }) => coder === "exact");
  let planes = 0;
  const source = new Source();
  const picture = decoded(
    source,
    { progressive: true },
    {
      async openJpeg2000() {
        const decode = await machine.openJpeg2000();
        return (...given) => (planes++, decode(...given));
      },
    },
  );
  for (let level = 0, at = 0; level < 7; level++) {
    const { end } = tiles.findLast(({ coder }) => coder !== "exact")!.levels[level];
    source.append(data.subarray(at, end));
    at = end;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  source.end();
  const { areas } = await picture;
  assert.equal(planes, 3 * exact.length);
  const [x, y] = [224, 0]; // of tile 1
  assert.equal(areas.filter((area) => area.x === x && area.y === y).length, 1);
});

test("files of other weights are refused, not decoded wrongly", async () => {
  await assert.rejects(
    Codec.open("01234567", () => Promise.resolve(null), ort as unknown as Ort),
    {
      name: "WrongWeights",
      message: "the file was written with the weights 01234567, which are not at hand",
    },
  );
});

test("bytes behind the last tile end the decoding, or are not kept", async () => {
  const data = await read("tiles.hvae");
  for (const keepGoing of [false, true]) {
    const source = new Source(); // which nobody ends
    const found = decoded(source, { keepGoing }).then(
      ({ outcome }) => outcome.lostTiles,
      ({ name }) => name,
    );
    source.append(data);
    for (let i = 0; i < 20; i++) {
      await new Promise((resolve) => setTimeout(resolve));
      source.append(new Uint8Array(1000));
    }
    assert.deepEqual(await found, keepGoing ? [] : "TrailingData");
    assert.equal(source.data.length, data.length);
  }
});

test("an index is not read again with every packet", async () => {
  let reads = 0;
  class Counted extends Source {
    override get data(): Uint8Array {
      reads++;
      return super.data;
    }
  }
  const data = await read("tiles.hvae");
  const source = new Counted();
  const index = arrivedIndex(source, {});
  for (const octet of data) {
    source.append(Uint8Array.of(octet));
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { begin } = await index;
  assert.ok(begin > 200 && reads < 200, `${begin} bytes are read in ${reads} looks`);
});

test("options that are none are refused before the first byte", async () => {
  const wrong = [
    ...[{ levels: 2.5 }, { levels: NaN }, { levels: -5 }],
    ...[{ maxPixels: 2.5 }, { maxPixels: NaN }, { maxPixels: -5 }],
    ...[{ scale: 2 }, { region: [0, 0, 1.5, 1] }, { region: [0, 0, 1] }],
  ];
  for (const options of wrong) {
    await assert.rejects(decoded(new Source(), options as DecodeOptions), {
      name: "ArgumentError",
    });
  }
});

test("weights that are damaged, or none, are a WeightsError", async () => {
  const { header } = readIndex(await read("q50.hvae"));
  const path = `${header.weights}/context.safetensors`;
  const whole = await read(`weights/${path}`);
  const size = Number(new DataView(whole.buffer).getBigUint64(0, true));
  const page = new TextEncoder().encode("<!doctype html><title>not here</title>");
  const { data_offsets: graph } = JSON.parse(new TextDecoder().decode(whole.subarray(8, 8 + size)))[
    "graphs.convolution"
  ];
  // each octet says that its number goes on behind it, and the last one as well
  const endless = whole.slice().fill(0xff, 8 + size + graph[0], 8 + size + graph[1]);
  for (const data of [page, page.slice(0, 3), whole.slice(0, -1), whole.slice(0, 50), endless]) {
    await assert.rejects(
      Codec.open(header.weights, () => Promise.resolve(data), ort as unknown as Ort),
      { name: "WeightsError" },
    );
  }
});

test("a model of other weights is refused", async () => {
  const hashes = ["q50", "eye_q50"].map(async (name) => {
    return readIndex(await read(`${name}.hvae`)).header.weights;
  });
  const [hash, other] = await Promise.all(hashes);
  const weights = await Weights.open(hash, (path) =>
    read(`weights/${path.includes("model") ? path.replace(hash, other) : path}`),
  );
  await assert.rejects(weights.model(0), { name: "WeightsError", message: /of other weights/ });
});

test("a source that fails ends the decoding with its error", async () => {
  const source = new Source();
  const picture = decoded(source, {});
  source.append((await read("q50.hvae")).subarray(0, 100));
  source.fail(new Error("the line is dead"));
  await assert.rejects(picture, /the line is dead/);
});
