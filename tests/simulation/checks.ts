/**
 * The invariants, looked at after every commit, from what it wrote.
 *
 * I1. A system's epoch and generation never fall, nor does a node's, system's or plan's revision.
 * I2. `on-node` says of every system what its record says: one owner, or none.
 * I3. A node's load is what it owns and what is on its way to it; a new move never takes it above its capacity.
 * I4. At most one open move per system; a move's states follow their machine.
 * I5. One target per (system, epoch); a system is sent only to a node that has accepted its key.
 * I6. Outbox numbers rise by one, each with its entry. What was handed out is not withdrawn, nor the other way round.
 * I7. Audit lanes are chains without gaps.
 * I8. A system that was settled follows the node that owns it.
 */
import { keys } from "../../lib/cluster/keys.ts";
import { moveMachine } from "../../lib/cluster/machines.ts";
import type { AuditEntry, Load, Move, Node, Plan, System } from "../../lib/cluster/types.ts";
import type { OutboxEntry, OutboxHead } from "../../lib/cluster/protocol.ts";
import { GENESIS } from "../../lib/cluster/change.ts";
import type { Probe } from "../../lib/seams.ts";
import type { Written } from "./ordered_store.ts";
import type { World } from "./world.ts";

/** A broken invariant; ends the run. */
export class Broken extends Error {
  constructor(readonly invariant: string, detail: string) {
    super(`${invariant}: ${detail}`);
  }
}

/** Keys that change though nothing gets on. */
const NOISE = /^(beat|system-beat|mesh|audit|audit-head|event|token)\//;

export class Checks {
  readonly systems = new Map<number, System>();
  readonly nodes = new Map<string, Node>();
  readonly nodeStates = new Map<string, string>();
  readonly planStates = new Map<string, string>();
  readonly planNodes = new Map<string, string | null>();
  readonly openPlans = new Set<string>();
  /** Keys under `work/`, but for retirements, which are due a day later. */
  readonly work = new Set<string>();
  /** Commits that got something on. */
  progress = 0;
  commits = 0;
  readonly #world: World;
  readonly #probe: Probe;
  readonly #decoder = new TextDecoder();
  readonly #open = new Map<number, Move>();
  readonly #owned = new Map<string, number>();
  readonly #coming = new Map<string, number>();
  readonly #loads = new Map<string, number>();
  readonly #onNode = new Map<number, string>();
  readonly #sent = new Map<string, number>();
  readonly #withdrawn = new Set<string>();
  readonly #targets = new Map<string, string>();
  readonly #lanes = new Map<string, { n: number; hash: string }>();

  constructor(world: World, probe: Probe) {
    this.#world = world;
    this.#probe = probe;
  }

