/**
 * BatchCommands to one store: many requests and replies on one stream, in any order.
 *
 * B1. All that is called within one turn of the event loop leaves in one message, if the bounds of one allow.
 * B2. A reply finds its call by id; ids are never used twice while a call waits, whatever streams come and go.
 * B3. A stream that ends fails the calls that it carried, which may have been executed. Calls not sent yet go on the
 *     next stream.
 * B4. A reply that cannot be read ends the stream: what else it means is then unknown.
 */
import { GrpcStatus, RpcError, TikvError } from "./errors.ts";
import { cancelled, type Channel, overdue } from "./grpc.ts";
import type { Call } from "./grpc_call.ts";
import { finishFrame } from "./grpc_frames.ts";
import { BATCH_COMMANDS_MAX, BATCH_MESSAGE_BYTES } from "./limits.ts";
import { BatchCommandsResponse } from "./messages_kv.ts";
import { type Method, Streams } from "./methods.ts";
import { decodeSole, Writer } from "./protobuf.ts";
import type { CallOptions } from "./rpc.ts";
import type { Runtime } from "./runtime.ts";
import type { Sweeper, Swept } from "./wire_sweeper.ts";

/** The tags of BatchCommandsRequest's fields, and of every command in one. */
const REQUESTS = (1 << 3) | 2;
const REQUEST_IDS = (2 << 3) | 2;
const DELIMITED = 2;
const ID_MAX = 0xffff_ffff;

// deno-lint-ignore no-explicit-any -- calls of every type wait in one map; `call` gives each its own again
type AnyMethod = Method<any, any, any, any>;

interface Waiting {
  readonly id: number;
  readonly method: AnyMethod;
  readonly command: number;
  readonly request: unknown;
  readonly timeoutMs: number;
  readonly deadlineMs: number;
  readonly signal: AbortSignal | undefined;
  readonly onAbort: (() => void) | null;
  readonly resolve: (reply: unknown) => void;
  readonly reject: (error: Error) => void;
  sent: boolean;
}

/** A stream from its opening to its end. */
interface Carrier {
  /** Null while it is being opened. */
  call: Call | null;
  /** It takes nothing more before what was written has left. */
  full: boolean;
}

export class BatchStream implements Swept {
  readonly #channel: Channel;
  readonly #runtime: Runtime;
  readonly #sweeper: Sweeper;
  /** Sent and not: every call that has no outcome. */
  readonly #waiting = new Map<number, Waiting>();
  #queue: Waiting[] = [];
  #carrier: Carrier | null = null;
  #flushDue = false;
  #lastId = 0;

  constructor({ channel, runtime, sweeper }: { channel: Channel; runtime: Runtime; sweeper: Sweeper }) {
    this.#channel = channel;
    this.#runtime = runtime;
    this.#sweeper = sweeper;
  }

