/**
 * One NATS connection that never gives up, and asking over it.
 *
 * The client's own buffer is no help across a reconnect: npm:nats 2.29.3 empties it at each dial. So whoever sends
 * waits for `ready` first, and whoever needs an answer `ask`s and tries again when the connection went away.
 * N1. After the first connect only `close` (or the end of the scope) ends it; refused credentials are tried again too,
 *     since they are renewed on disk.
 * N2. Every ask settles: with an answer, with why there is none, or with the end of its scope.
 */
import {
  connect,
  createInbox,
  type Msg,
  type MsgHdrs,
  type NatsConnection,
  type PublishOptions,
  type Subscription,
} from "nats";
import { isSalarError, SalarError } from "../errors.ts";
import {
  BUS_APPEND_MS,
  BUS_CONNECT_MS,
  BUS_HEADER_BYTES_MAX,
  BUS_MESSAGE_BYTES_MAX,
  BUS_PING_MS,
  BUS_RECONNECT_MS,
  BUS_UNFLUSHED_BYTES_MAX,
} from "../limits.ts";
import type { Log } from "../log.ts";
import type { Scope } from "../seams.ts";
import type { BusState } from "./bus.ts";
import { authenticatorOf, type NatsCredentials } from "./nats_credentials.ts";
import { connectError, natsError } from "./nats_errors.ts";
import { checkScope, waitFor } from "./wait.ts";

export interface NatsLinkOptions {
  /** `host:port`, with or without `nats://` or `tls://`; never with credentials. */
  servers: readonly string[];
  /** PEM files. With `tls` a server without TLS is refused. */
  tls?: { caFile?: string; certFile?: string; keyFile?: string };
  credentials?: NatsCredentials;
  /** Shown by the server's monitoring. */
  name: string;
  /** Where answers come; an agent may only use its own. @default "_INBOX" */
  inboxPrefix?: string;
  log: Log;
}

/** An answer, or why none came. */
export type Answer = { message: Msg } | {
  missing: "nobody listens" | "the connection was lost" | "no answer";
};

export interface NatsLink {
  state(): BusState;
  /** Resolves while connected; `unavailable` after BUS_APPEND_MS, `closed` after `close`. */
  ready(scope: Scope, action: string): Promise<void>;
  /** Sends if connected, else drops. Callers that must not lose wait for `ready` and ask for an answer. */
  send(subject: string, data: Uint8Array, options?: PublishOptions): void;
  /** Resolves once the server has read what was sent before, or the connection was lost. */
  flush(): Promise<void>;
  /** Whether so much was sent that the sender must `flush`: the client's buffer has no bound of its own. */
  isFull(): boolean;
  ask(
    scope: Scope,
    subject: string,
    data: Uint8Array,
    options: { ms: number; headers?: MsgHdrs },
  ): Promise<Answer>;
  /** In force once it resolves, and again after each reconnect. `forbidden` when the server refuses the subject. */
  listen(
    scope: Scope,
    action: string,
    pattern: string,
    group: string | undefined,
    take: (message: Msg) => void,
  ): Promise<NatsListener>;
  inbox(): string;
  /** Calls `work` after each reconnect, until the answer is called. */
  onReconnect(work: () => void): () => void;
  close(): Promise<void>;
}

export interface NatsListener {
  /** Stops deliveries; resolves when none is under way. Safe to call twice. */
  leave(): Promise<void>;
}

/** One block of copies; a message of more than an eighth of it gets a buffer of its own. */
const PACK_BYTES = 64 * 1024;

/** Connects once: `unavailable` when no server can be reached or trusted, `unauthenticated` when one refuses us. */
export async function openNatsLink(scope: Scope, options: NatsLinkOptions): Promise<NatsLink> {
  const action = `Cannot connect to the bus at ${options.servers.join(", ")}`;
  checkScope(scope, action);
  if (options.servers.length === 0 || options.servers.some((server) => server.includes("@"))) {
    throw new SalarError(
      "bad-config",
      "Cannot connect to the bus: servers are host:port, without credentials",
    );
  }
  const authenticator = options.credentials && authenticatorOf(options.credentials);
  const connecting = connect({
    servers: [...options.servers],
    name: options.name,
    inboxPrefix: options.inboxPrefix ?? "_INBOX",
    ...(options.tls ? { tls: options.tls } : {}),
    ...(authenticator ? { authenticator } : {}),
    timeout: BUS_CONNECT_MS,
    maxReconnectAttempts: -1,
    ignoreAuthErrorAbort: true,
    reconnectTimeWait: BUS_RECONNECT_MS,
    reconnectJitter: BUS_RECONNECT_MS,
    reconnectJitterTLS: BUS_RECONNECT_MS,
    pingInterval: BUS_PING_MS,
    maxPingOut: 2,
    noAsyncTraces: true,
  });
  try {
    const connection = await waitFor(scope, action, connecting);
    const sizeMax = connection.info?.max_payload ?? 0;
    if (sizeMax >= BUS_MESSAGE_BYTES_MAX + BUS_HEADER_BYTES_MAX) {
      return createLink(scope, options, connection);
    }
    throw new SalarError(
      "bad-config",
      `${action}: its max_payload of ${sizeMax} bytes is below what Salar sends`,
    );
  } catch (error) {
    connecting.then((late) => late.close(), () => {}); // one that nobody waits for any more, or of no use
    throw isSalarError(error) ? error : connectError(action, error);
  }
}