  onCommit(written: readonly Written[]): void {
    this.commits++;
    const touchedSystems = new Set<number>();
    const touchedNodes = new Set<string>();
    const filling = new Set<string>();
    for (const { key, before, after } of written) {
      if (!NOISE.test(key)) this.progress++;
      const [room = "", first = "", second = ""] = key.split("/");
      switch (room) {
        case "system":
          this.#system(this.#read<System>(before), this.#read<System>(after), touchedNodes);
          touchedSystems.add(Number(first));
          break;
        case "on-node":
          if (after === null) {
            if (this.#onNode.get(Number(second)) === first) this.#onNode.delete(Number(second));
          } else this.#onNode.set(Number(second), first);
          touchedSystems.add(Number(second));
          break;
        case "load":
          this.#loads.set(first, this.#read<Load>(after)?.placed ?? 0);
          touchedNodes.add(first);
          break;
        case "move":
          this.#move(this.#read<Move>(before), this.#read<Move>(after), touchedNodes, filling);
          break;
        case "node":
          this.#node(this.#read<Node>(before), this.#read<Node>(after));
          break;
        case "plan":
          this.#plan(this.#read<Plan>(after));
          break;
        case "outbox":
          if (before === null && after !== null) this.#directive(this.#read<OutboxEntry>(after), first);
          if (before !== null && after === null) this.#taken(first, Number(second), written);
          break;
        case "outbox-head":
          this.#outboxHead(key, this.#read<OutboxHead>(before), this.#read<OutboxHead>(after), written);
          break;
        case "audit":
          this.#audit(this.#read<AuditEntry>(after));
          break;
        case "work":
          if (first === "retire" || first === "session") break;
          if (after === null) this.work.delete(key);
          else this.work.add(key);
          break;
      }
    }
    for (const id of touchedSystems) this.#ownership(id);
    for (const fp of touchedNodes) this.#load(fp);
    for (const fp of filling) {
      const [load, capacity] = [this.#loads.get(fp) ?? 0, this.nodes.get(fp)?.capacity ?? 0];
      this.#probe.sometimes("a node is exactly full", load === capacity);
      demand(load <= capacity, "I3 capacity", `${this.#name(fp)} has ${load} of ${capacity}`);
    }
  }

  /** The first open move, in words. */
  describeMoves(): string {
    const [move] = this.#open.values();
    if (move === undefined) return "no move is open";
    const { system, state, to, seen, deadlineAtMs } = move;
    return `system ${system} is ${state} to ${this.#name(to)}, seen ${seen}, until ${deadlineAtMs}`;
  }

  openMoves(): number {
    return this.#open.size;
  }

  #system(before: System | null, after: System | null, touched: Set<string>): void {
    if (after === null) return;
    const { id, epoch, generation, revision, node } = after;
    demand(
      before === null ||
        epoch >= before.epoch && generation >= before.generation && revision > before.revision,
      "I1 epochs never fall",
      `system ${id}: epoch ${before?.epoch} → ${epoch}, revision ${before?.revision} → ${revision}`,
    );
    const [was, is] = [
      before?.state === "deleted" ? null : before?.node ?? null,
      after.state === "deleted" ? null : node,
    ];
    if (was !== is) {
      if (was !== null) this.#owned.set(was, (this.#owned.get(was) ?? 0) - 1);
      if (is !== null) this.#owned.set(is, (this.#owned.get(is) ?? 0) + 1);
      for (const fp of [was, is]) if (fp !== null) touched.add(fp);
      if (is !== null && before !== null && after.epoch > 0) this.#follows(after, is);
    }
    this.systems.set(id, after);
  }

  /** I8. */
  #follows({ minionId, epoch }: System, fp: string): void {
    const machine = this.#world.systems.find((system) => system.minionId === minionId);
    const node = this.#world.nodes.find((each) => each.fp === fp);
    if (machine === undefined || node === undefined) return;
    const master = machine.master();
    demand(
      master === node.master,
      "I8 it follows its owner",
      `${minionId} settles on ${node.name} at epoch ${epoch}, but follows ${master}`,
    );
    demand(
      node.accepted.get(minionId) === machine.minionKey,
      "I8 its owner has accepted its key",
      `${minionId} settles on ${node.name}, which does not know its key`,
    );
  }

