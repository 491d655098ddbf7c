/**
 * Virtual time: a queue of events, each run to the end of all microtasks that it sets going.
 *
 * K1. Events go in order of time, those of one instant in order of their making. Nothing else decides.
 * K2. The event loop never turns: what waits for a real timer, file or socket stops, and the liveness check finds it.
 * K3. `hash` is of all that happened; equal hashes mean equal runs.
 * Source: the simulation brief, section 2; FoundationDB's and TigerBeetle's simulators.
 */
import { assert } from "../../lib/errors.ts";

interface Event {
  atMs: number;
  n: number;
  /** Null once it was taken back. */
  fire: (() => void) | null;
}

/** Runs every microtask there is. Works only from outside of one: call it from a plain callback. */
export type Drain = () => void;

/** Deno's own call; there is no public one that is not a turn of the event loop. Throws where Deno has lost it. */
export function microtaskDrain(): Drain {
  const internal: unknown = Reflect.get(Deno, Reflect.get(Deno, "internal") as symbol);
  const core = Reflect.get(internal as object, "core") as { runMicrotasks(): void };
  assert(typeof core.runMicrotasks === "function", "this Deno can run microtasks on demand");
  return () => core.runMicrotasks();
}

export class Kernel {
  /** Milliseconds since the start of the run. */
  nowMs = 0;
  /** K3. */
  hash = 0;
  events = 0;
  readonly #drain: Drain;
  readonly #heap: Event[] = [];
  #made = 0;

  constructor(drain: Drain) {
    let works = false;
    Promise.resolve().then(() => works = true);
    drain();
    assert(works, "a simulation starts outside of microtasks, where they can be run on demand");
    this.#drain = drain;
  }

  /** Calls `fire` once, `ms` from now; the answer takes it back. */
  after(ms: number, fire: () => void): () => void {
    const event: Event = { atMs: this.nowMs + Math.max(0, ms), n: this.#made++, fire };
    this.#push(event);
    return () => void (event.fire = null);
  }

  /** Mixes a fact into the hash. */
  note(fact: number): void {
    this.hash = Math.imul(this.hash ^ fact, 0x01000193) + 0x9e3779b1 | 0;
  }

  /** Runs the next event; false when there is none. */
  step(): boolean {
    for (let event = this.#pop(); event !== undefined; event = this.#pop()) {
      if (event.fire === null) continue;
      this.nowMs = event.atMs;
      this.events++;
      this.note(event.n);
      this.note(Math.round(event.atMs * 16));
      event.fire();
      this.#drain();
      return true;
    }
    return false;
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const up = (at - 1) >> 1;
      const parent = heap[up] as Event;
      if (!before(event, parent)) break;
      heap[at] = parent;
      at = up;
    }
    heap[at] = event;
  }

  #pop(): Event | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || first === last) return first;
    let at = 0;
    for (;;) {
      let down = 2 * at + 1;
      if (down >= heap.length) break;
      if (down + 1 < heap.length && before(heap[down + 1] as Event, heap[down] as Event)) down++;
      const child = heap[down] as Event;
      if (!before(child, last)) break;
      heap[at] = child;
      at = down;
    }
    heap[at] = last;
    return first;
  }
}

function before(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.n < b.n);
}
