/** The page: opens files, decodes them as its controls say, tells what they cost. */

import { decode as decoded, type Index, type Options, type Report, show } from "../decode.ts";
import { Painter } from "../painter.ts";
import { pngOf } from "../png.ts";
import { describe } from "./about.ts";
import { element, spaced } from "./dom.ts";
import { Stage } from "./stage.ts";

type Region = [number, number, number, number];

/** Names of files of ours: systems may call them images, or nothing. */
const SUFFIX = /\.(hvae|bin)$/i;

interface Opened {
  name: string;
  bytes: Uint8Array<ArrayBuffer>;
}

const levels = element<HTMLInputElement>("levels");
const region = element<HTMLInputElement>("region");
const speed = element<HTMLSelectElement>("speed");
const save = element<HTMLButtonElement>("save");
const status = element("status");

const stage = new Stage((x, y, width, height) => {
  region.value = [x, y, width, height].join(", ");
  void decode();
});
let painter = new Painter(stage.canvas);

let file: Opened | null = null;
let running: AbortController | null = null;
let shown: (Opened & { options: Options }) | null = null;
let clicks = 0;

/** Decode the file at hand, as the controls say. */
async function decode(): Promise<void> {
  if (!file) return;
  running?.abort();
  running = new AbortController();
  const { signal } = running;
  const { bytes } = file;
  save.disabled = true;
  say("decoding …");
  let drawn = Promise.resolve();
  try {
    const options: Options = {
      keepGoing: true,
      region: regionWanted(),
      levels: levels.disabled ? undefined : Number(levels.value),
    };
    const report = await show(arriving(bytes, Number(speed.value)), {
      ...options,
      progressive: true,
      signal,
      onIndex: (index) => {
        if (!signal.aborted) begin(index, bytes.length, options.region);
      },
      onArea: (area, ms) => {
        if (signal.aborted) return;
        drawn = painter.draw(area);
        say(`${levelsOf(area.levels - 1)}, ${duration(ms)}`);
      },
    });
    await drawn;
    if (signal.aborted) return;
    shown = { ...file, options };
    save.disabled = false;
    told(report, bytes.length);
  } catch (error) {
    if (!signal.aborted) say(error instanceof Error ? error.message : String(error), true);
  }
}

/** Save what is shown, decoded anew: what a page reads of a canvas may be changed. */
async function savePng(): Promise<void> {
  const { name, bytes, options } = shown!;
  const png = `${name.replace(SUFFIX, "")}.png`;
  say(`making ${png} …`);
  try {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await pngOf(await decoded(bytes, options)));
    link.download = png;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // some browsers read it only later
    say(`${png} is made`);
  } catch (error) {
    say(error instanceof Error ? error.message : String(error), true);
  }
}

function begin(index: Index, fileBytes: number, region?: Region): void {
  painter.begin(index, region);
  levels.max = String(index.levels - 1);
  if (levels.disabled) levels.value = levels.max;
  levels.disabled = false;
  element("level").textContent = levels.value;
  element("about").hidden = false;
  stage.show(index.header.hasAlpha);
  describe(index, fileBytes);
}

function told({ index, ms, wholeLevels, lostTiles: lost }: Report, fileBytes: number): void {
  const flaws: string[] = [];
  if (lost.length) {
    flaws.push(`tile${lost.length > 1 ? "s" : ""} ${lost.join(", ")} damaged or missing`);
  }
  if (fileBytes < index.end) {
    flaws.push(`cut, ${spaced(fileBytes)} of ${spaced(index.end)} bytes are there`);
  } else if (fileBytes > index.end) {
    flaws.push(`bytes left over behind the last tile: ${spaced(fileBytes - index.end)}`);
  }
  const what = index.header.needsWeights ? levelsOf(wholeLevels) : "exact,";
  say([...flaws, `${what} in ${duration(ms)}`].join("; "), flaws.length > 0);
}

function levelsOf(count: number): string {
  return count > 0 ? `context and ${count} level${count > 1 ? "s" : ""}` : "context";
}

function duration(ms: number): string {
  return ms < 10_000 ? `${spaced(Math.round(ms))} ms` : `${(ms / 1000).toFixed(1)} s`;
}

