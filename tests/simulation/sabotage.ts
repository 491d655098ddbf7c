/**
 * Rules that a run breaks on purpose, to see that the checks find it. Each stands for a bug that somebody could write.
 *
 * | name               | what is wrong                                              | found by  |
 * | forgotten-lock     | nobody locks what it only reads                            | I2        |
 * | lost-update        | commits do not look at what changed since their snapshot   | I1, I3, I6 |
 * | lost-work          | a system that waits for a node is not in the work index    | E2        |
 * | lost-outbox        | now and then a directive is not written with its decision  | I6        |
 * | stuck-epoch        | a new directive does not raise the system's epoch          | I5        |
 * | unaccepted-key     | a node says that it accepted a key, and did not            | I5        |
 */
export const SABOTAGES = [
  "forgotten-lock",
  "lost-update",
  "lost-work",
  "lost-outbox",
  "stuck-epoch",
  "unaccepted-key",
] as const;
export type Sabotage = typeof SABOTAGES[number];

/** Of about so many directives one is lost. */
const LOST_EVERY = 50;

/** What is written in place of `after`; undefined: nothing at all. */
export function spoiled(
  sabotage: Sabotage | null,
  { key, before, after, revision }: {
    key: string;
    before: Uint8Array | null;
    after: Uint8Array | null;
    revision: number;
  },
): Uint8Array | null | undefined {
  if (sabotage === "lost-outbox" && revision % LOST_EVERY === 0 && key.startsWith("outbox/")) {
    return undefined;
  }
  if (sabotage === "lost-work" && key.startsWith("work/unplaced/") && after !== null) return undefined;
  if (sabotage === "stuck-epoch" && key.startsWith("system/") && before !== null && after !== null) {
    const [was, is] = [before, after].map((bytes) => JSON.parse(new TextDecoder().decode(bytes)));
    return new TextEncoder().encode(JSON.stringify({ ...is, epoch: was.epoch }));
  }
  return after;
}
