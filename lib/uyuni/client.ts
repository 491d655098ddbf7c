/**
 * A client of one Uyuni server's XML-RPC API that keeps its own session alive.
 *
 * In: method names and values; out: values, or one of two errors: `UyuniFault` (the server refused) and
 * `UyuniCallError` (no usable answer came).
 * C1. Every call ends within `timeoutMs`, its login and its one repetition included. One that waits for the login of
 *     another call ends with that.
 * C2. Only a call that the server refused for its session is repeated, and once: such a call was not carried out.
 * C3. After a refused password no further login is tried for `loginPauseMs`: retries must not lock an account.
 * C4. The client puts neither password nor session key into an error; a fault's text is the server's own.
 *
 * TLS is the work of the injected `request`, which must verify the server's certificate; `fetch` does.
 */
import { UyuniFault } from "./faults.ts";
import { readReply, writeCall, XMLRPC_BYTES_MAX, XmlRpcError } from "./xmlrpc.ts";
import type { XmlRpcReply, XmlRpcValue } from "./xmlrpc.ts";

export interface UyuniClientOptions {
  /** The endpoint, such as `https://uyuni.example.org/rpc/api`. */
  url: string;
  user: string;
  password: string;
  /** Sends one request; `fetch`, or a stand-in. It must verify TLS certificates and follow the request's signal. */
  request: (request: Request) => Promise<Response>;
  /** @default 30_000 */
  timeoutMs?: number;
  /** @default 30_000 */
  loginPauseMs?: number;
  /** @default 64 MiB */
  bodyBytesMax?: number;
  /** Ends all calls of this client. */
  signal?: AbortSignal;
  /** @default Date.now */
  nowMs?: () => number;
  /** A signal that aborts after so many milliseconds. @default AbortSignal.timeout */
  deadline?: (ms: number) => AbortSignal;
}

/** `timeout`, `cancelled`, `unreachable` (nothing came), `http` (no 200), `malformed` (no XML-RPC). */
export type UyuniCallErrorKind = "timeout" | "cancelled" | "unreachable" | "http" | "malformed";

/** No usable answer came. Except for `malformed`, whether the server did the work is unknown. */
export class UyuniCallError extends Error {
  override readonly name = "UyuniCallError";

  constructor(readonly kind: UyuniCallErrorKind, message: string, options: { cause?: unknown } = {}) {
    super(message, options);
  }
}

export interface UyuniCalls {
  /**
   * Calls a method with the session key in front of `args`.
   * @returns `null` when the server has no result
   * @throws {UyuniFault} @throws {UyuniCallError} @throws {XmlRpcError} `unwritable` for an argument
   */
  call(method: string, ...args: XmlRpcValue[]): Promise<XmlRpcValue | null>;
}

export interface UyuniClient extends UyuniCalls {
  /** As `call` but without a key, for `api.getVersion` and its like. */
  callBare(method: string, ...args: XmlRpcValue[]): Promise<XmlRpcValue | null>;
  /** The same server by somebody else's session. It is used as it is and never renewed. */
  withSession(key: string): UyuniCalls;
  /** Gives the session back, where there is one. The client can be used again and then logs in anew. */
  logout(): Promise<void>;
}

