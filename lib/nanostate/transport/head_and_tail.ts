/** The begin and the end of a text that may be long: STDERR_CHARS_MAX in all. */
import { STDERR_CHARS_MAX } from "./transport.ts";

export class HeadAndTail {
  #head = "";
  #tail = "";

  add(text: string): void {
    const room = STDERR_CHARS_MAX / 2 - this.#head.length;
    this.#head += text.slice(0, room);
    this.#tail = (this.#tail + text.slice(room)).slice(-STDERR_CHARS_MAX / 2);
  }

  text(): string {
    return this.#head + this.#tail;
  }
}
