/**
 * Timestamps of the placement driver: many callers share one request.
 *
 * T1. One request is under way at a time; who asks meanwhile waits for the next one, without further delay.
 * T2. Every timestamp is larger than all given before. An answer that breaks this, or that is for another count,
 *     stops the source for good: `corrupt`. Going on could let two transactions see each other's halves.
 * T3. A broken stream or a late answer fails those who waited for it, with RpcError; the next request opens a new
 *     stream, to who leads then.
 * Source: tikv/pd client/clients/tso/dispatcher.go.
 */
import { GrpcStatus, RpcError, TikvError } from "./errors.ts";
import { PD_CALL_MS, TIMESTAMPS_AT_ONCE_MAX } from "./limits.ts";
import type { TsoRequest, TsoResponse } from "./messages_pd.ts";
import { Streams } from "./methods.ts";
import type { Decoded, Encodable } from "./protobuf.ts";
import type { Duplex, Wire } from "./rpc.ts";
import type { Runtime } from "./runtime.ts";

type Answer = Decoded<typeof TsoResponse>;

interface Waiter {
  resolve(timestamp: bigint): void;
  reject(error: unknown): void;
}

interface Stream {
  readonly address: string;
  readonly duplex: Duplex<Encodable<typeof TsoRequest>>;
}

interface Pending {
  readonly sinceMs: number;
  resolve(answer: Answer): void;
  reject(error: Error): void;
}

export interface TimestampsOptions {
  wire: Wire;
  runtime: Runtime;
  clusterId: bigint;
  /** Address of the leader, now. */
  leader(): string;
  signal: AbortSignal;
}

export class Timestamps {
  readonly #options: TimestampsOptions;
  #queue: Waiter[] = [];
  #running = false;
  #stream: Stream | null = null;
  #pending: Pending | null = null;
  #watching = false;
  #last = 0n;
  #lastAtMs = -Infinity;
  #fault: TikvError | null = null;

  constructor(options: TimestampsOptions) {
    this.#options = options;
    options.signal.addEventListener("abort", () => this.#end(), { once: true });
  }

  /** The last timestamp given, and how long ago; zero before the first. */
  get last(): bigint {
    return this.#last;
  }

  get ageMs(): number {
    return this.#options.runtime.nowMs() - this.#lastAtMs;
  }

  next(): Promise<bigint> {
    if (this.#fault !== null) return Promise.reject(this.#fault);
    return new Promise((resolve, reject) => {
      this.#queue.push({ resolve, reject });
      if (this.#running) return;
      this.#running = true;
      queueMicrotask(() => void this.#run()); // those who ask in the same breath go along
    });
  }

  /** One request after the other, until nobody waits. */
  async #run(): Promise<void> {
    let batch: Waiter[] = [];
    while (this.#queue.length > 0) {
      try {
        const stream = await this.#open();
        batch = this.#queue.splice(0, TIMESTAMPS_AT_ONCE_MAX);
        const answer = await this.#ask(stream, batch.length);
        const { first, step } = this.#check(answer, batch.length);
        for (const [at, waiter] of batch.entries()) waiter.resolve(first + step * BigInt(at));
      } catch (error) {
        this.#close();
        // Where no stream came about, nobody was taken from the queue: all of it waits for the same leader.
        for (const waiter of batch.length > 0 ? batch : this.#queue.splice(0)) waiter.reject(error);
      }
      batch = [];
    }
    this.#running = false;
  }

  async #open(): Promise<Stream> {
    if (this.#fault !== null) throw this.#fault;
    const address = this.#options.leader();
    if (this.#stream?.address === address) return this.#stream;
    this.#close();
    let stream: Stream | null = null;
    let ended: Error | null = null;
    const duplex = await this.#options.wire.stream(address, Streams.tso, {
      onMessage: (answer) => {
        if (this.#stream === stream) this.#settle((pending) => pending.resolve(answer));
      },
      onEnd: (error) => {
        ended = error;
        if (stream === null || this.#stream !== stream) return;
        this.#stream = null;
        this.#settle((pending) => pending.reject(error));
      },
    });
    if (ended !== null) throw ended;
    if (this.#fault !== null) { // the client was closed meanwhile
      duplex.close();
      throw this.#fault;
    }
    stream = this.#stream = { address, duplex };
    return stream;
  }

  #ask({ duplex }: Stream, count: number): Promise<Answer> {
    const { clusterId, runtime } = this.#options;
    return new Promise((resolve, reject) => {
      duplex.send({ header: { clusterId }, count });
      this.#pending = { sinceMs: runtime.nowMs(), resolve, reject };
      if (!this.#watching) void this.#watch();
    });
  }

  /** One timer for all requests, rather than one each. */
  async #watch(): Promise<void> {
    const { runtime, signal } = this.#options;
    this.#watching = true;
    while (this.#pending !== null && !signal.aborted) {
      const leftMs = this.#pending.sinceMs + PD_CALL_MS - runtime.nowMs();
      if (leftMs > 0) {
        await runtime.sleep(leftMs, signal).catch(() => {}); // an abort ends the loop
        continue;
      }
      const message = `no timestamp from placement driver ${this.#stream?.address} within ${PD_CALL_MS} ms`;
      const late = new RpcError(message, { status: GrpcStatus.deadlineExceeded, sent: true });
      this.#settle((pending) => pending.reject(late));
    }
    this.#watching = false;
  }

  /** T2. */
  #check(answer: Answer, count: number): { first: bigint; step: bigint } {
    const error = answer.header?.error ?? null;
    if (error !== null && error.type !== 0) {
      throw new RpcError(error.message, { status: GrpcStatus.unknown, sent: true });
    }
    if (answer.timestamp === null || answer.count !== count) {
      throw this.#stop(`${answer.count} were given where ${count} were asked for`);
    }
    const { physical, logical, suffixBits } = answer.timestamp;
    const step = 1n << BigInt(suffixBits);
    const largest = (physical << 18n) + logical;
    const first = largest - step * BigInt(count - 1);
    if (first <= this.#last) throw this.#stop(`${first} came after ${this.#last}`);
    this.#last = largest;
    this.#lastAtMs = this.#options.runtime.nowMs();
    return { first, step };
  }

  #stop(what: string): TikvError {
    this.#fault = new TikvError(
      "corrupt",
      `take timestamps: ${what}; this client stops, check the placement drivers before starting it again`,
    );
    return this.#fault;
  }

  #end(): void {
    this.#fault ??= new TikvError("closed", "take a timestamp: this client is closed");
    const fault = this.#fault;
    this.#settle((pending) => pending.reject(fault));
    this.#close();
  }

  #settle(how: (pending: Pending) => void): void {
    const pending = this.#pending;
    this.#pending = null;
    if (pending !== null) how(pending);
  }

  #close(): void {
    const stream = this.#stream;
    this.#stream = null;
    stream?.duplex.close();
  }
}
