/** `<img-hvae>` in headless Chromium, beside what `<img>` does. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import type { Page } from "puppeteer-core";
import { CASES, read } from "./fixtures.ts";
import { answers, refuse } from "./gate.ts";
import { NAMES, opened, png } from "./pages.ts";

/** The address of a file. */
const file = (name: string) => `files/${NAMES.indexOf(name)}`;

/** Open a page that has some elements. */
async function showing(html: string, policy?: string): Promise<Page> {
  const page = await opened("blank", policy);
  await page.evaluate(async (html) => {
    document.body.innerHTML = html;
    await import(new URL("hvae.js", document.baseURI).href);
  }, html);
  return page;
}

/** Wait until nothing more comes for an element. */
async function complete(page: Page, id: string): Promise<void> {
  await page.waitForFunction((id) => (document.getElementById(id) as any).complete, {}, id);
}

/** Return properties of an element. */
function of(page: Page, id: string, ...names: string[]): Promise<unknown[]> {
  const all = (it: any, names: string[]) => names.map((name) => it[name]);
  return page.$eval(`#${id}`, all, names);
}

/** Return how many images of a name are told to those who do not see the page. */
async function told(page: Page, name: string): Promise<number> {
  return (await page.$$(`::-p-aria([name="${name}"][role="image"])`)).length;
}

/** Let timers of a page that take more than some seconds wait until `ring` is called. */
function holdTimers(page: Page): Promise<void> {
  return page.evaluate(() => {
    const { setTimeout, clearTimeout } = window;
    const held = new Map<number, () => void>();
    let last = 0;
    Object.assign(window, {
      setTimeout(work: () => void, ms: number) {
        if (ms < 5000) return setTimeout(work, ms);
        held.set(--last, work);
        return last;
      },
      clearTimeout: (id: number) => held.delete(id) || clearTimeout(id),
      ring: () => [...held].forEach(([id, work]) => held.delete(id) && work()),
    });
  });
}

function ring(page: Page): Promise<void> {
  return page.evaluate(() => (window as any).ring());
}

test("pictures load when they are near, have sizes and words, and fall back", async () => {
  const fallback = `data:image/png;base64,${await png(await opened("blank"))}`;
  const page = await showing(`
    <img-hvae id="one" src="${file("photo")}" alt="a cat" width="384"></img-hvae>
    <img-hvae id="two" src="${file("damaged_header")}" alt="two" fallback="${fallback}"></img-hvae>
    <img-hvae id="three" src="${file("damaged_header")}" alt="three"></img-hvae>
    <img-hvae id="four" src="${file("screen")}" alt=""></img-hvae>
    <div style="height: 9000px"></div>
    <img-hvae id="far" src="${file("photo")}" alt="the cat again" loading="lazy"></img-hvae>`);
  for (const id of ["one", "two", "three", "four"]) await complete(page, id);
  assert.deepEqual(await of(page, "one", "offsetWidth", "offsetHeight"), [384, 256]);
  for (const name of ["a cat", "two", "three", "the cat again"]) {
    assert.equal(await told(page, name), 1, name);
  }
  await page.locator("#two >>> img").wait();
  assert.deepEqual(await of(page, "two", "naturalWidth"), [0]);
  const words = () => page.$eval("#three", (it) => it.shadowRoot!.textContent);
  assert.equal(await words(), "three");
  await page.$eval("#three", (it: any) => (it.alt = "words"));
  assert.equal(await words(), "words");

  assert.deepEqual(await of(page, "far", "naturalWidth", "complete"), [0, false]);
  await page.$eval("#far", (far) => far.scrollIntoView());
  await complete(page, "far");
  assert.deepEqual(await of(page, "far", "naturalWidth"), [768]);
  await page.browserContext().close();
});

