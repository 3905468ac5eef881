/**
 * Pages in a headless browser, as `hvae-codec view` serves them. CHROMIUM names the browser, or
 * FIREFOX another one.
 */

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import type { Server } from "node:http";
import { join } from "node:path";
import { after, before } from "node:test";
import puppeteer, { type Browser, type Page } from "puppeteer-core";
import { CASES, FOLDER } from "./fixtures.ts";
import { answers, gateTo } from "./gate.ts";

const { CHROMIUM = "/usr/bin/chromium", PYTHON = "python3" } = process.env;
export const { FIREFOX } = process.env;
const ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic"];
/** No icon is asked for, which a content policy would refuse. */
const PREFERENCES = { "browser.chrome.site_icons": false };
const PATIENCE_MS = 120_000; // other work may share the machine
export const NAMES = Object.keys(CASES);
let server: ChildProcess;
let gate: Server;
let address: string;
let browser: Browser;

before(async () => {
  const files = NAMES.map((name) => join(FOLDER, `${name}.hvae`));
  const options = ["--no-open", "--runtime", join(import.meta.dirname, "../onnxruntime-web/dist")];
  server = spawn(PYTHON, ["-u", "-m", "hvae_codec", "view", ...files, ...options]);
  server.stderr!.pipe(process.stderr);
  const served: string = await new Promise((resolve, reject) => {
    server.stdout!.on("data", (line) => resolve(String(line).trim()));
    server.on("exit", (code) => reject(new Error(`view ended with ${code}`)));
  });
  ({ gate, own: address } = await gateTo(served));
  browser = await puppeteer.launch({
    ...(FIREFOX
      ? { browser: "firefox", executablePath: FIREFOX, extraPrefsFirefox: PREFERENCES }
      : { executablePath: CHROMIUM, args: ARGUMENTS }),
    protocolTimeout: PATIENCE_MS,
  });
});

after(async () => {
  await browser?.close();
  gate?.closeAllConnections();
  gate?.close();
  server?.kill("SIGINT");
});

/** Open a page; `blank` is one of that server with nothing of its own, perhaps under a content policy. */
export async function opened(path: "" | "blank", policy?: string): Promise<Page> {
  answers.clear();
  answers.set("/blank", async ({ response }) => {
    const headers = new Headers((await fetch(`${address}index.html`)).headers);
    headers.delete("content-length");
    if (policy) headers.set("content-security-policy", policy);
    response.writeHead(200, Object.fromEntries(headers)).end("<!doctype html><body>");
  });
  // a worker has the policy that it comes with
  if (policy) answers.set("/worker.js", ({ pass }) => pass({ "content-security-policy": policy }));
  const page = await (await browser.createBrowserContext()).newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  page.on("pageerror", (error) => assert.fail(error as Error));
  await page.goto(address + path);
  return page;
}

/** Return a picture as a file that every browser shows, in base64. */
export function png(page: Page): Promise<string> {
  return page.evaluate(() => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [768, 512];
    const context = canvas.getContext("2d")!;
    context.fillStyle = "teal";
    context.fillRect(0, 0, 768, 512);
    return canvas.toDataURL().split(",")[1];
  });
}

/** Click the button of a name. */
export async function click(page: Page, name: string): Promise<void> {
  await page.locator(`::-p-aria([name="${name}"][role="button"])`).click();
}

/** Wait until the viewer says something. */
export async function says(page: Page, text: RegExp): Promise<void> {
  const isSaid = (text: string) =>
    RegExp(text).test(document.getElementById("status")!.textContent);
  await page.waitForFunction(isSaid, {}, text.source);
}

export async function textOf(page: Page, selector: string): Promise<string> {
  return page.$eval(selector, (it) => it.textContent);
}

export async function isSeen(page: Page, selector: string): Promise<boolean> {
  return page.$eval(selector, (it) => it.checkVisibility());
}

/** Choose a file, of which the data are in base64. */
export function choose(page: Page, input: string, name: string, type: string, data: string) {
  const put = async (it: Element, name: string, type: string, data: string) => {
    const bytes = await (await fetch(`data:;base64,${data}`)).arrayBuffer();
    const chosen = new DataTransfer();
    chosen.items.add(new File([bytes], name, { type }));
    (it as HTMLInputElement).files = chosen.files;
    it.dispatchEvent(new Event("change"));
  };
  return page.$eval(input, put, name, type, data);
}
