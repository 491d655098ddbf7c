/**
 * One seed: a cluster comes up, is used and meddled with under faults, and must come to rest when they end.
 *
 * In: a seed. Out: a `Result`; same seed and options, same hash.
 * E2. It comes to rest (E1, `rest.ts`) without standing still for QUIET_MS_MAX, and is whole then (`assertWhole`).
 */
import { apiTokens } from "../../lib/cluster/records.ts";
import { assertWhole } from "../../lib/cluster/testing_whole.ts";
import type { AuditEntry } from "../../lib/cluster/types.ts";
import { createLog, type Log } from "../../lib/log.ts";
import type { Probe, Random, Scope } from "../../lib/seams.ts";
import { mintToken, TOKEN_RANDOM_BYTES } from "../../lib/secure/token.ts";
import type { Store } from "../../lib/store/store.ts";
import { startChaos } from "./chaos.ts";
import { Checks } from "./checks.ts";
import { Faults } from "./faults.ts";
import { type Drain, Kernel } from "./kernel.ts";
import { EPOCH_MS, Life } from "./life.ts";
import { Mesh } from "./mesh.ts";
import { openOrderedStore, OrderedData, type Written } from "./ordered_store.ts";
import { People } from "./people.ts";
import { Process } from "./process.ts";
import { between, hashText, seededRandom } from "./random.ts";
import { unrest } from "./rest.ts";
import { Broken } from "./rules/rule.ts";
import type { Sabotage } from "./sabotage.ts";
import { populate } from "./scale.ts";
import { textOf, World } from "./world.ts";

export interface RunOptions {
  seed: number;
  drain: Drain;
  /** Only these faults may fire. @default whatever the seed draws */
  only?: ReadonlySet<string> | null;
  sabotage?: Sabotage | null;
  /** Gets every line of the story. */
  trace?: ((line: string) => void) | null;
}

export interface Failure {
  /** The rule that was broken. */
  invariant: string;
  detail: string;
  atMs: number;
}

export interface Result {
  seed: number;
  /** Null when all held. */
  failure: Failure | null;
  hash: number;
  events: number;
  virtualMs: number;
  /** Names of those that fired, in order. */
  faults: readonly string[];
  /** How often each mark was reached. */
  reached: Record<string, number>;
}

/** How long people meddle and things fail. */
const CHAOS_MS = 45_000;
const MEDDLE_MS_MAX = 5_000;
const QUIET_MS_MAX = 900_000;
/** Getting on for ever is no end either. */
const RUN_MS_MAX = 2 * 3_600_000;
/** So long nothing happens before anybody looks whether all is at rest, and so long from one look to the next. */
const SETTLED_MS = 3_000;
const LOOK_MS = 500;

export function runSeed(options: RunOptions): Result {
  return new Run(options).run();
}

class Run {
  readonly #options: RunOptions;
  readonly #kernel: Kernel;
  readonly #random: Random;
  readonly #faults: Faults;
  readonly #world: World;
  readonly #data: OrderedData;
  readonly #checks: Checks;
  readonly #mesh: Mesh;
  readonly #reached: Record<string, number> = {};
  #failure: Failure | null = null;

  constructor(options: RunOptions) {
    const { seed, drain, only = null, sabotage = null } = this.#options = options;
    const kernel = this.#kernel = new Kernel(drain);
    const random = this.#random = seededRandom(seed, "run");
    const faults = this.#faults = new Faults({ seed, only });
    const probe = this.#probe();
    const world = this.#world = new World({ kernel, random: random.fork("world"), faults, sabotage });
    populate(world, seed);
    this.#checks = new Checks(world, probe);
    const data = this.#data = new OrderedData(sabotage);
    data.onCommit = (written) => this.#onCommit(written);
    data.onRefused = (outcome) =>
      probe.sometimes(outcome === "conflict" ? "conflict" : "a token settles a commit");
    this.#mesh = new Mesh({ kernel, random, faults, data, world, probe, log: this.#log(), tell: this.#tell });
  }

  run(): Result {
    const [kernel, mesh, faults, random] = [this.#kernel, this.#mesh, this.#faults, this.#random];
    const people = this.#people(this.#found());
    const chaos = startChaos({
      kernel,
      random: random.fork("chaos"),
      faults,
      mesh,
      world: this.#world,
      tell: this.#tell,
    });
    for (const host of mesh.hosts) host.start();
    kernel.after(1_000, () => people.start());
    kernel.after(CHAOS_MS, () => {
      this.#tell("all faults end");
      faults.end();
      chaos.heal();
    });
    this.#comeToRest();
    for (const process of [...mesh.processes(), people]) process.stop();
    if (this.#failure === null) this.#lookAtWhole();
    return {
      seed: this.#options.seed,
      failure: this.#failure,
      hash: kernel.hash >>> 0,
      events: kernel.events,
      virtualMs: Math.round(kernel.nowMs),
      faults: faults.fired,
      reached: this.#reached,
    };
  }

  /** The first token is in the store before anybody comes. */
  #found(): string {
    const random = this.#random.fork("token");
    const { id, secretHash, token } = mintToken(random.bytes(TOKEN_RANDOM_BYTES));
    const times = { createdAtMs: EPOCH_MS, expiresAtMs: EPOCH_MS * 2 };
    this.#byHand((store, scope) =>
      store.write(scope, (tx) => {
        apiTokens.put(tx, { v: 1, id, secretHash, role: "admin", name: "people", ...times }, id);
        return Promise.resolve();
      })
    );
    return token.reveal();
  }

