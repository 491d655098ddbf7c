/**
 * What this room's tests share: a clock that only moves when nothing else can, a disk and a minion that crash on
 * demand, and the director as a function of a request.
 *
 * V1. A crash is a call that never settles, as after `kill -9`: no `catch` and no `finally` of the agent runs.
 * V2. The director is the real protocol: statements signed and proofs checked by lib/secure.
 */
import assert from "node:assert/strict";
import { setImmediate } from "node:timers";
import {
  EnrolRequest,
  EnrolSystem,
  MoveReport,
  STATEMENT_KINDS,
  SystemBeat,
} from "../../lib/cluster/protocol.ts";
import { type ErrorCode, SalarError } from "../../lib/errors.ts";
import { silentLog } from "../../lib/log.ts";
import { problemOf } from "../../lib/mesh/problem.ts";
import { realCrypt } from "../../lib/mesh/real_crypt.ts";
import { realProbe } from "../../lib/mesh/real_probe.ts";
import type { Disk, Net, Random, Scope } from "../../lib/seams.ts";
import { type Identity, identityFromSeed } from "../../lib/secure/keys.ts";
import { checkProof } from "../../lib/secure/proof.ts";
import { openStatement, signStatement } from "../../lib/secure/statement.ts";
import { mintJoinToken, TOKEN_RANDOM_BYTES } from "../../lib/secure/token.ts";
import type { ClientAgentDeps } from "./logic.ts";
import type { MasterSetting, Minion, MinionFacts, MinionLayout, Outcome } from "./minion.ts";
import { clientTrust } from "./trust.ts";

// --- Time ----------------------------------------------------------------------------------------------------

interface Waiting {
  atMs: number;
  wake: () => void;
}

interface Life {
  signal?: AbortSignal;
  fuse?: Fuse;
  random?: Random;
}

/** Virtual time. Every wait is a queue entry; `runUntil` lets the earliest go on when nothing else moves. */
export class Clock {
  ms = 0;
  /** Epoch of the wall clock when `ms` is 0. */
  readonly epochMs = 1_795_420_800_000;
  readonly errors: unknown[] = [];
  #waiting: Waiting[] = [];

  /** A process of its own: abort the signal to end it politely, blow the fuse to kill it. */
  scope(
    { signal = new AbortController().signal, fuse = new Fuse(), random = seededRandom() }: Life = {},
  ): Scope {
    const scope: Scope = {
      nowMs: () => this.epochMs + this.ms,
      monoMs: () => this.ms,
      random,
      signal,
      sleep: (ms) =>
        new Promise((resolve, reject) => {
          const cancel = () => reject(new SalarError("cancelled", "Cannot sleep on: the scope has ended"));
          if (signal.aborted) return cancel();
          signal.addEventListener("abort", cancel, { once: true });
          this.#waiting.push({ atMs: this.ms + ms, wake: () => fuse.dead || resolve() });
        }),
      every: (everyMs, name, work) =>
        scope.spawn(name, async () => {
          while (!signal.aborted) {
            await work();
            await scope.sleep(everyMs);
          }
        }),
      spawn: (_name, work) =>
        void work().catch((error) => {
          if (!signal.aborted) this.errors.push(error);
        }),
      timeout: async (ms, work) => {
        const late = new AbortController();
        const expired = scope.sleep(ms).then(() => {
          late.abort();
          throw new SalarError("deadline", `Cannot wait longer: ${ms} ms are over`);
        });
        const limited = this.scope({ signal: AbortSignal.any([signal, late.signal]), fuse, random });
        return await Promise.race([work(limited), expired]);
      },
      child: (_name, other) =>
        this.scope({ signal: other ? AbortSignal.any([signal, other]) : signal, fuse, random }),
    };
    return scope;
  }

  /** Moves time on until `condition` holds. Fails after `limitMs` of virtual time, or when nothing waits any more. */
  async runUntil(what: string, condition: () => boolean, limitMs = 3_600_000): Promise<void> {
    const untilMs = this.ms + limitMs;
    for (;;) {
      await settled();
      assert.deepEqual(this.errors, [], "no spawned work fails");
      if (condition()) return;
      this.#waiting.sort((a, b) => a.atMs - b.atMs);
      const next = this.#waiting.shift();
      assert.ok(next, `waiting for ${what}: nothing is left that could happen`);
      assert.ok(next.atMs <= untilMs, `waiting for ${what}: not within ${limitMs} ms`);
      this.ms = Math.max(this.ms, next.atMs);
      next.wake();
    }
  }
}

