/**
 * Round trips of a client, seen on its wire: calls that are under way together make one.
 *
 * R1. No reply reaches the client before every call of its round is answered. So what a reply leads to is a round of
 *     its own and what goes side by side shares one, however fast the far side is.
 */
import type { Wire } from "../../lib/tikv/rpc.ts";
import { waitFor } from "../parts/wait.ts";

interface Round {
  readonly names: string[];
  open: number;
  readonly over: PromiseWithResolvers<void>;
}

export interface Taken {
  /** Rounds that the result waited for, such as `Tso` and `KvBatchGet x3`. */
  before: string[];
  /** Rounds in the background; one may have begun together with the result. */
  after: string[];
}

export class Trips {
  #rounds: Round[] = [];
  #current: Round | null = null;

  /** For `connect({ transport })`. */
  readonly transport = (wire: Wire): Wire => ({
    ...wire,
    call: async (address, method, request, options) => {
      const answered = this.#join(method.path);
      try {
        return await wire.call(address, method, request, options);
      } finally {
        await answered();
      }
    },
    stream: async (address, method, { onMessage, onEnd }) => {
      const open: (() => Promise<void>)[] = [];
      const duplex = await wire.stream(address, method, {
        onMessage: (reply) => void open.shift()?.().then(() => onMessage(reply)),
        onEnd: (error) => {
          for (const answered of open.splice(0)) void answered();
          onEnd(error);
        },
      });
      return {
        send: (request) => {
          open.push(this.#join(method.path));
          duplex.send(request);
        },
        close: () => duplex.close(),
      };
    },
  });

  /** What `run` took until its result was there, and what `settled` then waited for. */
  async of(run: () => Promise<unknown>, settled: () => Promise<unknown>): Promise<Taken> {
    await waitFor("no call under way", 5_000, () => this.#current === null);
    this.#rounds = [];
    await run();
    const count = this.#rounds.filter(({ open }) => open === 0).length;
    await settled();
    await waitFor("no call under way", 5_000, () => this.#current === null);
    const all = this.#rounds.map(({ names }) => described(names));
    return { before: all.slice(0, count), after: all.slice(count) };
  }

  /** Call what it returns when the answer is there; it resolves when the client may have it. */
  #join(path: string): () => Promise<void> {
    if (this.#current === null) {
      this.#current = { names: [], open: 0, over: Promise.withResolvers() };
      this.#rounds.push(this.#current);
    }
    const round = this.#current;
    round.names.push(path.slice(path.lastIndexOf("/") + 1));
    round.open++;
    return async () => {
      if (--round.open === 0) {
        this.#current = null;
        round.over.resolve();
      }
      await round.over.promise;
    };
  }
}

/** `KvGet + KvResolveLock x2` */
function described(names: readonly string[]): string {
  return [...new Set(names)].sort().map((name) => {
    const count = names.filter((each) => each === name).length;
    return count === 1 ? name : `${name} x${count}`;
  }).join(" + ");
}
