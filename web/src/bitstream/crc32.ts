/** CRC32 as zlib computes it. */

const TABLES = tables();

function tables(): Uint32Array[] {
  const all = [new Uint32Array(256)];
  for (let i = 0; i < 256; i++) {
    let c = i;
    for (let bit = 0; bit < 8; bit++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
    all[0][i] = c;
  }
  for (let k = 1; k < 4; k++) {
    all.push(all[k - 1].map((c) => all[0][c & 255] ^ (c >>> 8)));
  }
  return all;
}

/** Return the CRC32 of bytes, going on from that of what stands before them. */
export function crc32(data: Uint8Array, before = 0): number {
  const [t0, t1, t2, t3] = TABLES;
  let c = ~before;
  let i = 0;
  for (; i + 4 <= data.length; i += 4) {
    c ^= data[i] | (data[i + 1] << 8) | (data[i + 2] << 16) | (data[i + 3] << 24);
    c = t3[c & 255] ^ t2[(c >>> 8) & 255] ^ t1[(c >>> 16) & 255] ^ t0[c >>> 24];
  }
  for (; i < data.length; i++) c = t0[(c ^ data[i]) & 255] ^ (c >>> 8);
  return ~c >>> 0;
}

/** The same of integers, each as little-endian int32. */
export function crc32Integers(data: Int32Array, before = 0): number {
  return crc32(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), before);
}