  /** @param command the method's number in BatchCommands. Rejects as `Wire.call` does. */
  call<Q, QInit, A, AInit>(
    method: Method<Q, QInit, A, AInit>,
    command: number,
    request: QInit,
    { timeoutMs, signal }: CallOptions,
  ): Promise<A> {
    if (signal?.aborted) return Promise.reject(cancelled(method.path, this.#channel.address, signal));
    return new Promise<A>((resolve, reject) => {
      const id = this.#lastId = this.#lastId === ID_MAX ? 1 : this.#lastId + 1;
      const onAbort = signal === undefined
        ? null
        : () => this.#fail(waiting, cancelled(method.path, this.#channel.address, signal));
      const waiting: Waiting = {
        id,
        method,
        command,
        request,
        timeoutMs,
        deadlineMs: this.#runtime.nowMs() + timeoutMs,
        signal,
        onAbort,
        resolve: resolve as (reply: unknown) => void,
        reject,
        sent: false,
      };
      if (onAbort !== null) signal?.addEventListener("abort", onAbort);
      if (this.#waiting.size === 0) this.#sweeper.watch(this);
      this.#waiting.set(id, waiting);
      this.#queue.push(waiting);
      this.#flushSoon();
    });
  }

  /** Ends every call with `error`. */
  close(error: Error): void {
    this.#carrier?.call?.cancel();
    this.#carrier = null;
    this.#queue = [];
    for (const waiting of this.#waiting.values()) this.#fail(waiting, error);
  }

  sweep(nowMs: number): boolean {
    for (const waiting of this.#waiting.values()) {
      if (waiting.deadlineMs > nowMs) continue;
      this.#fail(
        waiting,
        overdue(waiting.method.path, this.#channel.address, waiting.timeoutMs, waiting.sent),
      );
    }
    return this.#waiting.size > 0;
  }

  #flushSoon(): void {
    if (this.#flushDue) return;
    this.#flushDue = true;
    setImmediate(() => {
      this.#flushDue = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#queue.length === 0) return;
    this.#carrier ??= this.#open();
    const carrier = this.#carrier;
    while (carrier.call !== null && !carrier.full && this.#queue.length > 0) {
      const message = this.#takeMessage();
      if (message === null || carrier.call.write(message)) continue;
      carrier.full = true;
      carrier.call.drained(() => {
        carrier.full = false;
        if (this.#carrier === carrier) this.#flush();
      });
    }
  }

  #open(): Carrier {
    const carrier: Carrier = { call: null, full: false };
    const ended = (error: Error | null) => {
      if (this.#carrier === carrier) this.#ended(error);
    };
    this.#channel.open(Streams.batchCommands.path, {
      onMessage: (message) => this.#receive(carrier, message),
      onEnd: ended,
    }).then((call) => {
      if (this.#carrier !== carrier) return call.cancel();
      carrier.call = call;
      this.#flush();
    }, (error) => {
      if (this.#carrier !== carrier) return;
      this.#carrier = null;
      for (const waiting of this.#queue.splice(0)) this.#fail(waiting, error);
    });
    return carrier;
  }

  /** The next `count` commands of the queue as one message, or fewer; null when all of them were cancelled. */
  #takeMessage(count = Math.min(this.#queue.length, BATCH_COMMANDS_MAX)): Uint8Array | null {
    const writer = new Writer(1024);
    const taken: Waiting[] = [];
    // From the last to the first, since encoding runs backwards: they leave in the order in which they came.
    for (let at = count - 1; at >= 0; at--) {
      const waiting = this.#queue[at];
      if (waiting === undefined || !this.#waiting.has(waiting.id) || !this.#write(writer, waiting)) continue;
      taken.push(waiting);
      if (writer.length > BATCH_MESSAGE_BYTES && count > 1) return this.#takeMessage(count >> 1);
    }
    this.#queue = count === this.#queue.length ? [] : this.#queue.slice(count);
    if (taken.length === 0) return null;
    const end = writer.length;
    for (const { id } of taken) writer.varint32(id);
    writer.varint32(writer.length - end);
    writer.varint32(REQUEST_IDS);
    for (const waiting of taken) waiting.sent = true;
    return finishFrame(writer);
  }

  /** False when the request cannot be encoded: its caller hears of it, the others go on. */
  #write(writer: Writer, waiting: Waiting): boolean {
    const end = writer.length;
    try {
      waiting.method.request.write(writer, waiting.request);
    } catch (error) {
      writer.truncate(end);
      this.#fail(waiting, error instanceof Error ? error : new TypeError(String(error)));
      return false;
    }
    writer.varint32((waiting.command << 3) | DELIMITED);
    writer.varint32(writer.length - end);
    writer.varint32(REQUESTS);
    return true;
  }

  #receive(carrier: Carrier, message: Uint8Array): void {
    try {
      const { responses, requestIds } = BatchCommandsResponse.decode(message);
      if (responses.length !== requestIds.length) {
        const counts = `${responses.length} replies for ${requestIds.length} ids`;
        throw new TikvError("malformed", `read batch of ${this.#channel.address}: ${counts}`);
      }
      requestIds.forEach((id, at) => this.#answer(Number(id), responses[at]));
    } catch (error) {
      if (!(error instanceof TikvError)) throw error;
      carrier.call?.cancel();
      if (this.#carrier === carrier) this.#ended(error);
    }
  }

  /** A reply that nobody waits for any more belongs to a call that was cancelled or overdue. */
  #answer(id: number, response: Uint8Array | undefined): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined || response === undefined) return;
    let reply;
    try {
      reply = decodeSole(response, waiting.command, waiting.method.reply);
    } catch (error) {
      if (error instanceof TikvError) this.#fail(waiting, error);
      throw error;
    }
    if (reply === null) {
      const text = `call ${waiting.method.path} at ${this.#channel.address}: the reply is of another command`;
      const error = new TikvError("malformed", text);
      this.#fail(waiting, error);
      throw error;
    }
    this.#settle(waiting);
    waiting.resolve(reply);
  }

  /** The stream is gone, and with it the replies to all that it carried. */
  #ended(cause: Error | null): void {
    this.#carrier = null;
    const error = cause instanceof RpcError || (cause instanceof TikvError && cause.code !== "malformed")
      ? cause
      : new RpcError(
        `batch stream to ${this.#channel.address}: ${cause?.message ?? "ended by the far side"}`,
        {
          status: GrpcStatus.unavailable,
          sent: true,
          cause,
        },
      );
    for (const waiting of this.#waiting.values()) if (waiting.sent) this.#fail(waiting, error);
    this.#flushSoon();
  }

  #fail(waiting: Waiting, error: Error): void {
    if (this.#settle(waiting)) waiting.reject(error);
  }

  /** False when it has had its outcome. */
  #settle({ id, signal, onAbort }: Waiting): boolean {
    if (!this.#waiting.delete(id)) return false;
    if (onAbort !== null) signal?.removeEventListener("abort", onAbort);
    return true;
  }
}
