/**
 * Fakes for the tests of the middle layers: a clock that hurries, and a wire without a network.
 *
 * What passes the wire is encoded and decoded, so both sides see what they would over a network.
 */
import { setImmediate } from "node:timers";
import { GrpcStatus, RpcError } from "./errors.ts";
import type { Method } from "./methods.ts";
import { Operation } from "./operation.ts";
import type { CallOptions, Duplex, Wire } from "./rpc.ts";
import type { Runtime } from "./runtime.ts";

/** Time stands still while there is work to do, and then jumps to the next sleeper. */
export class HurryingRuntime implements Runtime {
  readonly slept: number[] = [];
  #nowMs = 1_000;
  #sleepers: { atMs: number; wake: () => void }[] = [];
  #ticking = false;

  nowMs(): number {
    return this.#nowMs;
  }

  random(): number {
    return 0.5;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      this.slept.push(ms);
      const sleeper = { atMs: this.#nowMs + ms, wake: resolve };
      this.#sleepers.push(sleeper);
      signal?.addEventListener("abort", () => {
        this.#sleepers = this.#sleepers.filter((each) => each !== sleeper);
        reject(signal.reason);
      }, { once: true });
      if (!this.#ticking) void this.#tick();
    });
  }

  async #tick(): Promise<void> {
    this.#ticking = true;
    while (this.#sleepers.length > 0) {
      for (let turn = 0; turn < 2; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
      const next = this.#sleepers.reduce((least, each) => Math.min(least, each.atMs), Infinity);
      if (next === Infinity) break;
      this.#nowMs = next;
      const due = this.#sleepers.filter(({ atMs }) => atMs <= next);
      this.#sleepers = this.#sleepers.filter(({ atMs }) => atMs > next);
      for (const { wake } of due) wake();
    }
    this.#ticking = false;
  }

  operation(name = "test", budgetMs = 20_000, signal?: AbortSignal): Operation {
    return new Operation({ name, budgetMs, runtime: this, signal });
  }
}

/** One end of a stream, as the far side has it. */
export interface FarStream {
  readonly address: string;
  readonly requests: unknown[];
  reply(message: unknown): void;
  end(error: Error): void;
  closed: boolean;
}

export interface FakeCall {
  readonly address: string;
  readonly path: string;
  readonly request: unknown;
  readonly timeoutMs: number;
}

type Answer = (request: unknown, address: string) => unknown;

export class FakeWire implements Wire {
  readonly calls: FakeCall[] = [];
  readonly disconnected: string[] = [];
  readonly down = new Set<string>();
  /** Called for each new stream, and for each message on one. */
  onStream: (stream: FarStream, request: unknown) => void = () => {};
  readonly #answers = new Map<string, Answer>();

  /** What an address says to a method; `address` "*" is any. An answer that is an Error, or throws one, rejects the call. */
  on<Q, QInit, A, AInit>(
    address: string,
    method: Method<Q, QInit, A, AInit>,
    answer: (request: Q, address: string) => AInit | Error | Promise<AInit | Error>,
  ): void {
    this.#answers.set(`${address} ${method.path}`, answer as Answer);
  }

  callsOf(method: { path: string }): FakeCall[] {
    return this.calls.filter(({ path }) => path === method.path);
  }

  async call<Q, QInit, A, AInit>(
    address: string,
    method: Method<Q, QInit, A, AInit>,
    request: QInit,
    options: CallOptions,
  ): Promise<A> {
    const received = method.request.decode(method.request.encode(request));
    this.calls.push({ address, path: method.path, request: received, timeoutMs: options.timeoutMs });
    if (this.down.has(address)) throw refused(address);
    const answer = this.#answers.get(`${address} ${method.path}`) ?? this.#answers.get(`* ${method.path}`);
    if (answer === undefined) throw lost("unimplemented", GrpcStatus.unimplemented);
    const given = await untilAborted(Promise.resolve(answer(received, address)), options.signal);
    if (given instanceof Error) throw given;
    return method.reply.decode(method.reply.encode(given as AInit));
  }

  stream<Q, QInit, A, AInit>(
    address: string,
    method: Method<Q, QInit, A, AInit>,
    handlers: { onMessage(reply: A): void; onEnd(error: Error): void },
  ): Promise<Duplex<QInit>> {
    if (this.down.has(address)) return Promise.reject(refused(address));
    const stream: FarStream = {
      address,
      requests: [],
      closed: false,
      // Also after the near side closed: what was under way then still arrives.
      reply: (message) => handlers.onMessage(method.reply.decode(method.reply.encode(message as AInit))),
      end: (error) => {
        if (!stream.closed) handlers.onEnd(error);
        stream.closed = true;
      },
    };
    return Promise.resolve({
      send: (request: QInit) => {
        const received = method.request.decode(method.request.encode(request));
        stream.requests.push(received);
        queueMicrotask(() => this.onStream(stream, received));
      },
      close: () => void (stream.closed = true),
    });
  }

  disconnect(address: string): void {
    this.disconnected.push(address);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** A connection that could not be made. */
export function refused(address: string): RpcError {
  return new RpcError(`${address} refused the connection`, { status: GrpcStatus.unavailable, sent: false });
}

/** A call whose reply nobody saw. */
export function lost(text = "connection lost", status: number = GrpcStatus.unavailable): RpcError {
  return new RpcError(text, { status, sent: true });
}

function untilAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    work.then(resolve, reject);
  });
}