export function uyuniClient(options: UyuniClientOptions): UyuniClient {
  const { user, password, timeoutMs = 30_000, loginPauseMs = 30_000, nowMs = Date.now } = options;
  const deadline = options.deadline ?? ((ms) => AbortSignal.timeout(ms));
  let session: Promise<string> | undefined;
  let refusal: { fault: UyuniFault; untilMs: number } | undefined;

  function signalOfCall(): AbortSignal {
    const timeout = deadline(timeoutMs);
    return options.signal === undefined ? timeout : AbortSignal.any([timeout, options.signal]);
  }

  /** One login for all calls that wait for it. */
  function login(signal: AbortSignal): Promise<string> {
    return session ??= logIn(signal).catch((error) => {
      session = undefined;
      throw error;
    });
  }

  async function logIn(signal: AbortSignal): Promise<string> {
    if (refusal !== undefined && nowMs() < refusal.untilMs) throw refusal.fault;
    try {
      const key = await send(options, "auth.login", [user, password], signal);
      refusal = undefined;
      if (typeof key !== "string") throw badAnswer(options.url, "auth.login", "the session key is no string");
      return key;
    } catch (error) {
      if (error instanceof UyuniFault && error.kind === "bad-credentials") {
        refusal = { fault: error, untilMs: nowMs() + loginPauseMs };
      }
      throw error;
    }
  }

  async function call(method: string, ...args: XmlRpcValue[]): Promise<XmlRpcValue | null> {
    const signal = signalOfCall();
    const used = login(signal);
    const key = await used;
    try {
      return await send(options, method, [key, ...args], signal);
    } catch (error) {
      if (!isSessionFault(error)) throw error;
      // Another call may have renewed it already.
      if (session === used) session = undefined;
      return await send(options, method, [await login(signal), ...args], signal);
    }
  }

  return {
    call,
    callBare: (method, ...args) => send(options, method, args, signalOfCall()),
    withSession: (key) => ({
      call: (method, ...args) => send(options, method, [key, ...args], signalOfCall()),
    }),
    async logout() {
      const ending = session;
      session = undefined;
      if (ending === undefined) return;
      try {
        await send(options, "auth.logout", [await ending], signalOfCall());
      } catch (error) {
        if (!isSessionFault(error)) throw error;
      }
    },
  };
}

function isSessionFault(error: unknown): boolean {
  return error instanceof UyuniFault &&
    (error.kind === "session-expired" || error.kind === "session-invalid");
}

async function send(
  options: UyuniClientOptions,
  method: string,
  params: readonly XmlRpcValue[],
  signal: AbortSignal,
): Promise<XmlRpcValue | null> {
  const { url, request, bodyBytesMax = XMLRPC_BYTES_MAX } = options;
  const body = writeCall(method, params);
  const headers = { "content-type": "text/xml; charset=utf-8" };
  let reply: XmlRpcReply;
  try {
    signal.throwIfAborted();
    // A redirect would turn the POST into a GET, or carry the key elsewhere: it ends as an error.
    const response = await request(
      new Request(url, { method: "POST", headers, body, signal, redirect: "manual" }),
    );
    if (response.status !== 200) {
      await response.body?.cancel();
      throw new UyuniCallError("http", `${about(url, method)}: HTTP status ${response.status}`);
    }
    reply = readReply(await readBody(response, bodyBytesMax), { bytesMax: bodyBytesMax });
  } catch (error) {
    throw callError(error, options, method, signal);
  }
  if (!reply.ok) throw UyuniFault.parse(reply.code, reply.text);
  return reply.value;
}

async function readBody(response: Response, bytesMax: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    // Leaving the loop cancels the body.
    if (size > bytesMax) throw new XmlRpcError("too-large", `the answer is larger than ${bytesMax} bytes`);
    chunks.push(chunk);
  }
  const body = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    body.set(chunk, at);
    at += chunk.length;
  }
  return body;
}

function callError(
  error: unknown,
  { url, signal: ofClient }: UyuniClientOptions,
  method: string,
  signal: AbortSignal,
): UyuniCallError {
  if (error instanceof UyuniCallError) return error;
  if (error instanceof XmlRpcError) return badAnswer(url, method, error.message, error);
  if (ofClient?.aborted) {
    return new UyuniCallError("cancelled", `${about(url, method)}: cancelled`, { cause: error });
  }
  if (signal.aborted) {
    return new UyuniCallError("timeout", `${about(url, method)}: no answer in time`, { cause: error });
  }
  const reason = error instanceof Error ? error.message : String(error);
  return new UyuniCallError("unreachable", `${about(url, method)}: ${reason}`, { cause: error });
}

function badAnswer(url: string, method: string, what: string, cause?: unknown): UyuniCallError {
  return new UyuniCallError("malformed", `${about(url, method)}: ${what}`, { cause });
}

function about(url: string, method: string): string {
  return `Cannot call ${method} at ${url}`;
}