  #people(adminToken: string): Process {
    const [kernel, random, world, mesh] = [this.#kernel, this.#random, this.#world, this.#mesh];
    const tell = this.#tell;
    const { seen } = this.#checks;
    return new Process({
      kernel,
      random,
      name: "people",
      tell,
      boot: async (life) => {
        const { scope } = life;
        const people = new People({
          scope,
          net: mesh.net(life),
          random: random.fork("meddling"),
          world,
          mesh,
          seen,
          adminToken,
          tell,
        });
        await people.setUp();
        const draws = random.fork("when people meddle");
        while (kernel.nowMs < CHAOS_MS) {
          await people.meddle();
          await scope.sleep(between(draws, 100, MEDDLE_MS_MAX));
        }
        await people.tidyUp();
      },
    });
  }

  /** E2. */
  #comeToRest(): void {
    const [kernel, world, { seen }] = [this.#kernel, this.#world, this.#checks];
    let [progress, sinceMs, lookAtMs] = [0, 0, CHAOS_MS];
    while (this.#failure === null) {
      if (!kernel.step()) return this.#fail(new Broken("E2 it gets there", "nothing is left to happen"));
      if (seen.progress !== progress) [progress, sinceMs] = [seen.progress, kernel.nowMs];
      const quietMs = kernel.nowMs - sinceMs;
      if (quietMs > SETTLED_MS && kernel.nowMs > lookAtMs) {
        if (unrest(world, seen) === null) return;
        lookAtMs = kernel.nowMs + LOOK_MS;
      }
      if (quietMs > QUIET_MS_MAX || kernel.nowMs > RUN_MS_MAX) {
        this.#fail(new Broken("E2 it gets there", unrest(world, seen) ?? "it never stands still"));
      }
    }
  }

  #lookAtWhole(): void {
    this.#byHand((store, scope) => store.read(scope, (tx) => assertWhole(tx)));
  }

  /** Work on the store without a way there, at once. */
  #byHand(work: (store: Store, scope: Scope) => Promise<void>): void {
    const { scope } = new Life({
      kernel: this.#kernel,
      random: this.#random.fork("by hand"),
      name: "by hand",
      skewMs: () => 0,
      isCut: () => false,
      onError: (_work, error) => this.#fail(error),
    });
    const store = openOrderedStore(this.#data, {
      reach: () => Promise.resolve(),
      commit: (_scope, apply) => Promise.resolve(apply()),
    });
    scope.spawn("by hand", () => work(store, scope));
    this.#options.drain();
  }

  #onCommit(written: Written[]): void {
    for (const { key, after } of written) {
      this.#kernel.note(hashText(key) ^ (after?.length ?? -1));
      if (this.#options.trace && key.startsWith("audit/") && after !== null) this.#tell(auditLine(after));
    }
    try {
      this.#checks.onCommit(written);
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    const { invariant, message } = error instanceof Broken
      ? error
      : new Broken("crash", error instanceof Error ? String(error.stack) : String(error));
    this.#failure ??= { invariant, detail: message, atMs: Math.round(this.#kernel.nowMs) };
  }

  #probe(): Probe {
    return {
      always: (holds, id) => {
        if (!holds) this.#fail(new Broken(`always: ${id}`, "does not hold"));
      },
      sometimes: (id, holds = true) => {
        if (holds) this.#reached[id] = (this.#reached[id] ?? 0) + 1;
      },
      buggify: () => false,
    };
  }

  readonly #tell = (text: string): void => {
    this.#options.trace?.(`${(this.#kernel.nowMs / 1000).toFixed(3)} ${text}`);
  };

  #log(): Log {
    if (!this.#options.trace) return SILENT;
    return createLog({ level: "debug", nowMs: () => EPOCH_MS + this.#kernel.nowMs, write: this.#tell });
  }
}

/** Makes no lines at all, which `silentLog` does. */
const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {}, with: () => SILENT };

/** One transition, as the audit has it. */
function auditLine(bytes: Uint8Array): string {
  const { what, target, who, why, detail } = JSON.parse(textOf(bytes)) as AuditEntry;
  return `${what} ${target.slice(0, 28)} by ${who.slice(0, 20)}: ${why} ${JSON.stringify(detail)}`;
}
