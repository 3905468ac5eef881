/** Turns: few elements of a page decode at once, and those in view before the others. */

import { release } from "./decode.ts";

/** One computes while the bytes of the other one come. */
const AT_ONCE = 2;
/** Who gets no bytes for so long lets another one begin. */
const STALLED_MS = 10_000;
/** A page that has shown all of its pictures gives back the memory of the worker. */
const IDLE_MS = 60_000;

interface Waiting {
  element: Element;
  begin(): void;
}

const waiting = new Set<Waiting>();
let working = 0;
let idle: ReturnType<typeof setTimeout> | undefined;

/**
 * Do some work when an element has its turn; a signal that comes before takes it out of the queue.
 * The work calls what it gets whenever it has come further.
 */
export async function inTurn(
  element: Element,
  signal: AbortSignal,
  work: (progressed: () => void) => Promise<void>,
): Promise<void> {
  await turnOf(element, signal);
  let isWorking = true;
  let stalled: ReturnType<typeof setTimeout> | undefined;
  const end = () => {
    clearTimeout(stalled);
    if (!isWorking) return;
    isWorking = false;
    working--;
    next();
  };
  const progressed = () => {
    clearTimeout(stalled);
    stalled = setTimeout(end, STALLED_MS);
  };
  progressed();
  try {
    await work(progressed);
  } finally {
    end();
  }
}

function turnOf(element: Element, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const own = { element, begin: resolve };
    signal.addEventListener("abort", () => {
      if (waiting.delete(own)) reject(signal.reason);
    });
    waiting.add(own);
    queueMicrotask(next); // when all wait that begin together
  });
}

function next(): void {
  clearTimeout(idle);
  while (working < AT_ONCE && waiting.size) {
    const [nearest] = [...waiting].sort((a, b) => distance(a.element) - distance(b.element));
    waiting.delete(nearest);
    working++;
    nearest.begin();
  }
  if (!working) idle = setTimeout(release, IDLE_MS);
}

/** Return how far an element is from what is seen of the page, in CSS px. */
function distance(element: Element): number {
  if (!element.getClientRects().length) return Infinity; // in no document, or not laid out
  const { left, top, right, bottom } = element.getBoundingClientRect();
  return Math.max(0, -bottom, top - innerHeight, -right, left - innerWidth);
}
