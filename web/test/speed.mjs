// Says what files take in headless Chromium: node test/speed.mjs FILE… (PYTHON, CHROMIUM as for the tests).
// Each is decoded four times. Run 0 of the first file loads and compiles the runtime and makes the graphs ready.

import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { chromium } from "playwright-core";

const files = process.argv.slice(2);
const runtime = join(import.meta.dirname, "../node_modules/onnxruntime-web/dist");
const arguments_ = ["-u", "-m", "hvae_codec", "view", ...files, "--no-open", "--runtime", runtime];
const server = spawn(process.env.PYTHON ?? "python3", arguments_);
server.stderr.pipe(process.stderr);
const address = await new Promise((resolve) =>
  server.stdout.on("data", (line) => resolve(String(line).trim())),
);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu"],
});
const page = await (await browser.newContext()).newPage();
page.setDefaultTimeout(600_000);
await page.goto(new URL("hvae.js", address).href); // the viewer would decode beside what is measured
const empty = await held();

for (const [number, name] of files.entries()) {
  for (let run = 0; run < 4; run += 1) {
    const found = await page.evaluate(async (number) => {
      const { decode } = await import(new URL("hvae.js", document.baseURI).href);
      let first = null;
      const onArea = (area, ms) => (first ??= ms);
      const { ms, width, height } = await decode(`files/${number}`, { progressive: true, onArea });
      return { first, ms, width, height };
    }, number);
    const { first, ms, width, height } = found;
    const times = `first ${(first / 1000).toFixed(2)} s, whole ${(ms / 1000).toFixed(2)} s`;
    const memory = `${(await held()) - empty} MB more than an empty page`;
    console.log(`${name} ${width}x${height}, run ${run}: ${times}, ${memory}`);
  }
}

/** Return the most memory that the page's process has held, in MB. */
async function held() {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  const renderers = processInfo.filter(({ type }) => type === "renderer");
  const status = await Promise.all(
    renderers.map(({ id }) => readFile(`/proc/${id}/status`, "utf8")),
  );
  return Math.max(
    ...status.map((text) => Math.round(Number(/VmHWM:\s+(\d+)/.exec(text)[1]) / 1000)),
  );
}

await browser.close();
server.kill("SIGINT");
