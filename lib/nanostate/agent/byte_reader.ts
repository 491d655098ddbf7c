/** Reads a stream of pieces by number of bytes, or up to a line's end, whatever its pieces are. */

const NEWLINE = 10;

export class ByteReader {
  readonly #pieces: AsyncIterator<Uint8Array>;
  #held: Uint8Array[] = [];
  #heldBytes = 0;

  constructor(stream: AsyncIterable<Uint8Array>) {
    this.#pieces = stream[Symbol.asyncIterator]();
  }

  /** @throws {EndOfStream} before there are as many */
  async take(bytes: number): Promise<Uint8Array> {
    while (this.#heldBytes < bytes) {
      if (!await this.#more()) throw new EndOfStream(this.#cut(this.#heldBytes));
    }
    return this.#cut(bytes);
  }

  /**
   * Goes behind a text, and gives what stood before it.
   * @throws {EndOfStream} @throws {RangeError} when it is not within `bytesMax`
   */
  async behind(text: string, bytesMax: number): Promise<Uint8Array> {
    for (let searched = 0;;) {
      // A character a byte.
      const at = latin1.decode(this.#joined().subarray(searched)).indexOf(text);
      if (at >= 0) {
        const before = this.#cut(searched + at);
        this.#cut(text.length);
        return before;
      }
      if (this.#heldBytes > bytesMax) throw new RangeError(`${text} is not within ${bytesMax} bytes`);
      searched = Math.max(0, this.#heldBytes - text.length + 1);
      if (!await this.#more()) throw new EndOfStream(this.#cut(this.#heldBytes));
    }
  }

  /** Without its end. Longer ones are cut at `bytesMax`, so the next call goes on in the middle. @throws {EndOfStream} */
  async line(bytesMax: number): Promise<string> {
    let searched = 0;
    for (;;) {
      const held = this.#joined();
      const end = held.indexOf(NEWLINE, searched);
      if (end >= 0 && end <= bytesMax) {
        const line = this.#cut(end);
        this.#cut(1);
        return decoder.decode(line);
      }
      if (held.length >= bytesMax) return decoder.decode(this.#cut(bytesMax));
      searched = held.length;
      if (!await this.#more()) throw new EndOfStream(this.#cut(this.#heldBytes));
    }
  }

  async #more(): Promise<boolean> {
    const { done, value } = await this.#pieces.next();
    if (done) return false;
    this.#held.push(value);
    this.#heldBytes += value.length;
    return true;
  }

  #cut(bytes: number): Uint8Array {
    const held = this.#joined();
    this.#held = [held.subarray(bytes)];
    this.#heldBytes -= bytes;
    return held.subarray(0, bytes);
  }

  #joined(): Uint8Array {
    const [only] = this.#held;
    if (only !== undefined && this.#held.length === 1) return only;
    const joined = new Uint8Array(this.#heldBytes);
    let at = 0;
    for (const piece of this.#held) {
      joined.set(piece, at);
      at += piece.length;
    }
    this.#held = [joined];
    return joined;
  }
}

/** The stream ended too early. `rest` is what was left of it. */
export class EndOfStream extends Error {
  override readonly name = "EndOfStream";

  constructor(readonly rest: Uint8Array) {
    super("the stream ended");
  }
}

const decoder = new TextDecoder();
const latin1 = new TextDecoder("latin1");
