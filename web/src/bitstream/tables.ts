/** Frozen integer pmfs, chosen by index: all that the entropy coder knows of the model. */

import { HvaeError } from "./errors.ts";

export const TOTAL = 1 << 24;

/** A family of pmfs, each of total 2^24, its last entry the mass of all other symbols. */
export class PmfTables {
  /** The sums of each table before its entries, and its total behind them. */
  readonly sums: Uint32Array;
  /** Where in `sums` each table begins. */
  readonly offset: Int32Array;

  /**
   * @param pmf - the tables one behind the other
   * @param start - first symbol of each
   * @param length - number of symbols of each; the escape stands behind them
   */
  constructor(
    pmf: Uint32Array,
    readonly start: Int32Array,
    readonly length: Int32Array,
  ) {
    this.sums = new Uint32Array(pmf.length + length.length);
    this.offset = new Int32Array(length.length);
    let from = 0;
    let to = 0;
    for (let table = 0; table < length.length; table++) {
      this.offset[table] = to;
      let sum = 0;
      for (let entry = 0; entry <= length[table]; entry++) {
        this.sums[to++] = sum;
        sum += pmf[from++];
      }
      if (sum !== TOTAL) {
        throw new HvaeError("WeightsError", `table ${table} sums to ${sum}, not to ${TOTAL}`);
      }
      this.sums[to++] = sum;
    }
  }

  get count(): number {
    return this.start.length;
  }

  /** Return the mass of a symbol, of the escape where it is outside of the table. */
  mass(table: number, symbol: number): number {
    const entry = symbol - this.start[table];
    const inside = entry >= 0 && entry < this.length[table];
    const at = this.offset[table] + (inside ? entry : this.length[table]);
    return this.sums[at + 1] - this.sums[at];
  }
}
