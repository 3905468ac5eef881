/**
 * Put tensors into an ONNX model. The graphs of a weight file hold the topology alone; ONNX Runtime
 * on the web takes initialisers only as part of the model.
 *
 * A model is a protocol buffer: fields of a key (number · 8 + type) and a value, one behind the
 * other. Of interest are `graph` (7) of the model, `initializer` (5) of the graph, and of a tensor
 * its name (8), raw data (9), external data (13) and where its data is (14).
 */

import { HvaeError } from "../bitstream/errors.ts";
import { joined } from "../bytes.ts";

const GRAPH = 7;
const INITIALIZER = 5;
const NAME = 8;
const RAW_DATA = 9;
const EXTERNAL_DATA = 13;
const DATA_LOCATION = 14;

interface Field {
  number: number;
  /** Key and value as they stand. */
  whole: Uint8Array;
  /** The value, where it has a length. */
  value: Uint8Array;
}

/** Return a model whose external tensors are what `find` returns by their names. */
export function withTensors(model: Uint8Array, find: (name: string) => Uint8Array): Uint8Array {
  return replaced(model, GRAPH, (graph) =>
    replaced(graph, INITIALIZER, (tensor) => {
      const all = [...fields(tensor)];
      if (!all.some(({ number }) => number === EXTERNAL_DATA)) return tensor;
      const name = new TextDecoder().decode(all.find(({ number }) => number === NAME)?.value);
      const kept = all.filter(({ number }) => number !== EXTERNAL_DATA && number !== DATA_LOCATION);
      const data = find(name);
      return joined([...kept.map(({ whole }) => whole), ...lengthened(RAW_DATA, data)]);
    }),
  );
}

/** Replace the values of all fields of a number. */
function replaced(
  message: Uint8Array,
  number: number,
  change: (value: Uint8Array) => Uint8Array,
): Uint8Array {
  const parts = [...fields(message)].flatMap((field) =>
    field.number === number ? lengthened(number, change(field.value)) : [field.whole],
  );
  return joined(parts);
}

function* fields(message: Uint8Array): Generator<Field> {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let place = 1; ; place *= 128) {
      if (at >= message.length) throw damaged();
      const octet = message[at++];
      value += (octet & 0x7f) * place;
      if (octet < 0x80) return value;
    }
  };
  while (at < message.length) {
    const begin = at;
    const key = varint();
    const type = key & 7;
    if (type === 0) varint();
    const size = type === 2 ? varint() : type === 5 ? 4 : type === 1 ? 8 : 0;
    if (!(size <= message.length - at)) throw damaged(); // which NaN is not either
    const value = message.subarray(at, at + size);
    at += size;
    yield { number: key >> 3, whole: message.subarray(begin, at), value };
  }
}

function damaged(): HvaeError {
  return new HvaeError("WeightsError", "a graph of the weights is damaged");
}

function lengthened(number: number, value: Uint8Array): Uint8Array[] {
  const key = number * 8 + 2;
  const head = [key];
  let size = value.length;
  for (; size > 127; size = Math.floor(size / 128)) head.push((size % 128) | 128);
  return [Uint8Array.from([...head, size]), value];
}
