/** `decode` in a headless browser. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { CASES, difference, read } from "./fixtures.ts";
import { answers, refuse } from "./gate.ts";
import { NAMES, opened } from "./pages.ts";

/** Cases that node's tests have, and where a browser makes no difference. */
const ELSEWHERE = [
  ...["grey", "q10", "levels", "thumbnail", "lost_kept", "longer", "damaged_kept"],
  ...["patches_thumbnail", "damaged_map"],
];

interface Found {
  width: number;
  height: number;
  wholeLevels: number;
  lostTiles: number[];
  rgba: string;
}

test("every file decodes as in Python, or ends in the same error", async () => {
  const page = await opened("blank");
  assert.ok(await page.evaluate(() => crossOriginIsolated), "threads need an isolated page");
  for (const [number, name] of NAMES.entries()) {
    if (ELSEWHERE.includes(name) || name.startsWith("cut_at_")) continue;
    const { error, options, ...expected } = CASES[name];
    const found = await page.evaluate(
      async ([number, options]): Promise<Found | { error: string }> => {
        const { decode } = await import(new URL("hvae.js", document.baseURI).href);
        try {
          const { rgba, width, height, wholeLevels, lostTiles } = await decode(
            `files/${number}`,
            options,
          );
          const reader = new FileReader();
          const text = await new Promise<string>((resolve) => {
            reader.onload = () => resolve(reader.result as string);
            reader.readAsDataURL(new Blob([rgba]));
          });
          return { width, height, wholeLevels, lostTiles, rgba: text.split(",")[1] };
        } catch (error) {
          return { error: (error as Error).name };
        }
      },
      [number, options] as const,
    );
    if ("error" in found) {
      assert.equal(found.error, error?.[0], name);
      continue;
    }
    const { rgba, ...rest } = found;
    assert.deepEqual(rest, expected, name);
    assert.ok(difference(Buffer.from(rgba, "base64"), await read(`${name}.rgba`)) <= 1, name);
  }
  await page.browserContext().close();
});

test("a picture sharpens as it arrives, level by level", async () => {
  const page = await opened("blank");
  const levels = await page.evaluate(async (number) => {
    const { decode } = await import(new URL("hvae.js", document.baseURI).href);
    const bytes = new Uint8Array(await (await fetch(`files/${number}`)).arrayBuffer());
    const ends: number[] = [];
    await decode(bytes, {
      onIndex: (index: any) => ends.push(...index.tiles[0].levels.map(({ end }: any) => end)),
    });
    // the bytes of a level come when the level before it is shown
    const seen: number[] = [];
    let at = 0;
    let controller!: ReadableStreamDefaultController<Uint8Array>;
    const stream = new ReadableStream<Uint8Array>({ start: (given) => void (controller = given) });
    const sendLevel = (level: number) => {
      controller.enqueue(bytes.slice(at, ends[level]));
      at = ends[level];
      if (at === bytes.length) controller.close();
    };
    const done = decode(stream, {
      progressive: true,
      onArea: ({ levels }: any) => {
        seen.push(levels);
        if (levels < ends.length) sendLevel(levels);
      },
    });
    sendLevel(0);
    await done;
    return seen;
  }, NAMES.indexOf("q90"));
  assert.deepEqual(levels, [1, 2, 3, 4, 5, 6, 7]);
  await page.browserContext().close();
});

test("what is no longer wanted is no longer read", async () => {
  const page = await opened("blank");
  const reasons = await page.evaluate(async (number) => {
    const { decode } = await import(new URL("hvae.js", document.baseURI).href);
    const bytes = new Uint8Array(await (await fetch(`files/${number}`)).arrayBuffer());
    const endless = (first: Uint8Array) => {
      let tell!: (reason: string) => void;
      const cancelled = new Promise<string>((resolve) => (tell = resolve));
      const stream = new ReadableStream<Uint8Array>({
        start: (controller) => controller.enqueue(first),
        cancel: (reason) => tell(String(reason)),
      });
      return { stream, cancelled };
    };
    const aborted = endless(bytes.slice(0, 100));
    const stopping = new AbortController();
    const done = decode(aborted.stream, { signal: stopping.signal }).catch(String);
    stopping.abort("enough");
    const refused = endless(new Uint8Array(100));
    const error = await decode(refused.stream).catch(String);
    return [await done, await aborted.cancelled, error, await refused.cancelled];
  }, NAMES.indexOf("q90"));
  assert.equal(reasons[0], "enough");
  assert.match(reasons[1], /abort/i);
  assert.match(reasons[2], /NotOurFile/);
  assert.match(reasons[3], /abort/i);
  await page.browserContext().close();
});