  #ownership(id: number): void {
    const system = this.systems.get(id);
    const owner = system === undefined || system.state === "deleted" ? null : system.node;
    const indexed = this.#onNode.get(id) ?? null;
    demand(owner === indexed, "I2 one owner", `system ${id} is on ${owner}, the index says ${indexed}`);
  }

  #load(fp: string): void {
    const [load, owned, coming] = [this.#loads, this.#owned, this.#coming].map((map) => map.get(fp) ?? 0);
    demand(
      load === (owned ?? 0) + (coming ?? 0),
      "I3 load",
      `${this.#name(fp)} counts ${load}, owns ${owned}, awaits ${coming}`,
    );
  }

  #move(before: Move | null, after: Move | null, touched: Set<string>, filling: Set<string>): void {
    if (after === null) return;
    const { system, to, plan } = after;
    const isOpen = after.state !== "there" && after.state !== "back";
    const wasOpen = before !== null && before.state !== "there" && before.state !== "back";
    const ways = before === null ? [] : Object.values(moveMachine[before.state]);
    // `arrived` and `settled` may be one transaction.
    const isStep = before === null || before.state === after.state || ways.includes(after.state) ||
      (before.state === "switching" && after.state === "there");
    demand(isStep, "I4 a move's states", `system ${system}: ${before?.state} → ${after.state}`);
    if (isOpen) {
      const other = this.#open.get(system);
      demand(
        other === undefined || other.plan === plan,
        "I4 one open move",
        `system ${system} is moved by ${other?.plan} and ${plan}`,
      );
      this.#open.set(system, after);
    } else if (this.#open.get(system)?.plan === plan) this.#open.delete(system);
    if (isOpen !== wasOpen) {
      this.#coming.set(to, (this.#coming.get(to) ?? 0) + (isOpen ? 1 : -1));
      touched.add(to);
      if (isOpen) filling.add(to);
    }
  }

  #node(before: Node | null, after: Node | null): void {
    if (after === null) return;
    demand(
      before === null || after.revision > before.revision,
      "I1 revisions rise",
      `node ${after.name}: ${before?.revision} → ${after.revision}`,
    );
    this.nodes.set(after.fp, after);
    this.nodeStates.set(after.fp, after.state);
  }

  #plan(after: Plan | null): void {
    if (after === null) return;
    const { id, state, node } = after;
    this.planStates.set(id, state);
    this.planNodes.set(id, node);
    if (state === "done" || state === "cancelled") this.openPlans.delete(id);
    else this.openPlans.add(id);
  }

  /** I5. */
  #directive(entry: OutboxEntry | null, to: string): void {
    if (entry?.kind !== "directive.move") return;
    const { system, node } = entry.body;
    const at = `${system}@${entry.epoch}`;
    const known = this.#targets.get(at);
    demand(
      known === undefined || known === node,
      "I5 one target per epoch",
      `system ${system} is sent to ${this.#name(known ?? "")} and ${
        this.#name(node)
      } at epoch ${entry.epoch}`,
    );
    this.#targets.set(at, node);
    const machine = this.#world.systems.find(({ minionId }) =>
      minionId === this.systems.get(system)?.minionId
    );
    const target = this.#world.nodes.find(({ fp }) => fp === node);
    demand(
      machine !== undefined && target?.accepted.get(machine.minionId) === machine.minionKey,
      "I5 sent only where its key is accepted",
      `system ${system} (agent ${to.slice(0, 8)}) is sent to ${this.#name(node)}`,
    );
  }

  /** I6. Agents' reports take an entry out; whoever else does so withdraws it. */
  #taken(fp: string, seq: number, written: readonly Written[]): void {
    const audited = written.find(({ key }) => key.startsWith("audit/"));
    const who = this.#read<AuditEntry>(audited?.after ?? null)?.who;
    if (who === undefined || /^(system|node):/.test(who)) return;
    this.#probe.sometimes("a directive is withdrawn");
    this.#withdrawn.add(keys.outbox(fp, seq));
    demand(
      (this.#sent.get(fp) ?? 0) < seq,
      "I6 what was handed out is not withdrawn",
      `${keys.outbox(fp, seq)} by ${who}`,
    );
  }

  /** I6. */
  #outboxHead(
    key: string,
    before: OutboxHead | null,
    after: OutboxHead | null,
    written: readonly Written[],
  ): void {
    if (after === null) return;
    const [last, sent] = [before?.last ?? 0, before?.sent ?? 0];
    demand(
      after.last >= last && after.sent >= sent && after.sent <= after.last,
      "I6 outbox numbers rise",
      `${key}: ${last}/${sent} → ${after.last}/${after.sent}`,
    );
    const fp = key.slice(keys.outboxHead("").length);
    this.#sent.set(fp, after.sent);
    demand(
      after.sent === sent || !this.#withdrawn.has(keys.outbox(fp, after.sent)),
      "I6 what was withdrawn is not handed out",
      `${key}: ${after.sent}`,
    );
    for (let seq = last + 1; seq <= after.last; seq++) {
      const entry = written.find((each) => each.key === keys.outbox(fp, seq));
      demand(entry?.after !== undefined, "I6 a number has its entry", `${key}: ${seq} has none`);
    }
  }

  /** I7. */
  #audit(entry: AuditEntry | null): void {
    if (entry === null) return;
    const { lane, n, prev, hash } = entry;
    const head = this.#lanes.get(lane) ?? { n: 0, hash: GENESIS };
    demand(n === head.n + 1 && prev === head.hash, "I7 the audit is a chain", `${lane}: ${head.n} → ${n}`);
    this.#lanes.set(lane, { n, hash });
    this.#probe.sometimes(entry.what);
  }

  #name(fp: string): string {
    return this.nodes.get(fp)?.name ?? fp.slice(0, 8);
  }

  #read<T>(bytes: Uint8Array | null): T | null {
    return bytes === null ? null : JSON.parse(this.#decoder.decode(bytes)) as T;
  }
}

function demand(holds: boolean, invariant: string, detail: string): asserts holds {
  if (!holds) throw new Broken(invariant, detail);
}
