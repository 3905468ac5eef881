/** What is known of a file while its bytes arrive: its index, and whether its length is right. */

import { checkEnd, type Index, readIndex } from "../bitstream/container.ts";
import { HvaeError } from "../bitstream/errors.ts";
import type { DecodeOptions } from "./options.ts";
import type { Source } from "./source.ts";

/** Wait until the index is there. */
export async function arrivedIndex(source: Source, options: DecodeOptions): Promise<Index> {
  for (;;) {
    const size = source.data.length;
    try {
      return readIndex(source.data, options.maxPixels ?? undefined);
    } catch (error) {
      const isCut = error instanceof HvaeError && error.name === "Truncated";
      if (!isCut) throw error;
      await source.more(1.125 * size); // or a long index would be read again with every packet
      if (source.data.length === size) throw error;
    }
  }
}

/** Refuse a file that is not as long as its index says, as soon as that is known. */
export function checkLength(source: Source, index: Index, options: DecodeOptions): void {
  if (options.keepGoing) return;
  const mayBeCut = asksForLess(options) || !source.isEnded;
  checkEnd(index, source.data.length + source.surplus, mayBeCut);
}

/** Tell whether the end of a file is not needed. */
export function asksForLess({ levels, scale }: DecodeOptions): boolean {
  return typeof levels === "number" || scale === 8;
}
