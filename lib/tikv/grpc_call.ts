/**
 * One call of gRPC on an HTTP/2 session: messages out and in, and exactly one end.
 *
 * C1. After `onEnd`, or after `cancel()`, no handler is called any more.
 * C2. Only a status of zero after whole messages is a good end; a stream that just stops was lost.
 * Source: grpc/grpc doc/PROTOCOL-HTTP2.md, doc/statuscodes.md.
 */
import { constants, type IncomingHttpHeaders } from "node:http2";
import { GrpcStatus, RpcError, TikvError } from "./errors.ts";
import type { Session } from "./grpc_connection.ts";
import { FrameReader } from "./grpc_frames.ts";

export interface CallHandlers {
  onMessage(message: Uint8Array): void;
  /** Null: the far side ended it and says that all is well. */
  onEnd(error: Error | null): void;
}

export interface Call {
  /** Sends one framed message. False when much is waiting to be sent already: then wait for `drained`. */
  write(frame: Uint8Array): boolean;
  drained(then: () => void): void;
  /** Says that no more messages follow. */
  end(): void;
  /** Ends the call here and there. */
  cancel(): void;
}

export interface NewCall {
  session: Session;
  /** For messages. */
  address: string;
  path: string;
  /** Tells the far side how long anybody waits. */
  timeoutMs?: number | undefined;
}

/** Throws when the session takes no calls any more. */
export function openCall(
  { session, address, path, timeoutMs }: NewCall,
  { onMessage, onEnd }: CallHandlers,
): Call {
  const stream = session.http.request({
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    "te": "trailers",
    ...timeoutMs === undefined ? {} : { "grpc-timeout": `${Math.ceil(timeoutMs)}m` },
  });
  session.calls++;
  const frames = new FrameReader();
  let ended = false;
  let headers: IncomingHttpHeaders = {};
  let trailers: IncomingHttpHeaders = {};

  const finish = (error: Error | null) => {
    if (ended) return;
    ended = true;
    // Also after a good end: the far side may have ended while our half is open, and would wait for us.
    if (!stream.closed) stream.close(error === null ? constants.NGHTTP2_NO_ERROR : constants.NGHTTP2_CANCEL);
    onEnd(error);
  };
  const outcome = (): Error | null => {
    const status = trailers["grpc-status"] ?? headers["grpc-status"];
    const text = trailers["grpc-message"] ?? headers["grpc-message"];
    if (status === undefined) return unanswered();
    if (status !== "0") return failed(Number(status), decodeText(String(text ?? "")));
    if (frames.empty) return null;
    return new TikvError("malformed", `call ${path} at ${address}: it ended within a message`);
  };
  const failed = (status: number, text: string, sent = true) =>
    new RpcError(`call ${path} at ${address}: status ${status}: ${text}`, { status, sent });
  const unanswered = (): Error => {
    const http = Number(headers[":status"] ?? 200);
    if (http !== 200) return failed(statusOfHttp(http), `HTTP status ${http}`);
    // The far side promises by REFUSED_STREAM that it did nothing.
    if (stream.rstCode === constants.NGHTTP2_REFUSED_STREAM) {
      return failed(GrpcStatus.unavailable, "the stream was refused", false);
    }
    if (stream.rstCode === constants.NGHTTP2_ENHANCE_YOUR_CALM) {
      return failed(GrpcStatus.resourceExhausted, "the far side asks for calm");
    }
    return session.lost ?? failed(GrpcStatus.unavailable, `the stream broke (code ${stream.rstCode ?? 0})`);
  };

  // Node.js and Deno may emit headers after the first data, so nothing here relies on their order.
  stream.on("response", (given) => headers = given);
  stream.on("trailers", (given) => trailers = given);
  stream.on("data", (chunk: Uint8Array) => {
    if (ended) return;
    try {
      // What callers get are views of this: a plain array, for the `slice` of a Buffer would not copy.
      frames.push(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length), (message) => {
        if (!ended) onMessage(message);
      });
    } catch (error) {
      if (!(error instanceof TikvError)) throw error;
      finish(new TikvError(error.code, `call ${path} at ${address}: ${error.message}`, { cause: error }));
    }
  });
  stream.on("end", () => {
    if (trailers["grpc-status"] !== undefined || headers["grpc-status"] !== undefined) finish(outcome());
    else stream.end(); // then `close` comes, with the trailers before it
  });
  stream.on("error", () => {}); // `close` follows, and knows why
  stream.on("close", () => {
    session.calls--;
    finish(outcome());
  });

  return {
    write: (frame) => stream.write(frame),
    drained: (then) => void stream.once("drain", then),
    end: () => void stream.end(),
    cancel() {
      if (ended) return;
      ended = true;
      stream.close(constants.NGHTTP2_CANCEL);
    },
  };
}

/** Statuses of HTTP as a proxy gives them instead of an answer. */
function statusOfHttp(http: number): number {
  if ([429, 502, 503, 504].includes(http)) return GrpcStatus.unavailable;
  return http === 404 ? GrpcStatus.unimplemented : GrpcStatus.unknown;
}

/** `grpc-message` is percent-encoded UTF-8; what is not stands as it came. */
function decodeText(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