function createLink(scope: Scope, options: NatsLinkOptions, connection: NatsConnection): NatsLink {
  const { log } = options;
  let state: BusState = "connected";
  let connected = Promise.withResolvers<void>(); // settled while connected, and for good once closed
  connected.resolve();
  let unflushedBytes = 0;
  const reconnected = new Set<() => void>();

  // Asks: one inbox for all, each with a token of its own.
  const askInbox = createInbox(options.inboxPrefix);
  const asked = new Map<string, (answer: Answer) => void>();
  let lastToken = 0;
  connection.subscribe(`${askInbox}.*`, {
    callback(error, message) {
      if (error) {
        return log.error("bus refused the inbox", { error: natsError("Cannot receive answers", error) });
      }
      const answered = asked.get(message.subject.slice(askInbox.length + 1));
      const nobody = message.data.length === 0 && message.headers?.code === 503;
      answered?.(nobody ? { missing: "nobody listens" } : { message });
    },
  });

  // The client writes to its socket at the end of each microtask, so a loop that awaits each publish would pay one
  // system call a message. What one turn of the event loop sends goes out together: seven times the throughput.
  let outgoing: { subject: string; data: Uint8Array; options: PublishOptions | undefined }[] = [];
  const pack = packer();
  const release = () => {
    const batch = outgoing;
    outgoing = [];
    try {
      for (const { subject, data, options } of batch) connection.publish(subject, data, options);
    } catch (error) {
      log.error("bus cannot send", { error: natsError("Cannot send", error) }); // it was closed just now
    }
  };

  const lose = () => {
    outgoing = [];
    for (const answered of asked.values()) answered({ missing: "the connection was lost" });
    unflushedBytes = 0;
  };
  const watch = async () => {
    for await (const status of connection.status()) {
      const server = connection.getServer();
      if (status.type === "disconnect" && state === "connected") {
        state = "reconnecting";
        connected = Promise.withResolvers();
        log.warn("bus connection lost", { server });
        lose();
      } else if (status.type === "reconnect" && state === "reconnecting") {
        state = "connected";
        connected.resolve();
        log.info("bus reconnected", { server });
        for (const work of reconnected) work();
      } else if (status.type === "error") {
        log.error("bus refused", { server, reason: status.data, ...status.permissionContext });
      }
    }
  };
  scope.spawn("bus status", watch);
  const ended = connection.closed().then((error) => {
    state = "closed";
    connected.resolve();
    lose();
    if (error) log.error("bus connection ended", { error });
  });
  const close = async () => {
    await connection.close();
    await ended;
  };
  scope.signal.addEventListener("abort", () => void close(), { once: true });

  const flush = () => {
    release();
    unflushedBytes = 0;
    return connection.flush().catch(() => {}); // rejects when the connection is lost: `state` tells
  };
  const checkOpen = (action: string) => {
    if (state === "closed") throw new SalarError("closed", `${action}: the bus is closed`);
  };

  const link: NatsLink = {
    state: () => state,

    async ready(scope, action) {
      checkOpen(action);
      checkScope(scope, action);
      if (state === "connected") return;
      try {
        await scope.timeout(BUS_APPEND_MS, (inner) => waitFor(inner, action, connected.promise));
      } catch (error) {
        if (!isSalarError(error, "deadline")) throw error;
        throw new SalarError("unavailable", `${action}: no connection to the bus for ${BUS_APPEND_MS} ms`);
      }
      checkOpen(action);
    },

    send(subject, data, options) {
      if (state !== "connected") return;
      // A copy: the caller may write to its bytes before they go out.
      if (outgoing.push({ subject, data: pack(data), options }) === 1) setImmediate(release);
      unflushedBytes += data.length;
    },

    flush,

    isFull: () => unflushedBytes >= BUS_UNFLUSHED_BYTES_MAX,

    async ask(scope, subject, data, { ms, headers }) {
      const action = `Cannot ask ${subject}`;
      await link.ready(scope, action);
      const token = (++lastToken).toString(36);
      try {
        return await scope.timeout(ms, (inner) => {
          const answer = new Promise<Answer>((resolve) => asked.set(token, resolve));
          link.send(subject, data, { reply: `${askInbox}.${token}`, ...(headers ? { headers } : {}) });
          return waitFor(inner, action, answer);
        });
      } catch (error) {
        if (!isSalarError(error, "deadline")) throw error;
        return { missing: "no answer" };
      } finally {
        asked.delete(token);
      }
    },

    async listen(scope, action, pattern, group, take) {
      await link.ready(scope, action);
      let refused: Error | null = null;
      const subscription: Subscription = connection.subscribe(pattern, {
        ...(group === undefined ? {} : { queue: group }),
        callback: (error, message) => error ? refused = error : take(message),
      });
      try {
        do {
          await link.ready(scope, action);
          await flush(); // the server refuses before it answers this
        } while (state === "reconnecting");
        if (refused) throw natsError(action, refused);
      } catch (error) {
        subscription.unsubscribe();
        throw error;
      }
      let leaving: Promise<void> | null = null;
      return {
        // Rejects when the connection is lost meanwhile: then nothing is under way either.
        leave: () =>
          leaving ??= subscription.isClosed() ? Promise.resolve() : subscription.drain().catch(() => {}),
      };
    },

    inbox: () => createInbox(options.inboxPrefix),

    onReconnect(work) {
      reconnected.add(work);
      return () => reconnected.delete(work);
    },

    close,
  };
  log.info("bus connected", { server: connection.getServer() });
  return link;
}

/** Copies bytes, small ones side by side into one block: a buffer of its own for each costs more than sending it. */
function packer(): (data: Uint8Array) => Uint8Array {
  let block = new Uint8Array(0);
  let used = 0;
  return (data) => {
    if (data.length > PACK_BYTES / 8) return data.slice();
    if (used + data.length > block.length) {
      block = new Uint8Array(PACK_BYTES); // a new one, since the client may still hold the old
      used = 0;
    }
    const copy = block.subarray(used, used += data.length);
    copy.set(data);
    return copy;
  };
}
