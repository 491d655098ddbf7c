/** What a rule is: something that looks at every commit and demands. */
import type { Change } from "../seen.ts";

export interface Rule {
  /** @throws {Broken} */
  look(changes: readonly Change[]): void;
}

/** A broken rule; ends the run. */
export class Broken extends Error {
  constructor(readonly invariant: string, detail: string) {
    super(`${invariant}: ${detail}`);
  }
}

export function demand(holds: boolean, invariant: string, detail: string): asserts holds {
  if (!holds) throw new Broken(invariant, detail);
}
