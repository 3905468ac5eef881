/** What is used of the package. */
declare module "@cornerstonejs/codec-openjpeg/decodewasmjs" {
  interface FrameInfo {
    width: number;
    height: number;
    bitsPerSample: number;
    componentCount: number;
    isSigned: boolean;
  }

  interface J2KDecoder {
    getEncodedBuffer(size: number): Uint8Array;
    getFrameInfo(): FrameInfo;
    decode(): void;
    getDecodedBuffer(): Uint8ClampedArray<ArrayBuffer>;
    delete(): void;
  }

  interface Options {
    wasmBinary: ArrayBuffer;
    print(line: string): void;
    printErr(line: string): void;
  }

  export default function open(options: Options): Promise<{ J2KDecoder: new () => J2KDecoder }>;
}
