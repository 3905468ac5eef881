/** Which frozen table codes what, and which symbols are not coded at all (codec/symbols/tables.py). */

import { HvaeError } from "../bitstream/errors.ts";
import { type PmfTables, TOTAL } from "../bitstream/tables.ts";

const SCALES = 64;
const EIGHTHS = 8;
const QUARTERS = 4;
const OFFSET_CLASSES = 8;
const FIRST_OFFSET_TABLE = SCALES * EIGHTHS;
const FIRST_LATENT_TABLE = FIRST_OFFSET_TABLE + OFFSET_CLASSES;
const FINE_TABLES = 32 * QUARTERS;
const LAST_QUARTER = QUARTERS * (SCALES - 1);
const SKIPPED_MASS = Math.floor(TOTAL / 1000);

/** The tables of a weight file, and what follows from them. */
export class Tables {
  /** Whether a latent of so many quarters is zero on both sides. */
  readonly isSkipped: Uint8Array;

  constructor(readonly pmfs: PmfTables) {
    const count = FIRST_LATENT_TABLE + FINE_TABLES;
    if (pmfs.count !== count) {
      throw new HvaeError(
        "WeightsError",
        `the weights have ${pmfs.count} tables, this program codes by ${count}`,
      );
    }
    this.isSkipped = Uint8Array.from({ length: LAST_QUARTER + 1 }, (_, quarters) =>
      Number(pmfs.mass(latentTable(quarters, 0), 0) > TOTAL - SKIPPED_MASS),
    );
  }
}

/** Return the table of a coefficient of the context, by the fraction of its mean in eighths. */
export function contextTable(eighths: number, quarters: number, offset: number): number {
  const index = (quarters + QUARTERS / 2) >> 2;
  return EIGHTHS * clamp(index + offset, SCALES - 1) + (eighths & 7);
}

export function latentTable(quarters: number, offset: number): number {
  const shifted = clamp(quarters + QUARTERS * offset, LAST_QUARTER);
  if (shifted < FINE_TABLES) return FIRST_LATENT_TABLE + shifted;
  return EIGHTHS * ((shifted + QUARTERS / 2) >> 2);
}

/** Return the table of a scale offset, by how many symbols the channel codes. */
export function offsetTable(count: number): number {
  const bits = 32 - Math.clz32(count);
  return FIRST_OFFSET_TABLE + Math.min(bits >> 1, OFFSET_CLASSES - 1);
}

function clamp(value: number, last: number): number {
  return Math.min(Math.max(value, 0), last);
}