/** The same numbers every time: crash points then mean the same call every time. */
function seededRandom(): Random {
  let state = 1;
  const random: Random = {
    u32: () => state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0,
    below: (below) => Math.floor(random.u32() / 2 ** 32 * below),
    bytes: (length) => Uint8Array.from({ length }, () => random.below(256)),
    id: () => random.u32().toString(32).padStart(26, "a"),
    fork: () => random,
  };
  return random;
}

/** Resolves when every promise that can settle by itself has settled. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

// --- A machine that crashes ----------------------------------------------------------------------------------

/** Where in the sequence of calls a process dies: before the call had an effect, half-way, or after it. */
export interface CrashPoint {
  call: number;
  when: "before" | "torn" | "after";
}

/** Counts what one incarnation does outside itself and ends it at its crash point. */
export class Fuse {
  calls = 0;
  dead = false;
  readonly blown = Promise.withResolvers<void>();
  readonly #point: CrashPoint | null;

  constructor(point: CrashPoint | null = null) {
    this.#point = point;
  }

  async pass<T>(effect: () => T | Promise<T>, torn: () => void = () => {}): Promise<T> {
    if (this.dead) return await never();
    const when = this.#point?.call === this.calls++ ? this.#point.when : null;
    if (when === "torn") torn();
    if (when === "before" || when === "torn") return await this.#blow();
    const result = await effect();
    return when === "after" || this.dead ? await this.#blow() : result;
  }

  #blow(): Promise<never> {
    this.dead = true;
    this.blown.resolve();
    return never();
  }
}

function never(): Promise<never> {
  return new Promise(() => {});
}

/** Files of a machine; they outlive the incarnations that write them. */
export type Files = Map<string, Uint8Array>;

export function memoryDisk(files: Files, fuse: Fuse = new Fuse()): Disk {
  return {
    read: (path) => fuse.pass(() => files.get(path) ?? null),
    replace: (path, bytes) => {
      const beside = path.replace(/([^/]+)$/, ".$1.new");
      return fuse.pass(
        () => void files.set(path, bytes.slice()),
        () => void files.set(beside, bytes.slice(0, bytes.length / 2)),
      );
    },
    remove: (path) => fuse.pass(() => void files.delete(path)),
    list: (folder) => fuse.pass(() => namesIn(files, folder)),
  };
}

function namesIn(files: Files, folder: string): string[] {
  const inside = [...files.keys()].filter((path) => path.startsWith(`${folder}/`));
  const names = inside.map((path) => path.slice(folder.length + 1));
  return names.filter((name) => !name.includes("/") && !name.endsWith(".new")).sort();
}

export const LAYOUT: MinionLayout = {
  dropIn: "/etc/salt/minion.d/zz-salar.conf",
  masterKey: "/etc/salt/pki/minion/minion_master.pub",
  kept: ["/etc/salt/minion.d/susemanager.conf"],
};

/** Masters by name, each with its key; `up: false` answers nobody. */
export type Masters = Record<string, { key: string; up: boolean }>;

/** A salt-minion by what it does with its files. */
export class FakeMinion implements Minion {
  readonly layout = LAYOUT;
  /** What the running minion read when it started. */
  running: { master: string | null; key: string | null } = { master: null, key: null };
  restarts = 0;
  restartFails = false;
  problems: string[] = [];
  readonly #files: Files;
  readonly #masters: Masters;
  readonly #knownBy = new Set<string>();
  fuse = new Fuse();

  constructor(files: Files, masters: Masters) {
    this.#files = files;
    this.#masters = masters;
    this.#start();
  }

