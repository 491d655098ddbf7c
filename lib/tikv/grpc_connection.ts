/**
 * The HTTP/2 connection to one address: dialled when first needed, watched while in use, dialled again when lost.
 *
 * N1. There is at most one connection and one dial; who comes meanwhile waits for that dial.
 * N2. After a failed dial the next waits RECONNECT_MS, growing to RECONNECT_MS_MAX; calls in between fail at once.
 * N3. A connection on which calls are open and that answers no ping is ended, and its calls with it.
 * N4. A failure of TLS is `tls` and nothing else, everything else is an RpcError `unavailable` that was not sent.
 * N5. A session is destroyed in a turn of its own: Deno 2.9.6 can die (SIGSEGV) of it within an event of its streams.
 */
import { type ClientHttp2Session, connect } from "node:http2";
import { GrpcStatus, RpcError, TikvError } from "./errors.ts";
import { isTlsFailure, loadTls, type TlsOptions } from "./grpc_tls.ts";
import {
  DIAL_MS,
  KEEPALIVE_ANSWER_MS,
  KEEPALIVE_EVERY_MS,
  RECONNECT_GROWTH,
  RECONNECT_MS,
  RECONNECT_MS_MAX,
  SESSION_MIB,
  WINDOW_BYTES,
} from "./limits.ts";
import type { Runtime } from "./runtime.ts";

export interface ConnectionOptions {
  /** `host:port`. */
  address: string;
  /** Without it the connection is not encrypted. */
  tls?: TlsOptions | undefined;
  runtime: Runtime;
}

/** One connection from its first frame to its end. */
export interface Session {
  readonly http: ClientHttp2Session;
  /** Calls under way: without any there is nothing to keep alive. */
  calls: number;
  /** Why it ended; null while it lives. */
  lost: Error | null;
}

/** A dial that ended without a word after TLS had been agreed on. */
class CutOff extends Error {}

export class Connection {
  readonly address: string;
  readonly #tls: TlsOptions | undefined;
  readonly #runtime: Runtime;
  #session: Session | null = null;
  #dialing: Promise<Session> | null = null;
  /** Ends the dial that is under way. */
  #dial = new AbortController();
  #closed: Error | null = null;
  #failures = 0;
  #notBeforeMs = -Infinity;
  #lastFailure: unknown;

  constructor({ address, tls, runtime }: ConnectionOptions) {
    this.address = address;
    this.#tls = tls;
    this.#runtime = runtime;
  }

  /** The session to open calls on. See N4 for what it rejects with. */
  session(): Session | Promise<Session> {
    return this.#session ?? (this.#dialing ??= this.#dialWhenDue().finally(() => this.#dialing = null));
  }

