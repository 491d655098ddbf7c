/**
 * Clients at work on a few keys, and the history of it: small transactions of every kind, several at a time.
 *
 * A1. The keys move on slowly, so that no list grows for ever and each key sees many rivals.
 * A2. What a killed client was doing is of unknown end.
 * A3. The last transaction reads every key that was used.
 */
import { TikvError } from "../../../lib/tikv/errors.ts";
import type { Client } from "../../../lib/tikv/client.ts";
import type { Transaction } from "../../../lib/tikv/transaction.ts";
import type { Random } from "../../../lib/seams.ts";
import { between, pick } from "../../simulation/random.ts";
import { bytes, text } from "../transactions_testing.ts";
import type { Model, Recorded, Step } from "./history.ts";
import type { Subject } from "./subject.ts";

const KEYS_AT_ONCE = 8;
/** So many transactions later, half of the keys are others. */
const TURN = 300;
const WORKERS_PER_SUBJECT = 3;
const OUTCOME_MS_MAX = 30_000;

export interface RecordOptions {
  model: Model;
  prefix: string;
  random: Random;
  /** Ends it. */
  signal: AbortSignal;
  /** The living ones; may change while it runs. */
  subjects: Subject[];
}

export class Recording {
  readonly history: Recorded[] = [];
  readonly #options: RecordOptions;
  readonly #keys = new Set<string>();
  readonly #working: Promise<void>[] = [];

  constructor(options: RecordOptions) {
    this.#options = options;
    options.subjects.forEach((subject) => this.employ(subject));
  }

  /** A subject more. */
  employ(subject: Subject): void {
    for (let at = 0; at < WORKERS_PER_SUBJECT; at++) {
      const random = this.#options.random.fork(`worker ${this.#working.length}`);
      this.#working.push(this.#work(subject, `${this.#options.model}${this.#working.length}`, random));
    }
  }

  get committed(): number {
    return this.history.filter(({ outcome }) => outcome === "committed").length;
  }

  /** Rejects when something else than a transaction failed. */
  async ended(): Promise<void> {
    await Promise.all(this.#working);
  }

  /** A3. */
  async readAll(client: Client): Promise<void> {
    await this.#run(
      client,
      { id: `${this.#options.model} last`, wasKilled: () => false },
      async (tx, steps) => {
        const keys = [...this.#keys];
        const values = await tx.getMany(keys.map((key) => bytes(key)));
        keys.forEach((key, at) => steps.push({ kind: "read", key, seen: parse(values[at] ?? null) }));
      },
    );
  }

  async #work(subject: Subject, name: string, random: Random): Promise<void> {
    const { signal, model } = this.#options;
    for (let number = 0; !signal.aborted && !subject.wasKilled; number++) {
      const id = `${name}.${number}`;
      const keys = this.#someKeys(random);
      const kind = random.below(100);
      const task = { id, wasKilled: () => subject.wasKilled };
      if (kind < 10) await this.#run(subject.client, task, (tx, steps) => this.#scan(tx, steps));
      else if (kind < 40) await this.#run(subject.client, task, (tx, steps) => readOften(tx, steps, keys));
      else {
        await this.#run(subject.client, task, async (tx, steps) => {
          await change(tx, steps, { keys, id, model, random, lock: kind >= 85 });
        }, random.below(20) === 0);
      }
    }
  }

  /** Begins a transaction, lets `use` have it, ends it, and records how. */
  async #run(
    client: Client,
    { id, wasKilled }: { id: string; wasKilled(): boolean },
    use: (tx: Transaction, steps: Step[]) => Promise<void>,
    givesUp = false,
  ): Promise<void> {
    const steps: Step[] = [];
    const recorded: Recorded = { id, steps, invokedAtMs: now(), returnedAtMs: null, outcome: "unknown" };
    this.history.push(recorded);
    try {
      const tx = client.begin();
      try {
        await use(tx, steps);
        if (givesUp) await tx.rollback();
        else await tx.commit();
        recorded.outcome = givesUp ? "failed" : "committed";
      } catch (error) {
        await tx.rollback();
        if (!(error instanceof TikvError)) throw error;
        recorded.outcome = error.code === "undetermined" ? await settled(tx) : "failed";
      }
    } catch (error) {
      if (!(error instanceof TikvError)) throw error; // of `begin`: it did nothing
    }
    if (wasKilled()) recorded.outcome = "unknown"; // A2
    else recorded.returnedAtMs = now();
  }

  /** Every key of the present ones, absent or not. */
  async #scan(tx: Transaction, steps: Step[]): Promise<void> {
    const keys = this.#presentKeys();
    const [from = "", to = ""] = [keys[0], `${keys.at(-1)}0`];
    const found = new Map<string | null, Uint8Array>();
    for await (const { key, value } of tx.scan({ from: bytes(from), to: bytes(to) }, { pagePairs: 3 })) {
      found.set(text(key), value);
    }
    for (const key of keys) steps.push({ kind: "read", key, seen: parse(found.get(key) ?? null) });
  }

  #someKeys(random: Random): string[] {
    const present = this.#presentKeys();
    const count = between(random, 1, 4);
    return [...new Set(Array.from({ length: count }, () => pick(random, present)))].sort();
  }

  /** A1. */
  #presentKeys(): string[] {
    const first = Math.floor(this.history.length / TURN) * KEYS_AT_ONCE / 2;
    const { prefix, model } = this.#options;
    const keys = Array.from(
      { length: KEYS_AT_ONCE },
      (_, at) => `${prefix}${model}/${String(first + at).padStart(5, "0")}`,
    );
    for (const key of keys) this.#keys.add(key);
    return keys;
  }
}

/** The first key once more at the end: it has to be the same. */
async function readOften(tx: Transaction, steps: Step[], keys: readonly string[]): Promise<void> {
  for (const key of [...keys, ...keys.slice(0, 1)]) {
    steps.push({ kind: "read", key, seen: parse(await tx.get(bytes(key))) });
  }
}

/** Reads all keys and writes some of them, one of them twice now and then. */
async function change(
  tx: Transaction,
  steps: Step[],
  { keys, id, model, random, lock }: {
    keys: readonly string[];
    id: string;
    model: Model;
    random: Random;
    lock: boolean;
  },
): Promise<void> {
  const wireKeys = keys.map((key) => bytes(key));
  const values = lock ? await tx.lockNow(...wireKeys) : await tx.getMany(wireKeys);
  const states = values.map(parse);
  keys.forEach((key, at) => steps.push({ kind: "read", key, seen: states[at] ?? [] }));
  keys.forEach((key, at) => {
    if (at > 0 && random.below(2) === 0) return;
    for (let times = random.below(8) === 0 ? 2 : 1; times > 0; times--) {
      const value = `${id}/${at}/${times}`;
      states[at] = model === "list" ? [...states[at] ?? [], value] : [value];
      steps.push({ kind: "write", key, value });
      tx.put(bytes(key), bytes((states[at] ?? []).join(" ")));
    }
  });
}

/** What became of a commit whose answer was lost, where that can be found out. */
async function settled(tx: Transaction): Promise<Recorded["outcome"]> {
  try {
    const { committed } = await tx.outcome({ signal: AbortSignal.timeout(OUTCOME_MS_MAX) });
    return committed ? "committed" : "failed";
  } catch (error) {
    if (error instanceof TikvError) return "unknown";
    throw error;
  }
}

function parse(value: Uint8Array | null): string[] {
  return value === null ? [] : (text(value) ?? "").split(" ");
}

function now(): number {
  return performance.now();
}