test("what does not load is tried again", async () => {
  const page = await opened("blank");
  const decodes = () =>
    page.evaluate(async (number) => {
      const { decode } = await import(new URL("hvae.js", document.baseURI).href);
      return decode(`files/${number}`).then(
        () => "decoded",
        ({ name, message }: Error) => `${name}: ${message}`,
      );
    }, NAMES.indexOf("q50"));
  answers.set("/worker.js", refuse);
  assert.equal(await decodes(), "Error: worker.js does not load");
  answers.delete("/worker.js");
  answers.set("/runtime/", refuse);
  assert.match(await decodes(), /^Error: /);
  answers.delete("/runtime/");
  answers.set("/weights/", refuse);
  assert.match(await decodes(), /^WeightsError: .* does not load: TypeError/);
  answers.delete("/weights/");
  let kind = "text/plain";
  answers.set("/weights/", ({ response }) => {
    response.writeHead(500, { "content-type": kind }).end("the disk is gone");
  });
  assert.match(await decodes(), /^WeightsError: .* does not load: the disk is gone$/);
  kind = "text/html";
  assert.match(await decodes(), /^WeightsError: .* does not load: 500$/);
  answers.delete("/weights/");
  assert.equal(await decodes(), "decoded");
  await page.browserContext().close();
});

test("an aborted picture ends at once, though its weights never come", async () => {
  const page = await opened("blank");
  answers.set("/weights/", () => undefined);
  const found = await page.evaluate(async (number) => {
    const { decode } = await import(new URL("hvae.js", document.baseURI).href);
    const stopping = new AbortController();
    const onIndex = () => stopping.abort("enough");
    return decode(`files/${number}`, { signal: stopping.signal, onIndex }).catch(String);
  }, NAMES.indexOf("q50"));
  assert.equal(found, "enough");
  await page.browserContext().close();
});

test("what is thrown in the page ends the picture as what it is", async () => {
  const page = await opened("blank");
  answers.set("/gone", refuse);
  const found = await page.evaluate(async (number) => {
    const { decode, HvaeError } = await import(new URL("hvae.js", document.baseURI).href);
    const thrown = () => {
      throw new RangeError("of the page");
    };
    const file = `files/${number}`;
    const errors: unknown[] = await Promise.all([
      decode(file, { onIndex: thrown }).catch((error: unknown) => error),
      decode(file, { onArea: thrown }).catch((error: unknown) => error),
      decode(file, { levels: () => 1 }).catch((error: unknown) => error),
      decode("gone").catch((error: unknown) => error),
      decode(file, { levels: -5 }).catch((error: unknown) => error),
    ]);
    return errors.map((error) => [(error as Error).name, error instanceof HvaeError]);
  }, NAMES.indexOf("screen"));
  assert.deepEqual(found, [
    ["RangeError", false],
    ["RangeError", false],
    ["DataCloneError", false],
    ["TypeError", false],
    ["ArgumentError", true],
  ]);
  await page.browserContext().close();
});

test("a browser that hides its canvas from pages decodes exact pixels all the same", async () => {
  const page = await opened("blank");
  const hides = `{
    const { prototype } = OffscreenCanvasRenderingContext2D;
    const { getImageData } = prototype;
    prototype.getImageData = function (...given) {
      const image = getImageData.apply(this, given);
      crypto.getRandomValues(image.data);
      return image;
    };
  }`;
  answers.set("/worker.js", ({ pass }) => pass({}, hides));
  const name = "lossless";
  const found = await page.evaluate(async (number) => {
    const { decode } = await import(new URL("hvae.js", document.baseURI).href);
    return Array.from((await decode(`files/${number}`)).rgba as Uint8ClampedArray);
  }, NAMES.indexOf(name));
  assert.equal(difference(Uint8Array.from(found), await read(`${name}.rgba`)), 0);
  await page.browserContext().close();
});

test("a piece of a large buffer is sent without the rest of it", async () => {
  const page = await opened("blank");
  const [whole, left] = await page.evaluate(async (number) => {
    const { decode } = await import(new URL("hvae.js", document.baseURI).href);
    const bytes = new Uint8Array(await (await fetch(`files/${number}`)).arrayBuffer());
    const sent: number[] = [];
    const { postMessage } = Worker.prototype;
    Worker.prototype.postMessage = function (message: any, ...more: any) {
      if (message.do === "bytes") sent.push(message.bytes.buffer.byteLength);
      return postMessage.call(this, message, ...more);
    };
    const stream = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let at = 0; at < bytes.length; at += 100) {
          controller.enqueue(bytes.subarray(at, at + 100));
        }
        controller.close();
      },
    });
    await decode(stream);
    return [sent.reduce((sum, size) => sum + size, 0) === bytes.length, bytes.length];
  }, NAMES.indexOf("screen"));
  assert.ok(whole && Number(left) > 100, "all of it is sent once, and the buffer is left");
  await page.browserContext().close();
});