  setting(): Promise<MasterSetting> {
    return Promise.resolve({ master: this.#masterInFiles(), namedIn: [], problems: this.problems });
  }

  facts(): Promise<MinionFacts> {
    return Promise.resolve({ minionId: "client-1", machineId: "0".repeat(32), minionKey: PEM_A });
  }

  restart(): Promise<Outcome> {
    return this.fuse.pass((): Outcome => {
      this.restarts++;
      if (this.restartFails) return { ok: false, reason: "the service does not start" };
      this.#start();
      return { ok: true };
    });
  }

  verify(_scope: Scope, master: string): Promise<Outcome> {
    return this.fuse.pass((): Outcome => {
      const follows = this.running.master === master && this.#isConnected();
      return follows ? { ok: true } : { ok: false, reason: `${master} does not answer` };
    });
  }

  #start(): void {
    const key = this.#files.get(LAYOUT.masterKey);
    this.running = { master: this.#masterInFiles(), key: key ? new TextDecoder().decode(key) : null };
    const { master } = this.running;
    if (master === null || !this.#isConnected() || this.#knownBy.has(master)) return;
    // A Uyuni server that registers a minion rewrites its own file there at once.
    if (this.#knownBy.size > 0) this.#files.set(UYUNI_FILE, new TextEncoder().encode(`master: ${master}\n`));
    this.#knownBy.add(master);
  }

  #isConnected(): boolean {
    const master = this.#masters[this.running.master ?? ""];
    return master !== undefined && master.up && master.key === this.running.key;
  }

  #masterInFiles(): string | null {
    for (const path of [LAYOUT.dropIn, UYUNI_FILE]) {
      const text = new TextDecoder().decode(this.#files.get(path));
      const name = /^master: "?([^"\n]+)"?$/m.exec(text)?.[1];
      if (name !== undefined) return name;
    }
    return null;
  }
}

const UYUNI_FILE = "/etc/salt/minion.d/susemanager.conf";

/** Keys by shape only: what holds them compares text. */
export const PEM_A = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
export const PEM_B = "-----BEGIN PUBLIC KEY-----\nBBBB\n-----END PUBLIC KEY-----\n";

/** The files of a system that Uyuni onboarded to master `a`. */
export function onboardedFiles(): Files {
  const bytes = (text: string) => new TextEncoder().encode(text);
  return new Map([[UYUNI_FILE, bytes("master: a\n")], [LAYOUT.masterKey, bytes(PEM_A)]]);
}

export function masters(): Masters {
  return { a: { key: PEM_A, up: true }, b: { key: PEM_B, up: true } };
}

// --- The director --------------------------------------------------------------------------------------------

export interface Ordered {
  seq: number;
  epoch: number;
  master: string;
  masterKey: string;
  system?: number;
}

/** The far side of the five requests. `refuse` decides per request whether it is answered otherwise. */
export class FakeDirector {
  readonly clusterKey: Identity = identityFromSeed(new Uint8Array(32).fill(9));
  /** Names the cluster's key, as every join token does. */
  joinToken = mintJoinToken(new Uint8Array(TOKEN_RANDOM_BYTES), this.clusterKey.fp).token.reveal();
  readonly reports: MoveReport[] = [];
  readonly beats: SystemBeat[] = [];
  readonly calls: string[] = [];
  readonly orders: Ordered[] = [];
  enrolments = 0;
  down = false;
  /** Brings every directive each time, done or not. */
  repeats = false;
  refuse: (path: string) => ErrorCode | null = () => null;
  /** Replaces the statements of the next answers. */
  forge: ((order: Ordered, signed: string) => string) | null = null;
  readonly #clock: Clock;
  readonly #agent: Identity;

  constructor(clock: Clock, agent: Identity) {
    this.#clock = clock;
    this.#agent = agent;
  }

