/**
 * Core messages gathered into batches, so that ten thousand heartbeats become a few store transactions.
 *
 * B1. A batch runs when it is full or `waitMs` after its first input; one at a time, the next gathers meanwhile.
 * B2. What waits is bounded: BATCHES_WAITING_MAX full batches, then the bus holds back (and drops its oldest).
 * B3. An input that is refused is counted and left out; it never spoils the batch.
 * B4. A drain runs what was gathered.
 */
import type { Message, Subscription } from "../bus/bus.ts";
import { BATCHES_WAITING_MAX } from "../limits.ts";
import type { Context } from "./context.ts";
import { groupOf } from "./function.ts";
import type { BatchHandler, Delivery } from "./handler.ts";
import { type Order, perform, type Workplace } from "./work.ts";

interface Item {
  input: unknown;
  delivery: Delivery;
}

export async function startBatch(
  place: Workplace,
  owner: string,
  handler: BatchHandler,
  open: (context: Context, message: Message) => Promise<Item>,
): Promise<Subscription> {
  const { sizeMax, waitMs } = handler.batch;
  const gathering = new Gathering(sizeMax);
  const order = (kind: Order["kind"]): Order => ({ kind, owner, name: handler.name });
  const { seams, scope, log, metrics } = place;
  // One context for all inputs: making one for each would cost more than checking it.
  const opening: Context = { ...seams, scope, log, meter: metrics.meter(owner) };

  const subscription = await seams.bus.subscribe(
    scope,
    handler.subject,
    { group: groupOf(owner, handler) },
    async (message) => {
      await gathering.room(); // B2
      try {
        gathering.add(await open(opening, message));
      } catch (error) {
        await perform(place, order("message"), () => Promise.reject(error)); // B3
      }
    },
  );

  const end = new AbortController();
  const runs = (async () => {
    while (await gathering.any()) {
      if (!gathering.full() && !end.signal.aborted) {
        const wait = scope.child(`${owner}/${handler.name}/gather`, end.signal);
        await Promise.race([wait.sleep(waitMs).catch(() => {}), gathering.filled()]); // an end only cuts the wait
      }
      const items = gathering.take();
      const batch: Order = { ...order("batch"), fields: { size: items.length } };
      await perform(place, batch, (context) => handler.run(context, items));
    }
  })();

  return {
    async drain() {
      await subscription.drain();
      gathering.close();
      end.abort();
      await runs; // B4
    },
  };
}

/** The inputs that wait, and who waits for them. */
class Gathering {
  readonly #sizeMax: number;
  #items: Item[] = [];
  #closed = false;
  #waiters: (() => void)[] = [];

  constructor(sizeMax: number) {
    this.#sizeMax = sizeMax;
  }

  full(): boolean {
    return this.#items.length >= this.#sizeMax;
  }

  add(item: Item): void {
    this.#items.push(item);
    // Only at the edges somebody can be waiting for: a wake per message would cost more than the message.
    if (this.#items.length === 1 || this.#items.length === this.#sizeMax) this.#wake();
  }

  take(): Item[] {
    const taken = this.#items.splice(0, this.#sizeMax);
    this.#wake();
    return taken;
  }

  close(): void {
    this.#closed = true;
    this.#wake();
  }

  /** True once there is something; false when closed and empty. */
  async any(): Promise<boolean> {
    while (this.#items.length === 0 && !this.#closed) await this.#change();
    return this.#items.length > 0;
  }

  async filled(): Promise<void> {
    while (!this.full() && !this.#closed) await this.#change();
  }

  async room(): Promise<void> {
    while (this.#items.length >= BATCHES_WAITING_MAX * this.#sizeMax && !this.#closed) await this.#change();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }
}