  /** Ends every call with `error`, and every later one. */
  close(error: Error): void {
    this.#closed = error;
    this.#dial.abort(error);
    if (this.#session !== null) this.#end(this.#session, error);
  }

  async #dialWhenDue(): Promise<Session> {
    if (this.#closed !== null) throw this.#closed;
    const waitMs = this.#notBeforeMs - this.#runtime.nowMs();
    if (waitMs > 0 && this.#lastFailure instanceof TikvError) throw this.#lastFailure;
    if (waitMs > 0) throw this.#unreachable(`not tried again for ${Math.ceil(waitMs)} ms`, this.#lastFailure);
    try {
      const session = await this.#connect();
      this.#failures = 0;
      return session;
    } catch (error) {
      const grownMs = RECONNECT_MS * RECONNECT_GROWTH ** this.#failures++;
      // A fifth of chance, so that many clients do not come back at one moment.
      const jitter = 0.8 + 0.4 * this.#runtime.random();
      this.#notBeforeMs = this.#runtime.nowMs() + Math.min(grownMs, RECONNECT_MS_MAX) * jitter;
      this.#lastFailure = error;
      throw error;
    }
  }

  async #connect(): Promise<Session> {
    const tls = this.#tls === undefined ? null : await loadTls(this.#tls);
    // TLS 1.3 tells a client only after its handshake that its certificate is refused, and some runtimes swallow that
    // alert. One cut may have been a restart of the far side; a second one at once is a refusal.
    for (let cuts = 0;; cuts++) {
      try {
        return await this.#open(tls);
      } catch (error) {
        if (this.#closed !== null) throw this.#closed;
        if (tls !== null && error instanceof CutOff && cuts === 0) continue;
        if (tls !== null && (error instanceof CutOff || isTlsFailure(error))) {
          const text = `connect to ${this.address}: ${textOf(error)}; check the certificates of both sides`;
          throw new TikvError("tls", text, { cause: error });
        }
        throw this.#unreachable(textOf(error), error);
      }
    }
  }

  async #open(tls: TlsOptions | null): Promise<Session> {
    if (this.#closed !== null) throw this.#closed;
    const scheme = tls === null ? "http" : "https";
    const http = connect(`${scheme}://${this.address}`, {
      ...tls,
      settings: { initialWindowSize: WINDOW_BYTES, enablePush: false },
      maxSessionMemory: SESSION_MIB, // the default of Node.js would refuse calls while a long scan comes in
    });
    const session: Session = { http, calls: 0, lost: null };
    const dial = this.#dial = new AbortController();
    try {
      await new Promise<void>((resolve, reject) => {
        let greeted = false;
        http.once("connect", () => greeted = true);
        http.once("remoteSettings", () => resolve());
        http.on("error", (error) => {
          session.lost ??= this.#unreachable(textOf(error), error, true);
          reject(error);
        });
        http.once("close", () => {
          this.#end(session, this.#unreachable("the far side closed the connection", undefined, true));
          reject(greeted ? new CutOff("closed before it said anything") : new Error("closed"));
        });
        dial.signal.addEventListener("abort", () => reject(dial.signal.reason));
        const late = () => reject(new Error(`no answer within ${DIAL_MS} ms`));
        this.#runtime.sleep(DIAL_MS, dial.signal).then(late, () => {});
      });
      if (this.#closed !== null) throw this.#closed;
    } catch (error) {
      this.#destroy(http);
      throw error;
    } finally {
      dial.abort();
    }
    http.setLocalWindowSize(WINDOW_BYTES);
    // No new calls; those under way may still end well.
    http.once("goaway", () => this.#forget(session));
    this.#session = session;
    void this.#keepAlive(session);
    return session;
  }

  async #keepAlive(session: Session): Promise<void> {
    const { http } = session;
    let sleep = new AbortController();
    http.once("close", () => sleep.abort());
    const slept = (ms: number) => {
      sleep = new AbortController();
      return this.#runtime.sleep(ms, sleep.signal).then(() => true, () => false);
    };
    while (await slept(KEEPALIVE_EVERY_MS) && !http.destroyed) {
      if (session.calls === 0) continue; // servers take pings on idle connections for abuse
      if (!http.ping(() => sleep.abort())) continue;
      if (await slept(KEEPALIVE_ANSWER_MS)) {
        const text = `no answer to a ping within ${KEEPALIVE_ANSWER_MS} ms`;
        return this.#end(session, this.#unreachable(text, undefined, true));
      }
    }
  }

  #end(session: Session, error: Error): void {
    session.lost ??= error;
    this.#forget(session);
    this.#destroy(session.http);
  }

  /** N5 */
  #destroy(http: ClientHttp2Session): void {
    void this.#runtime.sleep(0).then(() => http.destroy());
  }

  #forget(session: Session): void {
    if (this.#session === session) this.#session = null;
  }

  #unreachable(text: string, cause?: unknown, sent = false): RpcError {
    const action = sent ? "connection to" : "connect to";
    return new RpcError(`${action} ${this.address}: ${text}`, {
      status: GrpcStatus.unavailable,
      sent,
      cause,
    });
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
