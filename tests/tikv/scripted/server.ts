/**
 * gRPC as the servers speak it: the frames, single calls, the batch stream and the timestamp stream.
 *
 * F1. Replies of a batch stream leave newest first, and never all in one message: clients must match them by id.
 * F2. Replies of the timestamp stream leave in the order of their requests.
 */
import type { SecureServerOptions, ServerHttp2Stream } from "node:http2";
import { cutConnection, serveStreams } from "../../../lib/tikv/grpc_testing.ts";
import { Streams } from "../../../lib/tikv/methods.ts";
import { decodeSole, type Message, Writer } from "../../../lib/tikv/protobuf.ts";
import { type Call, Fault, type MethodName, METHODS, type Outcome } from "./calls.ts";

const PREFIX = 5;
const UNIMPLEMENTED = 12;
const { path: BATCH_PATH, request: BatchRequest, reply: BatchReply } = Streams.batchCommands;
const TSO_PATH = METHODS.tso.path;

type AnyMessage = Message<unknown, unknown>;
interface AnyMethod {
  readonly name: MethodName;
  readonly path: string;
  readonly batch: number | null;
  readonly request: AnyMessage;
  readonly reply: AnyMessage;
}

const methods = Object.entries(METHODS).map(([name, { path, request, reply, batch }]) =>
  ({ name, path, request, reply, batch }) as unknown as AnyMethod
);
const byPath = new Map(methods.map((method) => [method.path, method]));
const commands = methods.filter(({ batch }) => batch !== null);

/** Executes one call, or says how it ends without a reply. */
export type Dispatch = (call: Pick<Call, "method" | "request" | "batched">) => Promise<Outcome<MethodName>>;

export interface ServerOptions {
  dispatch: Dispatch;
  /** 0 takes a free one. */
  port?: number;
  tls?: SecureServerOptions | undefined;
  /** Whether `path` is a method of this server. */
  knows(method: MethodName): boolean;
  /** False for a server without BatchCommands. */
  batches: boolean;
}

export interface Server {
  readonly port: number;
  /** Ends all connections; the port is free then. */
  close(): Promise<void>;
}

export async function serve({ port = 0, tls, ...options }: ServerOptions): Promise<Server> {
  return await serveStreams(
    { port, tls },
    (stream, headers) => answer(stream, String(headers[":path"]), options),
  );
}

function answer(stream: ServerHttp2Stream, path: string, options: Omit<ServerOptions, "port" | "tls">): void {
  const exchange = new Exchange(stream);
  if (path === BATCH_PATH && options.batches) return answerBatches(exchange, options.dispatch);
  const method = byPath.get(path);
  if (method === undefined || !options.knows(method.name)) {
    return exchange.finish(UNIMPLEMENTED, `unknown method ${path}`);
  }
  if (path === TSO_PATH) return answerInOrder(exchange, method, options.dispatch);
  exchange.onMessage(async (bytes) => {
    const outcome = await options.dispatch({
      method: method.name,
      request: method.request.decode(bytes) as never,
      batched: false,
    });
    if (outcome instanceof Fault) return exchange.fail(outcome);
    exchange.send(method.reply.encode(outcome));
    exchange.finish(0);
  });
}

/** F2. */
function answerInOrder(exchange: Exchange, { name, request, reply }: AnyMethod, dispatch: Dispatch): void {
  let last = Promise.resolve();
  exchange.onMessage((bytes) => {
    const asked = request.decode(bytes) as never;
    last = last.then(async () => {
      const outcome = await dispatch({ method: name, request: asked, batched: false });
      if (outcome instanceof Fault) exchange.fail(outcome);
      else exchange.send(reply.encode(outcome));
    });
  });
}

