/**
 * Core messages gathered into batches, so that ten thousand heartbeats become a few store transactions.
 *
 * B1. A batch runs when it is full or `waitMs` after its first input; one at a time, the next gathers meanwhile.
 * B2. What waits is bounded: BATCHES_WAITING_MAX full batches, then the bus holds back (and drops its oldest).
 * B3. An input that is refused is counted and left out; it never spoils the batch.
 *     Inputs are opened when their batch runs, so that its senders are found together; other work gets its turn between.
 * B4. A drain runs what was gathered.
 */
import type { Message, Subscription } from "../bus/bus.ts";
import { BATCH_OPEN_SLICE, BATCHES_WAITING_MAX } from "../limits.ts";
import type { Context } from "./context.ts";
import { groupOf } from "./function.ts";
import { type BatchHandler, type Delivery, done } from "./handler.ts";
import { type Order, perform, type Workplace } from "./work.ts";

interface Item {
  input: unknown;
  delivery: Delivery;
}

/** How the messages of a batch become inputs. */
export interface Opener {
  /** Finds all the senders at once. */
  meet(context: Context, messages: readonly Message[]): Promise<void>;
  /** @throws what is wrong with the message. */
  open(context: Context, message: Message): Promise<Item>;
}

export async function startBatch(
  place: Workplace,
  owner: string,
  handler: BatchHandler,
  opener: Opener,
): Promise<Subscription> {
  const { sizeMax, waitMs } = handler.batch;
  const gathering = new Gathering(sizeMax);
  const order = (kind: Order["kind"]): Order => ({ kind, owner, name: handler.name });
  const { seams, scope } = place;

  const subscription = await seams.bus.subscribe(
    scope,
    handler.subject,
    { group: groupOf(owner, handler) },
    async (message) => {
      await gathering.room(); // B2
      gathering.add(message);
    },
  );

  /** B3. */
  const openAll = async (context: Context, messages: readonly Message[]): Promise<Item[]> => {
    await opener.meet(context, messages);
    const items: Item[] = [];
    for (const [at, message] of messages.entries()) {
      if (at > 0 && at % BATCH_OPEN_SLICE === 0) await context.scope.sleep(0);
      try {
        items.push(await opener.open(context, message));
      } catch (error) {
        await perform(place, order("message"), () => Promise.reject(error));
      }
    }
    return items;
  };

  const end = new AbortController();
  const runs = (async () => {
    while (await gathering.any()) {
      if (!gathering.full() && !end.signal.aborted) {
        const wait = scope.child(`${owner}/${handler.name}/gather`, end.signal);
        await Promise.race([wait.sleep(waitMs).catch(() => {}), gathering.filled()]); // an end only cuts the wait
      }
      const messages = gathering.take();
      await perform(place, { ...order("batch"), fields: { size: messages.length } }, async (context) => {
        const items = await openAll(context, messages);
        return items.length === 0 ? done() : await handler.run(context, items);
      });
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

/** The messages that wait, and who waits for them. */
class Gathering {
  readonly #sizeMax: number;
  #messages: Message[] = [];
  #closed = false;
  #waiters: (() => void)[] = [];

  constructor(sizeMax: number) {
    this.#sizeMax = sizeMax;
  }

  full(): boolean {
    return this.#messages.length >= this.#sizeMax;
  }

  add(message: Message): void {
    this.#messages.push(message);
    // Only at the edges somebody can be waiting for: a wake per message would cost more than the message.
    if (this.#messages.length === 1 || this.#messages.length === this.#sizeMax) this.#wake();
  }

  take(): Message[] {
    const taken = this.#messages.splice(0, this.#sizeMax);
    this.#wake();
    return taken;
  }

  close(): void {
    this.#closed = true;
    this.#wake();
  }

  /** True once there is something; false when closed and empty. */
  async any(): Promise<boolean> {
    while (this.#messages.length === 0 && !this.#closed) await this.#change();
    return this.#messages.length > 0;
  }

  async filled(): Promise<void> {
    while (!this.full() && !this.#closed) await this.#change();
  }

  async room(): Promise<void> {
    while (this.#messages.length >= BATCHES_WAITING_MAX * this.#sizeMax && !this.#closed) {
      await this.#change();
    }
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
