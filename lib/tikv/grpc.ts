/**
 * gRPC to one address: single calls with a deadline, and streams.
 *
 * R1. A single call ends at its deadline whatever the connection does, and at once when its signal aborts.
 * R2. `sent` of an RpcError is false only when the request surely never left this process.
 */
import { GrpcStatus, RpcError, TikvError } from "./errors.ts";
import { type Call, type CallHandlers, openCall } from "./grpc_call.ts";
import { Connection, type ConnectionOptions } from "./grpc_connection.ts";
import type { CallOptions } from "./rpc.ts";
import type { Runtime } from "./runtime.ts";
import type { Sweeper, Swept } from "./wire_sweeper.ts";

interface Pending {
  readonly deadlineMs: number;
  end(error: Error): void;
  overdue(): Error;
}

export class Channel implements Swept {
  readonly #connection: Connection;
  readonly #runtime: Runtime;
  readonly #sweeper: Sweeper;
  readonly #pending = new Set<Pending>();

  constructor(options: ConnectionOptions & { sweeper: Sweeper }) {
    this.#connection = new Connection(options);
    this.#runtime = options.runtime;
    this.#sweeper = options.sweeper;
  }

  get address(): string {
    return this.#connection.address;
  }

  /**
   * One framed request and the bytes of its reply.
   * Rejects with RpcError, or TikvError `tls`, `closed`, `cancelled`, `malformed`.
   */
  unary(path: string, frame: Uint8Array, { timeoutMs, signal }: CallOptions): Promise<Uint8Array> {
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
    const { address } = this;
    let call: Call | null = null;
    let reply: Uint8Array | null = null;

    const end = (error: Error | null) => {
      if (!this.#pending.delete(pending)) return;
      signal?.removeEventListener("abort", onAbort);
      call?.cancel();
      if (error !== null) reject(error);
      else if (reply !== null) resolve(reply);
      else reject(new TikvError("malformed", `call ${path} at ${address}: status 0 without a message`));
    };
    const onAbort = () => end(cancelled(path, address, signal));
    const pending: Pending = {
      deadlineMs: this.#runtime.nowMs() + timeoutMs,
      end,
      overdue: () => overdue(path, address, timeoutMs, call !== null),
    };
    const onMessage = (message: Uint8Array) => {
      if (reply === null) reply = message;
      else end(new TikvError("malformed", `call ${path} at ${address}: two messages where one was due`));
    };

    if (signal?.aborted) return Promise.reject(cancelled(path, address, signal));
    this.#pending.add(pending);
    this.#sweeper.watch(this);
    signal?.addEventListener("abort", onAbort);
    this.open(path, { onMessage, onEnd: end }, timeoutMs).then((opened) => {
      if (!this.#pending.has(pending)) return opened.cancel();
      call = opened;
      opened.write(frame);
      opened.end();
    }, end);
    return promise;
  }

  /**
   * A stream in both directions. Rejects as `unary` does; `onEnd` is then not called.
   * @param timeoutMs is told to the far side, nothing more.
   */
  async open(path: string, handlers: CallHandlers, timeoutMs?: number): Promise<Call> {
    const session = await this.#connection.session();
    try {
      return openCall({ session, address: this.address, path, timeoutMs }, handlers);
    } catch (cause) {
      const text = `call ${path} at ${this.address}: the connection has just ended`;
      throw new RpcError(text, { status: GrpcStatus.unavailable, sent: false, cause });
    }
  }

  /** Ends all calls with `error`, and later ones. */
  close(error: Error): void {
    for (const pending of this.#pending) pending.end(error);
    this.#connection.close(error);
  }

  sweep(nowMs: number): boolean {
    for (const pending of this.#pending) if (pending.deadlineMs <= nowMs) pending.end(pending.overdue());
    return this.#pending.size > 0;
  }
}

export function cancelled(path: string, address: string, signal: AbortSignal | undefined): TikvError {
  return new TikvError("cancelled", `call ${path} at ${address}: cancelled by its caller`, {
    cause: signal?.reason,
  });
}

export function overdue(path: string, address: string, timeoutMs: number, sent: boolean): RpcError {
  const text = `call ${path} at ${address}: no answer within ${timeoutMs} ms`;
  return new RpcError(text, { status: GrpcStatus.deadlineExceeded, sent });
}
