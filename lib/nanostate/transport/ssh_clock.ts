/** The time that a connection may take: it stands still while people are asked, and `signal` ends it too. */
import { HostError } from "./transport.ts";

export class Clock {
  readonly #ended: Promise<never>;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #reject: (error: HostError) => void = () => {};
  #pauses = 0;

  /** @param what `Cannot connect to ann@web-1:22` */
  constructor(
    private readonly ms: number,
    private readonly signal: AbortSignal,
    private readonly what: string,
  ) {
    this.#ended = new Promise((_, reject) => this.#reject = reject);
    this.#ended.catch(() => {}); // whoever races hears of it
    signal.addEventListener("abort", this.#cancel);
    if (signal.aborted) this.#cancel();
    else this.#start();
  }

  /** The work's result, unless time is over first. @throws {HostError} timed-out, cancelled */
  race<T>(work: Promise<T>): Promise<T> {
    return Promise.race([this.#ended, work]);
  }

  /** Asks people something. The time begins anew afterwards: the host had none of it. */
  readonly paused = async <T>(work: () => Promise<T>): Promise<T> => {
    clearTimeout(this.#timer);
    this.#pauses++;
    try {
      return await work();
    } finally {
      if (--this.#pauses === 0 && !this.signal.aborted) this.#start();
    }
  };

  stop(): void {
    clearTimeout(this.#timer);
    this.#pauses = Infinity; // an answer that comes later starts nothing
    this.signal.removeEventListener("abort", this.#cancel);
  }

  #start(): void {
    clearTimeout(this.#timer);
    const late = () =>
      this.#reject(new HostError("timed-out", `${this.what}: no answer within ${this.ms} ms`));
    this.#timer = setTimeout(late, this.ms);
  }

  readonly #cancel = (): void => {
    clearTimeout(this.#timer);
    this.#reject(new HostError("cancelled", `${this.what}: ended from here`));
  };
}
