/** Read pieces of bytes, never more than is there. */

import { HvaeError } from "./errors.ts";

const MAX_VARINT_BYTES = 5;

/** A place in bytes, at their beginning first. */
export class Cursor {
  at = 0;

  constructor(readonly data: Uint8Array) {}

  /** Return the next bytes and move behind them; they are not copied. */
  take(count: number): Uint8Array {
    if (count > this.data.length - this.at) {
      throw new HvaeError(
        "Truncated",
        `the file is cut after ${this.data.length} bytes: ${count} should follow byte ${this.at}`,
      );
    }
    this.at += count;
    return this.data.subarray(this.at - count, this.at);
  }

  byte(): number {
    return this.take(1)[0];
  }

  uint16(): number {
    const [a, b] = this.take(2);
    return a | (b << 8);
  }

  uint32(): number {
    return this.uint16() + this.uint16() * 65536;
  }

  /** Take an unsigned integer in seven bits a byte, least significant first. */
  varint(): number {
    let value = 0;
    for (let place = 0; place < MAX_VARINT_BYTES; place++) {
      const octet = this.byte();
      value += (octet & 0x7f) * 2 ** (7 * place);
      if (octet < 0x80) {
        if (place && !octet) {
          throw new HvaeError(
            "InvalidField",
            "an integer is written with more bytes than it needs",
          );
        }
        if (value >= 2 ** 32) {
          throw new HvaeError("InvalidField", `integer ${value} is outside 0...${2 ** 32 - 1}`);
        }
        return value;
      }
    }
    throw new HvaeError("InvalidField", `an integer takes more than ${MAX_VARINT_BYTES} bytes`);
  }
}
