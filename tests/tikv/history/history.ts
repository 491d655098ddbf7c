/**
 * What clients did and saw, transaction by transaction, as one process recorded it: the evidence of a checker.
 *
 * Each value is written once in a history, and a transaction reads a key before it writes it. So what was seen tells
 * who wrote it, and in which order. A register holds its last value, a list all values ever appended.
 */
export type Model = "register" | "list";

export type Step =
  /** `seen`: of a list everything in it, of a register at most one value; empty where the key is absent. */
  | { kind: "read"; key: string; seen: readonly string[] }
  /** Of a list: appends. */
  | { kind: "write"; key: string; value: string };

export interface Recorded {
  id: string;
  steps: Step[];
  /** On the one clock of the recording process. */
  invokedAtMs: number;
  /** Null: nobody heard of its end. */
  returnedAtMs: number | null;
  /** `unknown`: it may have committed, even after it returned. */
  outcome: "committed" | "failed" | "unknown";
}

export const ANOMALIES = [
  /** A value of a transaction that failed, or one that its own writer replaced before it committed. */
  "dirty read",
  /** One transaction read a key twice and saw different values, or did not see its own. */
  "non-repeatable read",
  /** Two transactions replaced the same value. */
  "lost update",
  /** An append that somebody saw is gone. */
  "lost append",
  /** A commit was acknowledged, and later readers see nothing of it. */
  "acknowledged but missing",
  /** A transaction saw one part of another, and an older state than that of the rest. */
  "read skew",
  /** Two readers see two transactions in opposite orders. */
  "long fork",
  /** Transactions that saw each other's effects, all around. */
  "circular flow",
  /** A transaction did not see what had been committed before it began. */
  "stale read",
] as const;

export interface Anomaly {
  kind: typeof ANOMALIES[number];
  text: string;
}
