/** The mesh's own keys in the store, beside those of `lib/cluster/keys.ts`; all begin with `mesh/`. */

export const meshKeys = {
  /** Which replica runs a tick. */
  lease: (owner: string, tick: string) => `mesh/lease/${owner}.${tick}`,
  /** What an `Idempotency-Key` stands for; `hash` is of principal and key. */
  answer: (hash: string) => `mesh/answer/${hash}`,
  /** Index by time, for the sweep: `<epoch milliseconds, 15 digits>/<hash>`. Empty values. */
  answerAt: (atMs: number, hash: string) => `mesh/answer-at/${String(atMs).padStart(15, "0")}/${hash}`,
  answersAt: "mesh/answer-at/",
} as const;