  net(fuse: Fuse): Net {
    return {
      request: (scope, request) => fuse.pass(() => this.#answer(scope, request)),
      connectMs: (_scope, { host }) =>
        host === "gone"
          ? Promise.reject(new SalarError("unavailable", "Cannot reach gone: nobody answers"))
          : Promise.resolve(7),
    };
  }

  statement({ seq, epoch, master, masterKey, system = 1 }: Ordered): string {
    const iat = Math.floor((this.#clock.epochMs + this.#clock.ms) / 1000);
    const body = { plan: "p1", system, node: this.clusterKey.fp, master, masterKey };
    const kind = "directive.move";
    const claims = { kind, cluster: "c-test", to: this.#agent.fp, seq, iat, exp: iat + 60, epoch, body };
    return signStatement(claims, this.clusterKey);
  }

  async #answer(scope: Scope, request: Request): Promise<Response> {
    const { pathname, search, searchParams } = new URL(request.url);
    this.calls.push(pathname);
    if (this.down) throw new SalarError("unavailable", "Cannot reach the director: connection refused");
    const refused = this.refuse(pathname);
    if (refused !== null) return problem(refused);

    const body = new Uint8Array(await request.arrayBuffer());
    const nowMs = this.#clock.epochMs + this.#clock.ms;
    if (pathname === "/v1/enrol/challenge") return Response.json({ nonce: "n-1", nowMs, cluster: "c-test" });
    if (pathname === "/v1/enrol/system") return this.#enrol(body, nowMs);

    const proven = { method: request.method, target: pathname + search, body };
    checkProof(request.headers.get("authorization") ?? "", proven, {
      nowMs,
      senderKey: () => this.#agent.spki,
    });
    if (pathname === "/v1/directives") {
      return await this.#directives(scope, Number(searchParams.get("after")));
    }
    const json: unknown = JSON.parse(new TextDecoder().decode(body));
    if (pathname === "/v1/reports") this.reports.push(MoveReport.parse(json));
    else if (pathname === "/v1/beat") this.beats.push(SystemBeat.parse(json));
    else return problem("not-found");
    return Response.json({ ok: true });
  }

  #enrol(body: Uint8Array, nowMs: number): Response {
    const { statement } = EnrolRequest.parse(JSON.parse(new TextDecoder().decode(body)));
    const claims = openStatement(statement, {
      me: this.clusterKey.fp,
      cluster: "c-test",
      kinds: STATEMENT_KINDS,
      accepts: ["enrol.system"],
      nowMs,
      sender: (_kid, { body }) => ({
        spki: Uint8Array.fromBase64(EnrolSystem.parse(body).identityKey),
        role: "newcomer",
      }),
    });
    const { token, nonce } = EnrolSystem.parse(claims.body);
    if (token !== this.joinToken || nonce !== "n-1") return problem("unauthenticated");
    this.enrolments++;
    const clusterKey = this.clusterKey.spki.toBase64();
    return Response.json({
      fp: claims.from,
      zone: "berlin",
      cluster: "c-test",
      clusterKey,
      id: 1,
      lastSeq: 0,
    });
  }

  async #directives(scope: Scope, after: number): Promise<Response> {
    const due = this.orders.filter(({ seq }) => this.repeats || seq > after);
    if (due.length === 0) await scope.sleep(25_000);
    const directives = due.map((order) => {
      const signed = this.statement(order);
      return this.forge?.(order, signed) ?? signed;
    });
    return Response.json({ directives, last: this.orders.at(-1)?.seq ?? 0 });
  }
}

/** As the host of the functions answers what it refuses. */
function problem(code: ErrorCode): Response {
  const error = new SalarError(code, "Cannot answer: refused by the test");
  return Response.json(problemOf({ outcome: "refused", error }, "test"), { status: error.status });
}

/** One machine with its agent's parts; `incarnate` gives the dependencies of one life of the agent. */
export class Machine {
  readonly clock = new Clock();
  readonly agent = identityFromSeed(new Uint8Array(32).fill(1));
  readonly director = new FakeDirector(this.clock, this.agent);
  readonly files = onboardedFiles();
  readonly masters = masters();
  readonly minion = new FakeMinion(this.files, this.masters);

  incarnate(fuse: Fuse = new Fuse()): ClientAgentDeps {
    this.minion.fuse = fuse;
    return {
      disk: memoryDisk(this.files, fuse),
      crypt: realCrypt(),
      minion: this.minion,
      net: this.director.net(fuse),
      trust: clientTrust(this.agent, realCrypt()),
      log: silentLog,
      probe: realProbe(silentLog),
      folder: "/state",
      directorUrl: "https://director.test",
      name: "client-1.test",
      joinToken: () => Promise.resolve(this.director.joinToken),
    };
  }

  text(path: string): string | null {
    const bytes = this.files.get(path);
    return bytes === undefined ? null : new TextDecoder().decode(bytes);
  }
}
