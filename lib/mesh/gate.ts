/**
 * Whether this replica can work: its store and bus are there. Asked every HEALTH_MS, told to whoever must pause.
 *
 * G1. Closed at the first failed check, open again at the first good one; nobody has to restart anything.
 */
import type { Bus } from "../bus/bus.ts";
import { messageOf } from "../errors.ts";
import { HEALTH_MS, HEALTH_WAIT_MS } from "../limits.ts";
import type { Log } from "../log.ts";
import type { Scope } from "../seams.ts";
import type { Store } from "../store/store.ts";

export interface Gate {
  isOpen(): boolean;
  /** Why it is closed, one sentence per missing part; empty when open. */
  reasons(): readonly string[];
}

export interface GateParts {
  store: Store;
  bus: Bus;
  log: Log;
}

/** @param onCheck Told after every check whether the store is there; the next check waits for it, and repeats it. */
export function watchGate(
  scope: Scope,
  { store, bus, log }: GateParts,
  onCheck: (storeThere: boolean) => Promise<void>,
): Gate {
  let storeFault: string | null = null;
  const reasons = () => [
    ...(storeFault === null ? [] : [`store: ${storeFault}`]),
    ...(bus.state() === "connected" ? [] : [`bus: ${bus.state()}`]),
  ];

  let told = "";
  scope.every(HEALTH_MS, "health", async () => {
    storeFault = await faultOf(scope, store);
    const state = reasons().join("; ");
    if (state !== told) {
      if (state === "") log.info("working again");
      else log.warn("not working", { reasons: state });
      told = state;
    }
    await onCheck(storeFault === null);
  });
  return { isOpen: () => storeFault === null && bus.state() === "connected", reasons };
}

async function faultOf(scope: Scope, store: Store): Promise<string | null> {
  try {
    await scope.timeout(HEALTH_WAIT_MS, (scope) => store.check(scope));
    return null;
  } catch (error) {
    if (scope.signal.aborted) throw error;
    return messageOf(error);
  }
}
