/**
 * The rules that hold after every commit, looked at from what it wrote.
 *
 * I1 `rules/rising.ts` · I2-I4 `rules/owning.ts` · I5, I6, I8 `rules/sending.ts` · I7 `rules/auditing.ts`
 * Each is shown to be able to fail by `checks_test.ts`.
 */
import type { Probe } from "../../lib/seams.ts";
import type { Written } from "./ordered_store.ts";
import { chained } from "./rules/auditing.ts";
import { loaded, oneMove, oneOwner, zoned } from "./rules/owning.ts";
import { rising } from "./rules/rising.ts";
import type { Rule } from "./rules/rule.ts";
import { following, handedOrWithdrawn, numbered, sentOnce } from "./rules/sending.ts";
import { Seen } from "./seen.ts";
import type { World } from "./world.ts";

export class Checks {
  readonly seen = new Seen();
  readonly #rules: readonly Rule[];

  constructor(world: World, probe: Probe) {
    const { seen } = this;
    this.#rules = [
      rising(),
      oneOwner(seen),
      zoned(seen),
      loaded(seen, probe),
      oneMove(),
      sentOnce(seen, world),
      numbered(),
      handedOrWithdrawn(probe),
      following(seen, world),
      chained(probe),
    ];
  }

  /** @throws {Broken} for the first rule that does not hold. */
  onCommit(written: readonly Written[]): void {
    const changes = this.seen.take(written);
    if (changes.length > 0) { for (const rule of this.#rules) rule.look(changes); }
  }
}
