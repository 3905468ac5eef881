/** Decode hvae files in a page: `decode(bytes)` gives pixels, `bitmap` makes an ImageBitmap. */

import { bitmapOf } from "./bitmaps.ts";
import type { Index } from "./bitstream/container.ts";
import { ERROR_NAMES, HvaeError } from "./bitstream/errors.ts";
import type { Area, DecodeOptions, Outcome } from "./codec/options.ts";
import type { Answer, Order } from "./messages.ts";

export { HvaeError } from "./bitstream/errors.ts";
export { dpiOf, orientationOf, profileNameOf, textsOf } from "./bitstream/metadata.ts";
export type { Area, DecodeOptions, Index, Outcome };

/** Where bytes come from; a string is an address. */
export type Bytes =
  string | Blob | ArrayBuffer | Uint8Array | Response | ReadableStream<Uint8Array>;

export interface Options extends DecodeOptions {
  /** Ends the decoding with its reason. */
  signal?: AbortSignal;
  /** What the file says of itself, before its first pixel. */
  onIndex?(index: Index): void;
  /** Part of the picture, a context at 1/8 or pixels, with the time since the decoding began. */
  onArea?(area: Area, ms: number): void;
}

/** What is told when all is shown. */
export interface Report extends Outcome {
  index: Index;
  /** Time since the decoding began. */
  ms: number;
}

/** A decoded picture: RGBA, 8 bits each, not turned as its EXIF may ask (`orientationOf`). */
export interface Picture extends Report {
  width: number;
  height: number;
  rgba: Uint8ClampedArray<ArrayBuffer>;
}

const here = new URL(".", import.meta.url);
const places = { runtime: new URL("runtime/", here).href, weights: new URL("weights/", here).href };

/** Say where runtime and weights are, before the first picture; by default beside this file. */
export function configure(wanted: Partial<typeof places>): void {
  Object.assign(places, wanted);
}

/** A worker, and who waits for its answers. */
interface Running {
  worker: Worker;
  listeners: Map<number, (answer: Answer) => void>;
}

let current: Running | null = null;
let count = 0;

/**
 * Decode a file.
 *
 * Throws an HvaeError that says what is wrong with it, or what else went wrong: the reason of the
 * signal, what fetching the file or a function of the options threw.
 */
export async function decode(bytes: Bytes, options: Options = {}): Promise<Picture> {
  const pixels = new Pixels(options);
  const report = await show(bytes, {
    ...options,
    onArea(area, ms) {
      pixels.take(area);
      options.onArea?.(area, ms);
    },
    onIndex(index) {
      pixels.index = index;
      options.onIndex?.(index);
    },
  });
  return { ...report, ...pixels.picture() };
}

/** Decode a file for those who draw its areas, and need no second copy of them. */
export async function show(bytes: Bytes, options: Options): Promise<Report> {
  const { signal, onIndex, onArea, ...wanted } = options;
  signal?.throwIfAborted();
  const running = (current ??= started());
  const { worker, listeners } = running;
  const id = count++;
  const over = new AbortController(); // what is still to be read would go nowhere
  try {
    return await new Promise<Report>((resolve, reject) => {
      signal?.addEventListener("abort", () => reject(signal.reason), { signal: over.signal });
      let index: Index;
      listeners.set(id, (answer) => {
        try {
          if (answer.is === "index") {
            index = answer.index;
            onIndex?.(index);
          } else if (answer.is === "area") onArea?.(answer.area, answer.ms);
          else if (answer.is === "done") resolve({ ...answer.outcome, index, ms: answer.ms });
          else {
            if (answer.isFatal) retire(running);
            reject(errorOf(answer));
          }
        } catch (error) {
          reject(error); // of who listens
        }
      });
      order(worker, { do: "decode", id, options: wanted });
      send(worker, id, bytes, over.signal).catch(reject);
    });
  } catch (error) {
    order(worker, { do: "stop", id });
    throw error;
  } finally {
    over.abort();
    listeners.delete(id);
    if (running !== current) retire(running);
  }
}