test("its size is that of an image under the same rules, however narrow the page", async () => {
  const page = await opened("blank");
  const { width, height } = CASES.screen;
  const differing = await page.evaluate(
    async ([src, width, height]) => {
      const address = new URL("hvae.js", document.baseURI).href;
      const { ImgHvae } = await import(address);
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [width, height];
      const same = canvas.toDataURL();
      document.head.innerHTML = `<style>
      img { max-width: 100% } img[width][height] { height: auto } .wide { width: 90% }
    </style>`;
      const half = `width=${width / 2} height=${height / 2}`;
      const wrong: string[] = [];
      for (const rules of ["", "width: 120px", "display: flex", "display: grid"]) {
        for (const given of [
          ...["", "width=96", "height=64", half, "width='50%'", "class=wide"],
          ...["style='height: 60px'", "style='display: block'", "style='max-height: 40px'"],
          ...[`${half} style='width: 75px; height: auto'`],
          ...["style='position: absolute; height: 50px'", "style='width: 30px; aspect-ratio: 1'"],
        ]) {
          const hold = document.createElement("div");
          hold.style.cssText = `position: relative; ${rules}`;
          hold.innerHTML = `<div><img ${given}></div><div><img-hvae ${given}></img-hvae></div>`;
          document.body.append(hold);
          const [image, ours] = [hold.querySelector("img")!, hold.querySelector("img-hvae") as any];
          [image.src, ours.src] = [same, src];
          await Promise.all([image.decode(), ours.decode()]);
          const sizes = [image, ours, ours.shadowRoot.firstChild].map((it: Element) => {
            const { width, height } = it.getBoundingClientRect();
            return `${Math.round(width)}x${Math.round(height)}`;
          });
          if (new Set(sizes).size > 1) wrong.push(`${rules}, ${given}: ${sizes.join(", ")}`);
          if (!(ours instanceof ImgHvae)) wrong.push("no element");
          hold.remove();
        }
      }
      return wrong;
    },
    [file("screen"), width, height] as const,
  );
  assert.deepEqual(differing, []);
  await page.browserContext().close();
});

test("object-fit, parts and a content security policy are heeded", async () => {
  const policy =
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'";
  const page = await showing("<p>", policy);
  const found = await page.evaluate(
    async ([src, deep]) => {
      const violations: string[] = [];
      document.addEventListener("securitypolicyviolation", (event) => {
        violations.push(event.violatedDirective);
      });
      const sheet = new CSSStyleSheet(); // which no policy forbids
      sheet.replaceSync(`
      img-hvae { object-fit: cover; width: 50px }
      img-hvae::part(image) { border-radius: 7px }`);
      document.adoptedStyleSheets = [sheet];
      const one: any = document.createElement("img-hvae");
      one.src = src;
      document.body.append(one);
      await one.decode();
      const { objectFit, borderRadius } = getComputedStyle(one.shadowRoot.firstChild);
      const { decode } = await import(new URL("hvae.js", document.baseURI).href);
      const { width } = await decode(deep);
      return [objectFit, borderRadius, getComputedStyle(one).display, one.width, width, violations];
    },
    [file("q50"), file("deep_grey")],
  );
  assert.deepEqual(found, ["cover", "7px", "inline-block", 50, 90, []]);
  await page.browserContext().close();
});

test("colours are those of a profile, as an image's", async () => {
  const png = Buffer.from(await read("profile.png")).toString("base64");
  const page = await showing(`
    <img-hvae id="ours" src="${file("profile")}"></img-hvae>
    <img id="theirs" src="data:image/png;base64,${png}">`);
  await complete(page, "ours");
  const [ours, bitmap, stored] = await page.evaluate(async (src) => {
    const { bitmap, decode } = await import(new URL("hvae.js", document.baseURI).href);
    const picture = await decode(src);
    const [ours, theirs] = ["ours", "theirs"].map((id) => document.getElementById(id) as any);
    await theirs.decode();
    const seen = (source: CanvasImageSource) => {
      const context = new OffscreenCanvas(160, 120).getContext("2d")!;
      context.drawImage(source, 0, 0);
      return context.getImageData(0, 60, 160, 60).data; // what is opaque
    };
    const expected = seen(theirs);
    const canvas = ours.shadowRoot.querySelector("canvas");
    return [seen(canvas), seen(await bitmap(picture)), picture.rgba.slice(4 * 160 * 60)].map(
      (found) =>
        Math.max(...found.map((value: number, i: number) => Math.abs(value - expected[i]))),
    );
  }, file("profile"));
  assert.ok(ours <= 2 && bitmap <= 2, `${ours} and ${bitmap} away from an image`);
  assert.ok(stored > 50, "the profile changes colours");
  await page.browserContext().close();
});

