/**
 * Pop symbols off a stack of words (ANS, Duda 2013), exactly as constriction's `AnsCoder` does:
 * words of 32 bits, a state of 64, masses of 24.
 *
 *     quantile = state mod 2^24             which symbol's masses it falls in
 *     state = (state div 2^24) · mass + quantile − sum of the masses before
 *     state < 2^32:  state = state · 2^32 + next word, if there is one
 *
 * The state is kept as two numbers of 32 bits. All that is computed with them stays below 2^53.
 */

import { HvaeError } from "./errors.ts";
import { type PmfTables, TOTAL } from "./tables.ts";

const MAX_SYMBOL = 1 << 20;
const MAX_ESCAPE_BITS = 22;

/** What the length of an escaped value costs: masses 2^23, 2^22, ..., 2 + 2 (escape.py). */
const ESCAPE_SUMS = Float64Array.from({ length: MAX_ESCAPE_BITS + 2 }, (_, k) =>
  k > MAX_ESCAPE_BITS ? TOTAL : TOTAL - 2 ** (24 - k),
);

/** A stack of words; more of them may come while it is popped. */
export class Stack {
  private high = 0;
  private low = 0;
  private at = 0;

  private words: Uint32Array = new Uint32Array(0);

  /** @param words - those which are popped first stand first */
  constructor(words: Uint32Array) {
    this.extend(words);
  }

  /** Take the words of more levels: `words` begins with those that were given before. */
  extend(words: Uint32Array): void {
    if (words[0] === 0) throw new HvaeError("StreamDamaged", "the first word of a tile is 0");
    this.words = words;
    while (this.high === 0 && this.at < words.length) this.refill();
  }

  clone(): Stack {
    const copy = new Stack(new Uint32Array(0));
    [copy.words, copy.high, copy.low, copy.at] = [this.words, this.high, this.low, this.at];
    return copy;
  }

  get isEmpty(): boolean {
    return this.high === 0 && this.low === 0 && this.at === this.words.length;
  }

  /** Refuse a stack on which something is left. */
  checkEmpty(): void {
    if (this.isEmpty) return;
    const inState = Number(this.high > 0) + Number(this.high > 0 || this.low > 0);
    throw new HvaeError(
      "StreamDamaged",
      `words left over behind the last symbol: ${inState + this.words.length - this.at}`,
    );
  }

  /** Pop symbols, each under the table that its index names: groups of equal tables at a time. */
  pop(index: Uint16Array, tables: PmfTables): Int32Array {
    const { order, begins } = sorted(index, tables.count);
    const symbols = new Int32Array(index.length);
    const escaped: number[] = [];
    const { sums, offset, length, start } = tables;
    for (let table = 0; table < tables.count; table++) {
      const first = offset[table];
      const last = first + length[table];
      for (let i = begins[table]; i < begins[table + 1]; i++) {
        const at = this.popEntry(sums, first, last);
        symbols[order[i]] = start[table] + at - first;
        if (at === last) escaped.push(order[i]);
      }
    }
    this.popEscaped(escaped, index, symbols, tables);
    return symbols;
  }

  /** Pop a bit that was pushed with a chance in 128. */
  popBit(chance: number): boolean {
    const quantile = this.low & 0xffffff;
    const edge = (128 - chance) * (TOTAL / 128);
    const bit = quantile >= edge;
    this.consume(bit ? TOTAL - edge : edge, bit ? quantile - edge : quantile);
    return bit;
  }

  /** Replace symbols by those far beyond their tables, in Elias' gamma code. */
  private popEscaped(
    places: number[],
    index: Uint16Array,
    symbols: Int32Array,
    tables: PmfTables,
  ): void {
    const lengths = places.map(() => this.popEntry(ESCAPE_SUMS, 0, MAX_ESCAPE_BITS));
    const values = lengths.map((bits) => (1 << bits) + (bits ? this.popUniform(bits) : 0));
    places.forEach((place, i) => {
      const first = tables.start[index[place]];
      const stop = first + tables.length[index[place]];
      const symbol = values[i] & 1 ? stop + (values[i] >> 1) : first - (values[i] >> 1);
      if (Math.abs(symbol) > MAX_SYMBOL) {
        throw new HvaeError(
          "StreamDamaged",
          `an escaped symbol is outside -${MAX_SYMBOL}...${MAX_SYMBOL}`,
        );
      }
      symbols[place] = symbol;
    });
  }

  /** Pop the entry of a table whose sums begin at `first` and whose last entry is at `last`. */
  private popEntry(sums: Uint32Array | Float64Array, first: number, last: number): number {
    const quantile = this.low & 0xffffff;
    let [low, high] = [first, last];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (sums[middle] <= quantile) low = middle;
      else high = middle - 1;
    }
    this.consume(sums[low + 1] - sums[low], quantile - sums[low]);
    return low;
  }

  private popUniform(bits: number): number {
    const quantile = this.low & 0xffffff;
    const shift = 24 - bits;
    this.consume(1 << shift, quantile & ((1 << shift) - 1));
    return quantile >> shift;
  }

  private consume(mass: number, remainder: number): void {
    const quotient = this.high * 256 + (this.low >>> 24); // below 2^40
    const upper = Math.floor(quotient / 1048576) * mass; // of 20 bits times 24
    const rest = (upper % 4096) * 1048576 + (quotient % 1048576) * mass + remainder;
    this.low = rest % 4294967296;
    this.high = Math.floor(upper / 4096) + Math.floor(rest / 4294967296);
    if (this.high === 0) this.refill();
  }

  private refill(): void {
    if (this.at === this.words.length) return;
    this.high = this.low;
    this.low = this.words[this.at++];
  }
}

/** Return the order that sorts an index stably, and where in it each value begins. */
function sorted(index: Uint16Array, count: number): { order: Int32Array; begins: Int32Array } {
  const begins = new Int32Array(count + 1);
  for (const value of index) begins[value + 1]++;
  for (let value = 0; value < count; value++) begins[value + 1] += begins[value];
  const next = begins.slice();
  const order = new Int32Array(index.length);
  for (let i = 0; i < index.length; i++) order[next[index[i]]++] = i;
  return { order, begins };
}