/** End the worker with its last picture, and free its memory; the next picture starts another one. */
export function release(): void {
  if (current) retire(current);
}

/** Return a picture as an ImageBitmap, which a canvas draws, in the colours of its profile. */
export function bitmap(picture: Picture): Promise<ImageBitmap> {
  return bitmapOf(picture, picture.index);
}

function errorOf({ name, message }: { name: string; message: string }): Error {
  const known = ERROR_NAMES.find((each) => each === name);
  return known ? new HvaeError(known, message) : Object.assign(new Error(message), { name });
}

function started(): Running {
  const worker = new Worker(new URL("worker.js", here), { type: "module" });
  const running: Running = { worker, listeners: new Map() };
  worker.onmessage = ({ data }: MessageEvent<Answer>) => running.listeners.get(data.id)?.(data);
  worker.onerror = ({ message: reason }) => {
    // an event without a message is of the script itself
    const message = reason ? `the worker failed: ${reason}` : "worker.js does not load";
    for (const [id, listener] of running.listeners) {
      listener({ id, is: "error", name: "Error", message, isFatal: true });
    }
    retire(running);
  };
  order(worker, { do: "start", ...places });
  return running;
}

/** Give a worker no more work, and end it with its last picture. */
function retire(running: Running): void {
  if (running === current) current = null;
  if (!running.listeners.size) running.worker.terminate();
}

function order(worker: Worker, message: Order, transfer: Transferable[] = []): void {
  worker.postMessage(message, transfer);
}

/** Hand bytes to the worker as they come, until a signal ends that. */
async function send(worker: Worker, id: number, bytes: Bytes, signal: AbortSignal): Promise<void> {
  const reader = (await streamOf(bytes, signal)).getReader();
  // `pipeTo` of WebKit would cancel a stream only when its next bytes come
  const cancel = () => void reader.cancel(signal.reason).catch(() => undefined);
  if (signal.aborted) cancel();
  signal.addEventListener("abort", cancel);
  for (;;) {
    const { done, value } = await reader.read();
    if (signal.aborted) return;
    if (done) break;
    const own = value.slice(); // of a view all that it is of would be copied
    order(worker, { do: "bytes", id, bytes: own }, [own.buffer]);
  }
  order(worker, { do: "end", id });
}

async function streamOf(bytes: Bytes, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
  if (bytes instanceof ReadableStream) return bytes;
  if (typeof bytes === "string") bytes = await fetch(bytes, { signal });
  if (!(bytes instanceof Response)) return new Blob([bytes as BlobPart]).stream();
  if (!bytes.ok || !bytes.body) throw new Error(`${bytes.url} does not load: ${bytes.status}`);
  return bytes.body;
}

/** Lays areas side by side. */
class Pixels {
  index: Index | null = null;
  private rgba: Uint8ClampedArray<ArrayBuffer> | null = null;

  constructor(private options: DecodeOptions) {}

  take(area: Area): void {
    if (area.scale !== (this.options.scale ?? 1)) return; // shown on the way only
    const [width, height] = this.size();
    if (area.width === width && area.height === height) {
      this.rgba = area.rgba;
      return;
    }
    this.rgba ??= new Uint8ClampedArray(4 * width * height);
    for (let row = 0; row < area.height; row++) {
      const line = area.rgba.subarray(4 * row * area.width, 4 * (row + 1) * area.width);
      this.rgba.set(line, 4 * ((area.y + row) * width + area.x));
    }
  }

  picture(): { width: number; height: number; rgba: Uint8ClampedArray<ArrayBuffer> } {
    const [width, height] = this.size();
    return { width, height, rgba: this.rgba! };
  }

  private size(): [number, number] {
    const { header } = this.index!;
    const [x, y, width, height] = this.options.region ?? [0, 0, header.width, header.height];
    const scale = this.options.scale ?? 1;
    return [
      Math.ceil((x + width) / scale) - Math.floor(x / scale),
      Math.ceil((y + height) / scale) - Math.floor(y / scale),
    ];
  }
}
