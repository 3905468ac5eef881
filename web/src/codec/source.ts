/** The bytes of a file, which may still be arriving. */
export class Source {
  private buffer = new Uint8Array(1 << 16);
  private size = 0;
  private waiting: (() => void)[] = [];
  private error: unknown = null;
  private limit = Infinity;
  /** How many bytes came behind the limit; they are not kept. */
  surplus = 0;
  isEnded = false;

  /** Return a source of bytes that are all there. */
  static of(data: Uint8Array): Source {
    const source = new Source();
    source.append(data);
    source.end();
    return source;
  }

  /** All bytes so far. */
  get data(): Uint8Array {
    return this.buffer.subarray(0, this.size);
  }

  /** Keep so many bytes, once it is known how many the file has: who sends may never end. */
  limitTo(size: number): void {
    this.limit = size;
    this.surplus = Math.max(0, this.size - size);
    this.size -= this.surplus;
  }

  append(sent: Uint8Array): void {
    const chunk = sent.subarray(0, this.limit - this.size);
    this.surplus += sent.length - chunk.length;
    if (this.size + chunk.length > this.buffer.length) {
      const larger = new Uint8Array(Math.max(2 * this.buffer.length, this.size + chunk.length));
      larger.set(this.data);
      this.buffer = larger;
    }
    this.buffer.set(chunk, this.size);
    this.size += chunk.length;
    this.wake();
  }

  end(): void {
    this.isEnded = true;
    this.wake();
  }

  /** End with an error, which whoever waits gets. */
  fail(error: unknown): void {
    this.error = error;
    this.end();
  }

  /** Wait until more bytes have come than these, or all; returns false once all had come. */
  async more(than: number): Promise<boolean> {
    while (this.size <= than && !this.isEnded && !this.surplus) {
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
    this.check();
    return this.size > than;
  }

  /** Throw what the source ended with, if that was an error. */
  check(): void {
    if (this.error) throw this.error;
  }

  private wake(): void {
    for (const resolve of this.waiting.splice(0)) resolve();
  }
}
