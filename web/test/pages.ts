/** Pages in headless Chromium, as `hvae-codec view` serves them. CHROMIUM names the browser. */

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { after, before } from "node:test";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { CASES, FOLDER } from "./fixtures.ts";

const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
export const NAMES = Object.keys(CASES);
let server: ChildProcess;
let address: string;
let browser: Browser;

before(async () => {
  const python = process.env.PYTHON ?? "python3";
  const files = NAMES.map((name) => join(FOLDER, `${name}.hvae`));
  const options = ["--no-open", "--runtime", join(import.meta.dirname, "../onnxruntime-web/dist")];
  server = spawn(python, ["-u", "-m", "hvae_codec", "view", ...files, ...options]);
  server.stderr!.pipe(process.stderr);
  address = await new Promise((resolve, reject) => {
    server.stdout!.on("data", (line) => resolve(String(line).trim()));
    server.on("exit", (code) => reject(new Error(`view ended with ${code}`)));
  });
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ARGUMENTS,
  });
});

after(async () => {
  await browser?.close();
  server?.kill("SIGINT");
});

/** Open a page; `blank` is one of that server with nothing of its own, perhaps under a content policy. */
export async function opened(
  path: "" | "blank",
  options: BrowserContextOptions = {},
  policy?: string,
): Promise<Page> {
  const page = await (await browser.newContext(options)).newPage();
  page.setDefaultTimeout(120_000); // other work may share the machine
  page.on("pageerror", (error) => assert.fail(error));
  await page.route("**/blank", async (route) => {
    const headers = new Headers((await fetch(`${address}index.html`)).headers);
    if (policy) headers.set("Content-Security-Policy", policy);
    await route.fulfill({ headers: Object.fromEntries(headers), body: "<!doctype html><body>" });
  });
  if (policy) {
    await page.route("**/worker.js", async (route) => {
      const response = await route.fetch(); // a worker has the policy that it comes with
      const headers = { ...response.headers(), "content-security-policy": policy };
      await route.fulfill({ response, headers });
    });
  }
  await page.goto(address + path);
  return page;
}

/** Return a picture as a file that every browser shows. */
export async function png(page: Page): Promise<Buffer> {
  const data = await page.evaluate(() => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [768, 512];
    const context = canvas.getContext("2d")!;
    context.fillStyle = "teal";
    context.fillRect(0, 0, 768, 512);
    return canvas.toDataURL().split(",")[1];
  });
  return Buffer.from(data, "base64");
}