function regionWanted(): Region | undefined {
  const numbers = region.value
    .split(/[\s,]+/)
    .filter(Boolean)
    .map(Number);
  if (!numbers.length) return undefined;
  if (numbers.length !== 4 || !numbers.every(Number.isInteger)) {
    throw new Error(`region ${region.value} is not x, y, width and height`);
  }
  return numbers as Region;
}

/** Let bytes arrive at a speed in kbit/s; 0 has them all at once. */
function arriving(
  bytes: Uint8Array<ArrayBuffer>,
  kilobits: number,
): Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array> {
  if (!kilobits) return bytes;
  const each = Math.ceil((kilobits * 1000) / 8 / 20);
  let at = 0;
  return new ReadableStream({
    async pull(controller) {
      if (at >= bytes.length) return controller.close();
      await new Promise((resolve) => setTimeout(resolve, 50));
      controller.enqueue(bytes.slice(at, at + each));
      at += each;
    },
  });
}

function say(text: string, isBad = false): void {
  status.textContent = text;
  status.classList.toggle("bad", isBad);
}

function open(chosen: Opened): void {
  file = chosen;
  stage.clear(); // of the file before, should this one be none of ours
  painter = new Painter(stage.canvas);
  element("about").hidden = true;
  levels.disabled = true; // until the file says how many it has
  region.value = "";
  document.title = `${chosen.name} – hvae-codec viewer`;
  stage.compare(null);
  void decode();
}

/** Open what was dropped or chosen: files of ours, or a picture to compare with. */
function take(list: Iterable<File>): void {
  for (const each of list) {
    if (each.type.startsWith("image/") && !SUFFIX.test(each.name)) compare(each);
    else offer(each.name, async () => new Uint8Array(await each.arrayBuffer())).click();
  }
}

function compare(other: File): void {
  if (!file) return say("open an .hvae file first, then what it is compared with", true);
  const label = (name: string, size: number) => `${name}, ${spaced(size)} bytes`;
  stage.compare({
    address: URL.createObjectURL(other),
    label: label(other.name, other.size),
    own: label(file.name, file.bytes.length),
    fail() {
      stage.compare(null);
      say(`${other.name} is no picture that this browser shows`, true);
    },
  });
}

/** Add a button that opens a file. */
function offer(name: string, read: () => Promise<Uint8Array<ArrayBuffer>>): HTMLButtonElement {
  const button = document.createElement("button");
  button.textContent = name;
  button.onclick = async () => {
    const mine = ++clicks;
    running?.abort();
    say(`reading ${name} …`);
    try {
      const bytes = await read();
      if (mine !== clicks) return; // another one was clicked meanwhile
      for (const each of element("files").children) {
        each.setAttribute("aria-current", String(each === button)); // names may be the same
      }
      open({ name, bytes });
    } catch (error) {
      say(`${name}: ${error instanceof Error ? error.message : error}`, true);
    }
  };
  element("files").append(button);
  return button;
}

/** Offer the files that the page is served with. */
async function offerServed(): Promise<void> {
  const names: string[] = await fetch("files.json")
    .then((response) => (response.ok ? response.json() : []))
    .catch(() => []); // of a server that has none, but a page in its place
  const buttons = names.map((name, number) =>
    offer(name, async () => {
      const found = await fetch(`files/${number}`);
      if (!found.ok) throw new Error((await found.text()) || found.statusText);
      return new Uint8Array(await found.arrayBuffer());
    }),
  );
  buttons[0]?.click();
}

element("how").addEventListener("submit", (event) => {
  event.preventDefault();
  void decode();
});
levels.oninput = () => (element("level").textContent = levels.value);
levels.onchange = () => void decode();
for (const [id, use] of [
  ["open", take],
  ["against", (files: File[]) => files.slice(0, 1).forEach(compare)],
] as const) {
  const input = element<HTMLInputElement>(id);
  input.onchange = () => {
    use([...input.files!]);
    input.value = ""; // or the same file could not be chosen again
  };
}
addEventListener("dragover", (event) => {
  event.preventDefault();
  element("stage").classList.add("over");
});
addEventListener("dragleave", () => element("stage").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  element("stage").classList.remove("over");
  take(event.dataTransfer?.files ?? []);
});
save.onclick = () => void savePng();
void offerServed();