function answerBatches(exchange: Exchange, dispatch: Dispatch): void {
  let ready: { id: bigint; response: Uint8Array }[] = [];
  const flush = () => {
    const replies = ready.reverse(); // F1
    ready = [];
    const cut = Math.ceil(replies.length / 2);
    for (const part of [replies.slice(0, cut), replies.slice(cut)]) {
      if (part.length === 0) continue;
      exchange.send(BatchReply.encode({
        requestIds: part.map(({ id }) => id),
        responses: part.map(({ response }) => response),
      }));
    }
  };
  exchange.onMessage((bytes) => {
    const { requests, requestIds } = BatchRequest.decode(bytes);
    for (const [at, command] of requests.entries()) {
      const id = requestIds[at] ?? 0n;
      const [number, { name, reply }, request] = commandIn(command);
      void dispatch({ method: name, request: request as never, batched: true }).then((outcome) => {
        if (outcome instanceof Fault) return exchange.fail(outcome);
        if (ready.length === 0) setImmediate(flush);
        ready.push({ id, response: wrap(number, reply, outcome) });
      });
    }
  });
}

function commandIn(bytes: Uint8Array): [number, AnyMethod, unknown] {
  for (const method of commands) {
    const request = decodeSole(bytes, method.batch ?? 0, method.request);
    if (request !== null) return [method.batch ?? 0, method, request];
  }
  throw new Error("a batch holds a command that the server does not know");
}

function wrap(number: number, message: AnyMessage, value: unknown): Uint8Array {
  const writer = new Writer();
  message.write(writer, value);
  writer.varint32((number << 3) | 2);
  return writer.finish();
}

/** One stream of HTTP/2 as messages. */
class Exchange {
  readonly #stream: ServerHttp2Stream;
  #parts: Uint8Array[] = [];
  #held = 0;
  #responded = false;
  /** Told by us: the stream itself may know of it later. */
  #ended = false;
  #trailers: Record<string, string> = {};

  constructor(stream: ServerHttp2Stream) {
    this.#stream = stream;
  }

  onMessage(each: (bytes: Uint8Array) => void): void {
    let needed = PREFIX;
    this.#stream.on("data", (chunk: Uint8Array) => {
      this.#parts.push(chunk);
      this.#held += chunk.length;
      while (this.#held >= needed) {
        const all = concat(this.#parts, this.#held);
        needed = PREFIX + new DataView(all.buffer).getUint32(1);
        const isWhole = all.length >= needed;
        if (isWhole) each(all.slice(PREFIX, needed));
        this.#parts = [isWhole ? all.subarray(needed) : all];
        this.#held -= isWhole ? needed : 0;
        if (isWhole) needed = PREFIX;
      }
    });
  }

  send(message: Uint8Array): void {
    if (this.#ended || this.#stream.closed || this.#stream.destroyed) return;
    this.#respond();
    const frame = new Uint8Array(PREFIX + message.length);
    new DataView(frame.buffer).setUint32(1, message.length);
    frame.set(message, PREFIX);
    this.#stream.write(frame);
  }

  /** Ends with a status; before any message that is a reply of trailers only. */
  finish(status: number, text = ""): void {
    if (this.#ended || this.#stream.closed || this.#stream.destroyed) return;
    this.#ended = true;
    this.#trailers = { "grpc-status": String(status), "grpc-message": encodeURIComponent(text) };
    if (this.#responded) return void this.#stream.end();
    const headers = { ":status": 200, "content-type": "application/grpc", ...this.#trailers };
    this.#stream.respond(headers, { endStream: true });
  }

  fail({ kind, status, text }: Fault): void {
    if (kind === "status") return this.finish(status, text);
    this.#ended ||= kind !== "silence";
    if (kind === "broken-stream") this.#stream.close(2);
    else if (kind === "closed-connection") cutConnection(this.#stream);
  }

  #respond(): void {
    if (this.#responded) return;
    this.#responded = true;
    this.#stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    this.#stream.on("wantTrailers", () => this.#stream.sendTrailers(this.#trailers));
  }
}

function concat(parts: Uint8Array[], length: number): Uint8Array {
  const all = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
