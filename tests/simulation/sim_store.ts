/** One process's way to the store: round trips, unavailability, and commits whose answer is lost, applied or not. */
import { SalarError } from "../../lib/errors.ts";
import type { Faults } from "./faults.ts";
import { type Life, never } from "./life.ts";
import { type Link, openOrderedStore, type OrderedData, type OrderedStore } from "./ordered_store.ts";
import { between } from "./random.ts";

/** How long a store that does not answer is waited for. */
const SILENT_MS = 1_500;

export interface StoreWay {
  data: OrderedData;
  faults: Faults;
  /** Of one way there or back. */
  latencyMsMax: number;
}

export function simStore(life: Life, { data, faults, latencyMsMax }: StoreWay): OrderedStore {
  const { kernel } = life;
  const random = life.random.fork("store");
  const isLost = faults.site("lost-commit-answer", `store.${life.name}`);
  const isGone = faults.site("store-unavailable", `store.${life.name}`);
  const legMs = () => 1 + random.below(latencyMsMax);
  const refuse = (reject: (error: unknown) => void) =>
    kernel.after(
      SILENT_MS,
      () =>
        life.deliver(() => reject(new SalarError("unavailable", "Cannot reach store: it does not answer"))),
    );

  const link: Link = {
    reach() {
      if (life.isDead()) return never();
      return new Promise((resolve, reject) => {
        if (life.isCut("store") || isGone()) refuse(reject);
        else kernel.after(legMs(), () => life.deliver(resolve));
      });
    },
    commit(_scope, apply) {
      if (life.isDead()) return never();
      return new Promise((resolve, reject) => {
        if (life.isCut("store")) return void refuse(reject);
        if (isLost()) {
          // It may have been applied, now or later than anybody expects.
          if (random.below(2) === 1) kernel.after(between(random, 1, 10 * latencyMsMax), () => void apply());
          kernel.after(
            SILENT_MS,
            () =>
              life.deliver(() =>
                reject(
                  new SalarError("outcome-unknown", "Cannot tell whether the commit was applied: no answer"),
                )
              ),
          );
          return;
        }
        kernel.after(legMs(), () => {
          const outcome = apply(); // the process may be dead by now: its request was on its way
          kernel.after(legMs(), () => life.deliver(() => resolve(outcome)));
        });
      });
    },
  };
  const store = openOrderedStore(data, link);
  life.onKill(() => store.abandon());
  return store;
}
