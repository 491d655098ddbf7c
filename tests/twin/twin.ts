/**
 * A stand-in for one Uyuni server: its tables, its XML-RPC API, and what it does when a minion starts.
 *
 * In: requests, start events, check-ins; out: answers, and rows in a database that change capture can read.
 * What it does not imitate stands in README.md.
 */
import { findOne, type TwinDb } from "./db.ts";
import { answer, type Server } from "./endpoint.ts";
import type { TwinVersion } from "./handler.ts";
import { memoryKeys, type MinionKeys } from "./minion_keys.ts";
import { hashPassword } from "./passwords.ts";
import { type Seed, sow } from "./seed.ts";
import { serve, type Served, type ServeOptions } from "./serve.ts";
import { sessions } from "./sessions.ts";
import { checkIn, type Minion, register, type Registration } from "./systems.ts";

export interface TwinOptions {
  db: TwinDb;
  /** @default keys in memory */
  keys?: MinionKeys;
  /** @default Date.now */
  nowMs?: () => number;
  /** Of this server; a session key is only good where the secret is. @default random */
  sessionSecret?: string;
  version?: TwinVersion;
  /** IANA name; dates on the wire are local to it. @default "UTC" */
  timeZone?: string;
  /** Labels of the channels that a new system gets, as if its product had them. @default none */
  channels?: readonly string[];
}

export interface Twin {
  readonly db: TwinDb;
  readonly keys: MinionKeys;
  /** Answers `/rpc/api`. */
  fetch(request: Request): Promise<Response>;
  /** Creates what is missing of organisations, users, channels and groups. May be called again. */
  seed(seed: Seed): Promise<void>;
  /** What the reactor does on `salt/minion/<id>/start`. */
  registerMinion(minion: Minion): Promise<Registration>;
  /** A job return or ping of a minion came in; false for one that is not registered. */
  checkin(minionId: string): Promise<boolean>;
  /** Resolves once the queue is empty: what calls such as `deleteSystems` leave to be done later. */
  idle(): Promise<void>;
  /** Registers each minion whose start event comes by, until the events end. */
  watchSalt(events: AsyncIterable<SaltEvent>, options?: WatchOptions): Promise<void>;
}

export interface SaltEvent {
  tag: string;
  data: Record<string, unknown>;
}

export interface WatchOptions {
  /** Asked when a start event carries no `machine_id` grain. */
  machineIdOf?: (minionId: string) => Promise<string | null>;
  onRegistration?: (minionId: string, registration: Registration) => void;
}

const EVENT_ATTEMPTS_MAX = 60;
const EVENT_RETRY_MS = 500;
/** Between an answer and what it left to be done, and between two such pieces of work. */
const QUEUE_MS = 20;

const VERSION: TwinVersion = { api: "29", system: "2026.07 Uyuni", product: "Uyuni" };

export function twin(options: TwinOptions): Twin {
  const { db, keys = memoryKeys(), nowMs = Date.now, channels = [] } = options;
  let queue: Promise<unknown> = Promise.resolve();
  const server: Server = {
    db,
    enqueue(work) {
      queue = queue.then(() => new Promise((resolve) => setTimeout(resolve, QUEUE_MS)))
        .then(work).catch(() => {}); // nobody is told: Uyuni writes a log
    },
    keys,
    nowMs,
    sessions: sessions({ nowMs, secret: options.sessionSecret }),
    version: options.version ?? VERSION,
    timeZone: options.timeZone ?? "UTC",
  };

  async function registerMinion(minion: Minion): Promise<Registration> {
    const registration = await db.transaction((tx) => register(tx, { channels, ...minion }, nowMs()));
    if ("replacedMinionId" in registration) await keys.delete(registration.replacedMinionId);
    return registration;
  }

  return {
    db,
    keys,
    fetch: (request) => answer(server, request),
    seed: (seed) => db.transaction((tx) => sow(tx, seed, { nowMs: nowMs(), hashPassword })),
    registerMinion,
    checkin: (minionId) =>
      db.transaction(async (tx) => {
        const minion = await findOne(tx, "suseMinionInfo", { minion_id: minionId });
        if (minion !== null) await checkIn(tx, minion.server_id, nowMs());
        return minion !== null;
      }),
    idle: async () => void await queue,
    async watchSalt(events, { machineIdOf, onRegistration } = {}) {
      for await (const { tag, data } of events) {
        const minionId = /^salt\/minion\/([^/]+)\/start$/.exec(tag)?.[1];
        if (minionId === undefined) continue;
        const machineId = machineIdIn(data) ?? await machineIdOf?.(minionId) ?? null;
        const registration = await persistently(() => registerMinion({ minionId, machineId }));
        onRegistration?.(minionId, registration);
      }
    },
  };
}

/** A twin on a port of its own. Stopping it leaves the database open: it is the caller's. */
export function startTwin(options: TwinOptions & ServeOptions): Twin & Served {
  const itself = twin(options);
  return { ...itself, ...serve(itself.fetch, options) };
}

/** A start event outlives a database that is away for a while: Uyuni keeps its Salt events in a queue of their own. */
async function persistently<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1;; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (attempt === EVENT_ATTEMPTS_MAX) throw error;
      await new Promise((resolve) => setTimeout(resolve, EVENT_RETRY_MS));
    }
  }
}

/** The grain that `start_event_grains: [machine_id]` adds to a start event. */
function machineIdIn({ grains }: Record<string, unknown>): string | null {
  if (typeof grains !== "object" || grains === null || !("machine_id" in grains)) return null;
  return typeof grains.machine_id === "string" ? grains.machine_id : null;
}