test("properties, decode() and events are as an image's", async () => {
  const page = await showing("<p>");
  const found = await page.evaluate(
    async ([good, other, broken]) => {
      const one: any = document.createElement("img-hvae");
      const events: string[] = [];
      for (const name of ["load", "error"]) {
        one.addEventListener(name, () => events.push(`${name} ${one.complete}`));
      }
      const reason = (error: Error) => error.name;
      const first = [one.src, one.currentSrc, one.complete, one.loading, one.width];
      one.src = good;
      const detached = one.decode(); // which an image does before it is shown
      document.body.append(one);
      await detached;
      const second = [
        one.src === new URL(good, document.baseURI).href && one.src === one.currentSrc,
        ...[one.naturalWidth, one.naturalHeight, one.width, one.height, one.complete],
      ];
      one.src = other;
      const aborted = one.decode().catch(reason);
      await null;
      const during = [one.complete, one.naturalWidth];
      one.src = broken;
      const failed = [await aborted, await one.decode().catch(reason), one.naturalWidth];
      one.src = "";
      failed.push(await one.decode().catch(reason), one.complete);
      Object.assign(one, { loading: "lazy", width: 7, maxPixels: 5, alt: "words", fallback: "x" });
      one.removeAttribute("src");
      return { first, second, during, failed, events, html: one.outerHTML };
    },
    [file("q50"), file("photo"), file("damaged_header")],
  );
  assert.deepEqual(found.first, ["", "", true, "eager", 0]);
  assert.deepEqual(found.second, [true, 192, 128, 192, 128, true]);
  assert.deepEqual(found.during, [false, 0]);
  assert.deepEqual(found.failed, ["AbortError", "HeaderDamaged", 0, "Error", true]);
  assert.deepEqual(found.events, ["load true", "error true", "error true"]);
  const attributes = 'loading="lazy" width="7" max-pixels="5" alt="words" fallback="x"';
  assert.equal(found.html, `<img-hvae ${attributes}></img-hvae>`);
  await page.browserContext().close();
});

test("few pictures of a page load at once, and those in view first", async () => {
  const page = await opened("blank");
  const asked: string[] = [];
  const held: (() => void)[] = [];
  answers.set("/files/", async ({ url, pass }) => {
    asked.push(url.slice(url.indexOf("?")));
    await new Promise<void>((resolve) => held.push(resolve));
    await pass();
  });
  await page.evaluate(async (src) => {
    const far = [1, 2, 3].map((n) => `<img-hvae src="${src}?far${n}"></img-hvae>`).join("");
    const near = [1, 2, 3].map((n) => `<img-hvae src="${src}?near${n}"></img-hvae>`).join("");
    document.body.innerHTML = `<div style="position: absolute; top: 9000px">${far}</div>${near}`;
    await import(new URL("hvae.js", document.baseURI).href);
  }, file("screen"));
  const until = async (count: number) => {
    while (asked.length < count) await setTimeout(20);
    await setTimeout(200); // in which more would come
    assert.equal(asked.length, count);
  };
  await until(2);
  const remove = (all: Element[], which: number) => all[which].remove();
  await page.$$eval("img-hvae", remove, 3); // which loads
  await until(3);
  await page.$$eval("img-hvae", remove, 0); // which waits
  for (const [count, release] of [4, 5].map((n) => [n, n - 3] as const)) {
    held[release]();
    await until(count);
  }
  assert.deepEqual(asked, ["?near1", "?near2", "?near3", "?far2", "?far3"]);
  await page.browserContext().close();
});

