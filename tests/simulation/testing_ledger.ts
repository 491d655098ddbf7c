/** A small cluster in records, and commits to it as the store would make them: for the tests of rules and of rest. */
import { keys } from "../../lib/cluster/keys.ts";
import type { Probe } from "../../lib/seams.ts";
import { Faults } from "./faults.ts";
import { Kernel, microtaskDrain } from "./kernel.ts";
import type { Written } from "./ordered_store.ts";
import { seededRandom } from "./random.ts";
import { bytesOf, LAYOUT, NodeMachine, SystemMachine, World } from "./world.ts";

/** Records by key; null deletes. */
export type Puts = Record<string, unknown>;

export const SYSTEM = 7;
export const silentProbe: Probe = { always() {}, sometimes() {}, buggify: () => false };

export class Ledger {
  readonly world: World;
  /** Has the system, and room for one more. */
  readonly here = new NodeMachine("here", "berlin", 2);
  /** Has nothing, and has accepted no key. */
  readonly there = new NodeMachine("there", "berlin", 2);
  readonly machine = new SystemMachine("client", "berlin", true);
  readonly #onCommit: (written: Written[]) => void;
  readonly #values = new Map<string, unknown>();

  /** Must be made outside of microtasks: at the start of a test. */
  constructor(onCommit: (ledger: Ledger) => (written: Written[]) => void) {
    const kernel = new Kernel(microtaskDrain());
    const faults = new Faults({ seed: 1, only: new Set() });
    this.world = new World({ kernel, random: seededRandom(1, "ledger"), faults, sabotage: null });
    this.world.nodes.push(this.here, this.there);
    this.world.add(this.machine);
    this.world.onboard(this.machine, this.here);
    this.#onCommit = onCommit(this);
    this.commit({
      "zone/berlin": {},
      ...this.node(this.here),
      ...this.node(this.there),
      ...this.system({}),
      [keys.onNode(this.here.fp, SYSTEM)]: true,
      [keys.load(this.here.fp)]: { placed: 1 },
    });
  }

  commit(puts: Puts): void {
    const written = Object.entries(puts).map(([key, after]) => {
      const before = this.#values.get(key) ?? null;
      this.#values.set(key, after);
      return { key, before: encoded(before), after: encoded(after) };
    });
    this.#onCommit(written);
  }

  node({ fp, name, capacity }: NodeMachine, more: object = {}): Puts {
    return { [keys.node(fp)]: { fp, name, capacity, state: "accepted", revision: 1, ...more } };
  }

  system(more: object): Puts {
    const { minionId } = this.machine;
    const known = { id: SYSTEM, fp: "f", minionId, zone: "berlin", state: "bound", node: this.here.fp };
    return { [keys.system(SYSTEM)]: { ...known, epoch: 1, generation: 1, revision: 1, ...more } };
  }

  move(plan: string, state: string): Puts {
    return {
      [keys.move(plan, SYSTEM)]: { plan, system: SYSTEM, from: this.here.fp, to: this.there.fp, state },
    };
  }

  /** Directive `seq` to the agent `f`, which sends the system to `node`. */
  directive(seq: number, { node, epoch }: { node: NodeMachine; epoch: number }): Puts {
    const body = { system: SYSTEM, node: node.fp };
    return { [keys.outbox("f", seq)]: { seq, epoch, kind: "directive.move", body }, ...this.head(seq, 0) };
  }

  head(last: number, sent: number): Puts {
    return { [keys.outboxHead("f")]: { last, sent } };
  }

  audit(n: number, prev: string, who = "function:director"): Puts {
    return { [keys.audit("lane", n)]: { lane: "lane", n, prev, hash: `hash ${n}`, what: "test", who } };
  }

  /** The machine's files name that node's master, whose key store knows it. */
  follow(node: NodeMachine): void {
    this.machine.files.set(LAYOUT.dropIn, bytesOf(`master: "${node.master}"\n`));
  }

  accept(node: NodeMachine): void {
    node.accepted.set(this.machine.minionId, this.machine.minionKey);
  }
}

function encoded(value: unknown): Uint8Array | null {
  return value === null ? null : bytesOf(JSON.stringify(value));
}
