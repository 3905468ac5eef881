/** A server before that of `hvae-codec view`, in whose place a test may answer: in every browser alike. */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** What is asked for, and how it is answered as the server would, perhaps with something changed. */
export interface Asked {
  url: string;
  response: ServerResponse;
  pass(headers?: Record<string, string>, before?: string): Promise<void>;
}

/** What a test answers where an address holds some text. */
export const answers = new Map<string, (asked: Asked) => unknown>();

/** No answer comes, and the connection ends. */
export const refuse = ({ response }: Asked): unknown => response.destroy();

/** Serve what lies at an address under one of this gate's own, which is returned with it. */
export async function gateTo(address: string): Promise<{ gate: Server; own: string }> {
  const { origin, pathname } = new URL(address);
  const gate = createServer((request: IncomingMessage, response: ServerResponse) => {
    const url = request.url!;
    const pass: Asked["pass"] = async (headers = {}, before = "") => {
      const found = await fetch(origin + url);
      const body = Buffer.from(await found.arrayBuffer());
      response.writeHead(found.status, {
        ...Object.fromEntries(found.headers),
        "content-length": body.length + before.length,
        ...headers,
      });
      response.end(Buffer.concat([Buffer.from(before), body]));
    };
    const [, answer] = [...answers].find(([part]) => url.includes(part)) ?? [];
    if (answer) answer({ url, response, pass });
    else void pass();
  });
  await new Promise<void>((resolve) => gate.listen(0, "127.0.0.1", resolve));
  const { port } = gate.address() as AddressInfo;
  return { gate, own: `http://127.0.0.1:${port}${pathname}` };
}
