/** By how much the quality of each patch differs from the header's (bitstream/quality_map.py). */

import { Stack } from "./ans.ts";
import { crc32 } from "./crc32.ts";
import { Cursor } from "./cursor.ts";
import { HvaeError } from "./errors.ts";

const MAX_QUALITY = 100;
const ONE = 1 << 16; // a chance of one
const LONGEST_MEMORY = 40; // bits that a chance remembers at most
const UNARY = 6; // magnitudes up to here are counted bit by bit
const REST_BITS = 8; // of a larger one

/** Read the section; throws Truncated, MapDamaged or InvalidField. Returns offsets row by row. */
export function readMap(cursor: Cursor, [rows, columns]: [number, number], quality: number) {
  const begin = cursor.at;
  const payload = cursor.take(cursor.varint());
  const section = cursor.data.subarray(begin, cursor.at);
  if (crc32(section) !== cursor.uint32()) {
    throw new HvaeError("MapDamaged", "the quality map does not match its checksum");
  }
  const unit = payload[0];
  if (payload.length % 4 !== 1 || unit < 1 || unit > MAX_QUALITY) {
    throw new HvaeError(
      "MapDamaged",
      `the quality map has ${payload.length} bytes that are no map`,
    );
  }
  const offsets = Int16Array.from(pop(payload.slice(1), rows, columns), (step) => step * unit);
  const [low, high] = offsets.reduce(
    ([least, most], offset) => [Math.min(least, offset), Math.max(most, offset)],
    [Infinity, -Infinity],
  );
  if (quality + low < 0 || quality + high > MAX_QUALITY) {
    throw new HvaeError(
      "InvalidField",
      `qualities ${quality + low}...${quality + high} of patches are outside 0...${MAX_QUALITY}`,
    );
  }
  return offsets;
}

function pop(words: Uint8Array<ArrayBuffer>, rows: number, columns: number) {
  try {
    const stack = new Stack(new Uint32Array(words.buffer));
    const steps = walk(new Bits(stack), rows, columns);
    stack.checkEmpty();
    return steps;
  } catch (error) {
    if (!(error instanceof HvaeError)) throw error;
    throw new HvaeError("MapDamaged", `the quality map does not decode (${error.message})`);
  }
}

/** Pops bits under chances that adapt to those that came before under the same context. */
class Bits {
  private seen = new Map<number, { chance: number; count: number }>();

  constructor(private stack: Stack) {}

  pop(kind: number, context: number, magnitude = 0): boolean {
    const key = (kind * 16 + context) * 16 + magnitude; // contexts are below 14
    let known = this.seen.get(key);
    if (!known) this.seen.set(key, (known = { chance: ONE / 2, count: 0 }));
    const bit = this.stack.popBit(Math.min(Math.max(known.chance >> 9, 1), 127));
    known.count = Math.min(known.count + 1, LONGEST_MEMORY);
    known.chance += Math.floor(((bit ? ONE : 0) - known.chance) / (known.count + 1));
    return bit;
  }

  /** Pop an integer: whether it is zero, its sign, its magnitude. */
  popInteger(context: number): number {
    if (!this.pop(0, context)) return 0;
    const isNegative = this.pop(1, context);
    let magnitude = 1;
    while (magnitude <= UNARY && this.pop(2, context, magnitude)) magnitude++;
    if (magnitude > UNARY) {
      for (let place = 0; place < REST_BITS; place++) {
        magnitude += Number(this.pop(3, place)) << place;
      }
    }
    return isNegative ? -magnitude : magnitude;
  }
}

/** Pop steps row by row, each as a difference from what those around it predict. */
function walk(bits: Bits, rows: number, columns: number): Int32Array {
  const steps = new Int32Array(rows * columns);
  let above = new Int32Array(columns);
  for (let row = 0; row < rows; row++) {
    const here = steps.subarray(row * columns, (row + 1) * columns);
    let left = above[0];
    let corner = above[0];
    for (let column = 0; column < columns; column++) {
      const up = above[column];
      const beyond = above[Math.min(column + 1, columns - 1)];
      const roughness = Math.abs(up - corner) + Math.abs(left - corner) + Math.abs(beyond - up);
      const predicted = row ? (2 * left + up + beyond + 2) >> 2 : left;
      const context = Math.min(roughness, 6) + 7 * Number(row > 0);
      here[column] = predicted + bits.popInteger(context);
      // before more work is done for what is no map
      if (Math.abs(here[column]) > MAX_QUALITY) {
        throw new HvaeError(
          "StreamDamaged",
          `an offset of a patch is beyond ${MAX_QUALITY} qualities`,
        );
      }
      [left, corner] = [here[column], up];
    }
    above = here;
  }
  return steps;
}
