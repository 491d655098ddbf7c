/**
 * What this room's tests share: a clock that only moves when nothing else can, and a machine whose disk and minion
 * crash on demand.
 *
 * V1. A crash is a call that never settles, as after `kill -9`: no `catch` and no `finally` of the agent runs.
 */
import assert from "node:assert/strict";
import { setImmediate } from "node:timers";
import { SalarError } from "../../lib/errors.ts";
import { silentLog } from "../../lib/log.ts";
import { realCrypt } from "../../lib/mesh/real_crypt.ts";
import { realProbe } from "../../lib/mesh/real_probe.ts";
import type { Disk, Net, Random, Scope } from "../../lib/seams.ts";
import { identityFromSeed } from "../../lib/secure/keys.ts";
import type { ClientAgentDeps } from "./logic.ts";
import type { MasterSetting, Minion, MinionFacts, MinionLayout, Outcome } from "./minion.ts";
import { FakeDirector } from "./testing_director.ts";
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
      open: (_name, ...others) => {
        const ended = new AbortController();
        const end = () => ended.abort();
        return {
          ...this.scope({ signal: AbortSignal.any([signal, ended.signal, ...others]), fuse, random }),
          end,
        };
      },
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

/** Masters by name, each with its key. `up: false` answers nobody; `silent` takes a minion and then says no more. */
export type Masters = Record<string, { key: string; up: boolean; silent?: boolean }>;

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
      const follows = this.running.master === master && this.#isConnected() && !this.#masters[master]?.silent;
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

/** One machine with its agent's parts; `incarnate` gives the dependencies of one life of the agent. */
export class Machine {
  readonly clock = new Clock();
  readonly agent = identityFromSeed(new Uint8Array(32).fill(1));
  readonly director = new FakeDirector(() => this.clock.epochMs + this.clock.ms);
  readonly files = onboardedFiles();
  readonly masters = masters();
  readonly minion = new FakeMinion(this.files, this.masters);

  incarnate(fuse: Fuse = new Fuse()): ClientAgentDeps {
    this.minion.fuse = fuse;
    return {
      disk: memoryDisk(this.files, fuse),
      crypt: realCrypt(),
      minion: this.minion,
      net: this.#net(fuse),
      trust: clientTrust(this.agent, realCrypt()),
      log: silentLog,
      probe: realProbe(silentLog),
      folder: "/state",
      directorUrl: "https://director.test",
      name: "client-1.test",
      joinToken: () => Promise.resolve(this.director.joinToken),
    };
  }

  #net(fuse: Fuse): Net {
    return {
      request: (scope, request) => fuse.pass(() => this.director.answer(request, (ms) => scope.sleep(ms))),
      connectMs: (_scope, { host }) =>
        host === "gone"
          ? Promise.reject(new SalarError("unavailable", "Cannot reach gone: nobody answers"))
          : Promise.resolve(7),
    };
  }

  text(path: string): string | null {
    const bytes = this.files.get(path);
    return bytes === undefined ? null : new TextDecoder().decode(bytes);
  }
}
