/** The viewer in a headless browser, as `hvae-codec view` serves it. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import type { Page } from "puppeteer-core";
import { difference, read } from "./fixtures.ts";
import { answers, refuse } from "./gate.ts";
import { choose, click, FIREFOX, isSeen, opened, png, says, textOf } from "./pages.ts";

/** Folder for screenshots, if they are wanted. */
const SHOTS = process.env.SCREENSHOTS;
const WHOLE = /context and 6 levels in/;

/** Open a file that the page offers. */
async function openFile(page: Page, name: string): Promise<void> {
  await click(page, `${name}.hvae`);
}

async function shot(page: Page, name: string): Promise<void> {
  if (!SHOTS) return;
  await mkdir(SHOTS, { recursive: true });
  await page.screenshot({ path: join(SHOTS, `${name}.png`), fullPage: true });
}

/** Return all that Pillow reads of a picture, of ours or PNG. */
function asPillowReads(data: Uint8Array): string {
  const script = `
import io, sys, hvae_codec.pillow, PIL.Image
image = PIL.Image.open(io.BytesIO(sys.stdin.buffer.read()))
image.load()
text = getattr(image, "text", None) or image.info.get("text", {})
print(image.mode, image.size, image.tobytes().hex(), [image.info.get(k) for k in ("icc_profile", "exif", "xmp")])
print([round(d) for d in image.info.get("dpi", ())], {k: text[k] for k in text if not k.startswith("XML:")})`;
  return execFileSync(process.env.PYTHON ?? "python3", ["-c", script], { input: data }).toString();
}

/** Return the pixels that the page shows, which a browser that hides them from pages would change. */
async function shown(page: Page): Promise<Uint8Array> {
  const data = await page.$eval("#canvas", (it) => {
    const canvas = it as HTMLCanvasElement;
    const context = canvas.getContext("2d")!;
    return Array.from(context.getImageData(0, 0, canvas.width, canvas.height).data);
  });
  return Uint8Array.from(data);
}

test("the page shows a file, what it costs, some levels and a region of it", async () => {
  const page = await opened("");
  await openFile(page, "photo");
  await says(page, WHOLE);
  assert.ok(difference(await shown(page), await read("photo.rgba")) <= 1);
  assert.equal((await page.$$("#costs tr")).length, 8);
  await shot(page, "desktop");

  await openFile(page, "tiles");
  await says(page, WHOLE);
  assert.equal((await page.$$("#tiles span")).length, 12);
  await page.locator("#levels").fill("2");
  await says(page, /context and 2 levels in/);
  assert.ok(difference(await shown(page), await read("levels.rgba")) <= 1);
  await page.locator("#levels").fill("6");
  await says(page, WHOLE);
  await page.locator("#region").fill("130, 100, 200, 77");
  await click(page, "Decode again");
  await says(page, WHOLE);
  const pixels = await shown(page);
  const alphaAt = (x: number, y: number) => pixels[4 * (y * 500 + x) + 3];
  assert.deepEqual([alphaAt(130, 100), alphaAt(329, 176)], [255, 255]);
  assert.deepEqual([alphaAt(129, 100), alphaAt(330, 176)], [0, 0]);
  await page.locator("#region").fill("1, 2, 3");
  await click(page, "Decode again");
  await says(page, /is not x, y, width and height/);
  await page.browserContext().close();
});

test("on a phone, in the dark, beside the original, by keyboard", async () => {
  const page = await opened("");
  await page.setViewport({ width: 390, height: 844, deviceScaleFactor: 2 });
  // which puppeteer cannot ask of Firefox
  if (!FIREFOX) await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: "dark" }]);
  await openFile(page, "photo");
  await says(page, WHOLE);
  await choose(page, "#against", "original.png", "image/png", await png(page));
  await page.focus("#divider");
  await page.keyboard.press("ArrowRight");
  assert.equal(await page.$eval("#divider", (it) => (it as HTMLInputElement).value), "50.5");
  await page.focus("#stage");
  const zoom = () => textOf(page, "#zoom");
  const fitted = await zoom();
  await page.keyboard.press("+");
  assert.notEqual(await zoom(), fitted);
  await page.keyboard.press("0");
  assert.equal(await zoom(), fitted);
  const wider = await page.$eval("html", (it) => it.scrollWidth - it.clientWidth);
  assert.equal(wider, 0, "nothing is wider than the screen");
  await shot(page, "phone");
  await page.browserContext().close();
});

test("what is damaged is shown and told", async () => {
  const page = await opened("");
  await openFile(page, "damaged");
  await says(page, /tile 5 damaged or missing; context and 1 level in/);
  await openFile(page, "cut");
  await says(page, /cut, 4.754 of 5.685 bytes are there; context and 2 levels/);
  await openFile(page, "longer");
  await says(page, /bytes left over behind the last tile: 4; context and 6 levels in/);
  await openFile(page, "other_file");
  await says(page, /not a file of this codec: it begins with 89 50 4e 47/);
  assert.ok(!(await isSeen(page, "#canvas")), "nothing is left of another file");
  assert.ok(!(await isSeen(page, "#about")));
  await page.browserContext().close();
});

test("a picture is saved with all that is told of it, under no alpha as well", async () => {
  const page = await opened("");
  await page.evaluate(() => {
    const saved: [string, Blob][] = ((window as any).saved = []);
    URL.createObjectURL = (blob) => `blob:${saved.push(["", blob as Blob]) - 1}`;
    HTMLAnchorElement.prototype.click = function () {
      saved[Number(this.href.slice(5))][0] = this.download;
    };
    URL.revokeObjectURL = () => saved.pop(); // which some browsers would miss that read it later
  });
  for (const name of ["contents_described", "contents_lossless_grey_alpha"]) {
    await openFile(page, name);
    await says(page, / in [\d.\s]+ m?s$/);
    await click(page, "Save PNG");
    await says(page, RegExp(`^${name}.png is made$`));
    const [called, png] = await page.evaluate(async () => {
      const [called, blob] = (window as any).saved.at(-1);
      return [called, [...new Uint8Array(await blob.arrayBuffer())]];
    });
    assert.equal(called, `${name}.png`);
    assert.deepEqual(asPillowReads(Buffer.from(png)), asPillowReads(await read(`${name}.hvae`)));
  }
  await page.browserContext().close();
});

test("a picture is zoomed as it was when it is decoded again", async () => {
  const page = await opened("");
  await openFile(page, "q50");
  await says(page, WHOLE);
  await click(page, "Zoom in");
  const zoom = await textOf(page, "#zoom");
  await page.locator("#levels").fill("2");
  await says(page, /context and 2 levels in/);
  assert.equal(await textOf(page, "#zoom"), zoom);
  await page.browserContext().close();
});

test("a file is known by its name, and what is no picture is told", async () => {
  const page = await opened("");
  await says(page, /./); // of the first file that is served
  const data = Buffer.from(await read("q50.hvae")).toString("base64");
  await choose(page, "#open", "OURS.HVAE", "image/x-hvae", data);
  await says(page, WHOLE);
  await choose(page, "#against", "none.png", "image/png", data);
  await says(page, /^none.png is no picture that this browser shows$/);
  assert.ok(!(await isSeen(page, "#divider")));
  await page.browserContext().close();
});

test("a screen shows without weights and runtime", async () => {
  const page = await opened("");
  for (const part of ["/weights/", "/runtime/"]) answers.set(part, refuse);
  await openFile(page, "screen");
  await says(page, /^exact, in/);
  assert.equal(difference(await shown(page), await read("screen.rgba")), 0);
  await page.browserContext().close();
});
