/** Reads what fixtures.py wrote. */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { DecodeOptions } from "../src/codec/options.ts";

export const FOLDER = process.env.FIXTURES!;

export interface Case {
  options: DecodeOptions;
  /** The class of the error in Python and its message. */
  error?: [string, string];
  width: number;
  height: number;
  wholeLevels: number;
  lostTiles: number[];
}

export async function read(name: string): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await readFile(join(FOLDER, name)));
}

export async function json<T>(name: string): Promise<T> {
  return JSON.parse(new TextDecoder().decode(await read(name)));
}

export const CASES = await json<Record<string, Case>>("cases.json");

/** Return the largest difference of two pictures, that of colours under no alpha included. */
export function difference(a: Uint8Array, b: Uint8Array): number {
  if (a.length !== b.length) return Infinity;
  return a.reduce((most, sample, i) => Math.max(most, Math.abs(sample - b[i])), 0);
}