test("a picture that is not shown any more takes no memory", async () => {
  const page = await showing(`<img-hvae id="one" src="${file("q50")}"></img-hvae><p id="p">`);
  await holdTimers(page);
  await complete(page, "one");
  const moved = await page.$eval("#one", async (one: any) => {
    const canvas = one.shadowRoot.firstChild;
    let loads = 0;
    one.addEventListener("load", () => loads++);
    await import(new URL("hvae.js?again", document.baseURI).href); // as a page may do
    document.getElementById("p")!.append(one);
    one.loading = "lazy";
    one.loading = "eager";
    await one.decode();
    const kept = [canvas.width, loads, one.complete];
    one.remove();
    await null;
    await null;
    const gone = [canvas.width, one.naturalWidth, one.shadowRoot.childNodes.length];
    document.body.append(one);
    await one.decode();
    const back = [one.naturalWidth, one.shadowRoot.firstChild.width];
    const second = one.shadowRoot.firstChild;
    one.removeAttribute("src");
    return { kept, gone, back, end: [second.width, one.complete, loads] };
  });
  assert.deepEqual(moved.kept, [192, 0, true]);
  assert.deepEqual(moved.gone, [0, 0, 0]);
  assert.deepEqual(moved.back, [192, 192]);
  assert.deepEqual(moved.end, [0, true, 1]);

  // nor does the worker, when nothing more comes
  const workers = () => page.workers().filter((worker) => worker.url().endsWith("/worker.js"));
  assert.equal(workers().length, 1);
  await ring(page);
  while (workers().length) await setTimeout(20);
  await page.$eval("#one", (one: any, src) => ((one.src = src), one.decode()), file("q50"));
  assert.equal(workers().length, 1);
  await page.browserContext().close();
});

test("an element that moves to another document looks as before", async () => {
  const page = await showing(`<img-hvae id="one" src="${file("q50")}" width="96"></img-hvae>`);
  await complete(page, "one");
  const found = await page.$eval("#one", (one: any) => {
    const frame = document.createElement("iframe");
    document.body.append(frame);
    frame.contentDocument!.body.append(one);
    const moved = [getComputedStyle(one).display, one.width, one.height];
    document.createElement("template").content.append(one); // of a document that is not shown
    document.body.append(one);
    return [...moved, getComputedStyle(one).display, one.width];
  });
  assert.deepEqual(found, ["inline-block", 96, 64, "inline-block", 96]);
  await page.browserContext().close();
});

test("words stand for a picture of which nothing was drawn, or that no canvas holds", async () => {
  const page = await opened("blank");
  answers.set("/weights/", refuse);
  const found = await page.evaluate(async (src) => {
    const address = new URL("hvae.js", document.baseURI).href;
    await import(address);
    const one: any = document.createElement("img-hvae");
    [one.alt, one.src] = ["a cat", src];
    const errors: string[] = [];
    one.addEventListener("error", ({ detail }: CustomEvent) => errors.push(detail.name));
    await one.decode().catch(() => undefined);
    const words = [one.shadowRoot.textContent, one.naturalWidth];
    CanvasRenderingContext2D.prototype.isContextLost = () => true; // as where it is too large
    one.addEventListener("error", ({ detail }: CustomEvent) => errors.push(detail.message));
    one.src = src;
    await one.decode().catch(() => undefined);
    return [...words, one.shadowRoot.textContent, one.naturalWidth, ...errors];
  }, file("q50"));
  const lost = ["Error", "no canvas of this browser holds 192x128 pixels"];
  assert.deepEqual(found, ["a cat", 0, "a cat", 0, "WeightsError", ...lost]);
  await page.browserContext().close();
});

test("pictures whose bytes do not come keep no other waiting", async () => {
  const page = await opened("blank");
  await holdTimers(page);
  const asked = new Set<string>();
  answers.set("/stalled", ({ url }) => asked.add(url));
  await page.evaluate(async (src) => {
    document.body.innerHTML = `
      <img-hvae src="stalled1"></img-hvae>
      <img-hvae src="stalled2"></img-hvae>
      <img-hvae id="third" src="${src}"></img-hvae>`;
    await import(new URL("hvae.js", document.baseURI).href);
  }, file("q50"));
  while (asked.size < 2) await setTimeout(20);
  assert.deepEqual(await of(page, "third", "complete"), [false]);
  await ring(page);
  await complete(page, "third");
  assert.deepEqual(await of(page, "third", "naturalWidth"), [192]);
  await page.browserContext().close();
});
