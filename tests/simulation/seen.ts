/**
 * What a commit says, read once, and what the store says after it: all that rules, people and the end look at.
 *
 * Nothing is demanded here; that is for `rules/`.
 */
import type { OutboxEntry, OutboxHead } from "../../lib/cluster/protocol.ts";
import type { AuditEntry, Load, Move, Node, Plan, System } from "../../lib/cluster/types.ts";
import type { Written } from "./ordered_store.ts";

/** What lies under the first part of a key. */
interface Rooms {
  "audit": AuditEntry;
  "load": Load;
  "move": Move;
  "node": Node;
  "on-node": true;
  "outbox": OutboxEntry;
  "outbox-head": OutboxHead;
  "plan": Plan;
  "system": System;
  "zone": true;
}
type Room = keyof Rooms;

/** One record that a commit wrote; `parts` are those of its key after the room. */
export type Change = {
  [R in Room]: {
    room: R;
    key: string;
    parts: readonly string[];
    before: Rooms[R] | null;
    after: Rooms[R] | null;
  };
}[Room];

const RECORDS: ReadonlySet<string> = new Set<Room>([
  "audit",
  "load",
  "move",
  "node",
  "outbox",
  "outbox-head",
  "plan",
  "system",
]);
/** Only their being there counts. */
const MARKS: ReadonlySet<string> = new Set<Room>(["on-node", "zone"]);
/** Rooms that change though nothing gets on. */
const NOISE: ReadonlySet<string> = new Set([
  "beat",
  "system-beat",
  "mesh",
  "audit",
  "audit-head",
  "event",
  "token",
]);
/** Work that is due long after a run. */
const LATER: ReadonlySet<string> = new Set(["retire", "session"]);

export class Seen {
  readonly nodes = new Map<string, Node>();
  readonly plans = new Map<string, Plan>();
  readonly systems = new Map<number, System>();
  readonly zones = new Set<string>();
  readonly openMoves = new Map<number, Move>();
  readonly openPlans = new Set<string>();
  /** Keys under `work/`, but for what is due a day later. */
  readonly work = new Set<string>();
  /** Writes that got something on. */
  progress = 0;
  readonly #decoder = new TextDecoder();
  /** By key, what was last written there: no record is read twice. */
  readonly #last = new Map<string, unknown>();

  /** Takes a commit in, and gives what the rules look at of it. */
  take(written: readonly Written[]): Change[] {
    const changes: Change[] = [];
    for (const { key, before, after } of written) {
      const [room = "", ...parts] = key.split("/");
      if (!NOISE.has(room)) this.progress++;
      if (room === "work" && !LATER.has(parts[0] ?? "")) {
        if (after === null) this.work.delete(key);
        else this.work.add(key);
      }
      const change = this.#change(room, parts, { key, before, after });
      if (change === null) continue;
      this.#note(change);
      changes.push(change);
    }
    return changes;
  }

  nameOf(fp: string | null): string {
    return fp === null ? "nobody" : this.nodes.get(fp)?.name ?? fp.slice(0, 8);
  }

  #change(room: string, parts: string[], { key, before, after }: Written): Change | null {
    if (MARKS.has(room)) {
      return { room, key, parts, before: before && true, after: after && true } as Change;
    }
    if (!RECORDS.has(room)) return null;
    const was = before === null ? null : this.#last.get(key);
    const is: unknown = after === null ? null : JSON.parse(this.#decoder.decode(after));
    if (is === null) this.#last.delete(key);
    else if (room !== "audit") this.#last.set(key, is); // an entry of the audit is never written again
    return { room, key, parts, before: was, after: is } as Change;
  }

  #note({ room, parts, after }: Change): void {
    const [first = ""] = parts;
    switch (room) {
      case "zone":
        if (after === null) this.zones.delete(first);
        else this.zones.add(first);
        break;
      case "node":
        if (after !== null) this.nodes.set(first, after);
        break;
      case "system":
        if (after !== null) this.systems.set(after.id, after);
        break;
      case "plan":
        if (after === null) break;
        this.plans.set(after.id, after);
        if (after.state === "done" || after.state === "cancelled") this.openPlans.delete(after.id);
        else this.openPlans.add(after.id);
        break;
      case "move":
        if (after === null) break;
        if (isOpen(after)) this.openMoves.set(after.system, after);
        else if (this.openMoves.get(after.system)?.plan === after.plan) this.openMoves.delete(after.system);
        break;
    }
  }
}

export function isOpen(move: Move | null): boolean {
  return move !== null && move.state !== "there" && move.state !== "back";
}
