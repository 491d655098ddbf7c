/** A gRPC server for the tests of the wire: what comes in is handed over raw, what goes out is written raw. */
import {
  createSecureServer,
  createServer,
  type Http2Server,
  type Http2Session,
  type IncomingHttpHeaders,
  type SecureServerOptions,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo } from "node:net";
import { encodeFrame, FrameReader } from "./grpc_frames.ts";
import type { Method } from "./methods.ts";
import type { Message } from "./protobuf.ts";

export interface IncomingCall {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly stream: ServerHttp2Stream;
  /** Starts the answer with the headers of every good one. */
  respond(): void;
  send<T, I>(message: Message<T, I>, value: I): void;
  /** Ends the answer with its trailers. */
  finish(status?: number, text?: string): void;
  /** Ends the connection without a word. */
  cut(): void;
}

export interface TestServer extends AsyncDisposable {
  readonly address: string;
  readonly port: number;
  readonly sessions: ReadonlySet<ServerHttp2Session>;
  close(): Promise<void>;
}

export interface TestServerOptions {
  port?: number;
  tls?: SecureServerOptions;
  onCall(call: IncomingCall): void;
}

export async function serveGrpc({ port = 0, tls, onCall }: TestServerOptions): Promise<TestServer> {
  return await serveStreams({ port, tls }, (stream, headers) => {
    const path = String(headers[":path"]);
    let trailers: Record<string, string> = {};
    onCall({
      path,
      headers,
      stream,
      respond() {
        stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
        stream.on("wantTrailers", () => stream.sendTrailers(trailers));
      },
      send: (message, value) => void stream.write(encodeFrame(message, value)),
      finish(status = 0, text = "") {
        trailers = { "grpc-status": String(status), "grpc-message": encodeURIComponent(text) };
        stream.end();
      },
      cut: () => cutConnection(stream),
    });
  });
}

/** An HTTP/2 server on 127.0.0.1 whose `close()` ends all connections, so that the port is free then. */
export async function serveStreams(
  { port, tls }: { port: number; tls?: SecureServerOptions | undefined },
  onStream: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void,
): Promise<TestServer> {
  const server = (tls === undefined ? createServer() : createSecureServer(tls)) as unknown as Http2Server;
  const sessions = new Set<ServerHttp2Session>();
  server.on("session", (session) => {
    sessions.add(session);
    session.on("error", () => {});
    session.on("close", () => sessions.delete(session));
  });
  server.on("sessionError", () => {});
  server.on("tlsClientError", () => {});
  server.on("stream", (stream: ServerHttp2Stream, headers) => {
    stream.on("error", () => {});
    onStream(stream, headers);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => resolve());
  });
  const bound = (server.address() as AddressInfo).port;
  const close = async () => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const session of sessions) destroy(session);
    await closed;
  };
  return {
    address: `127.0.0.1:${bound}`,
    port: bound,
    sessions,
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Ends the connection of a stream without a word. */
export function cutConnection({ session }: ServerHttp2Stream): void {
  if (session !== undefined) destroy(session);
}

/**
 * In a turn of its own: Deno 2.9.6 now and then dies (SIGSEGV) where a session is destroyed from within an event of one of
 * its streams and memory is collected soon after. Whatever a test does while it answers a call is within such an event.
 */
function destroy(session: Http2Session): void {
  setTimeout(() => session.destroy(), 0);
}

/** Calls `onMessage` for every message of the request, and `onEnd` after the last. */
export function readMessages<T, I>(
  { stream }: IncomingCall,
  message: Message<T, I>,
  onMessage: (value: T) => void,
  onEnd: () => void = () => {},
): void {
  const frames = new FrameReader();
  stream.on("data", (chunk: Uint8Array) => frames.push(chunk, (bytes) => onMessage(message.decode(bytes))));
  stream.on("end", onEnd);
}

/** Answers one unary call. */
export function answer<Q, QInit, A, AInit>(
  call: IncomingCall,
  { request, reply }: Method<Q, QInit, A, AInit>,
  of: (request: Q) => AInit,
): void {
  readMessages(call, request, (value) => {
    call.respond();
    call.send(reply, of(value));
    call.finish();
  });
}
