/** What a node agent runs nanostates with. `real_state_runner.ts` is the real one, tests have their own. */
import type { DirectiveStateRun, RunEnd } from "../../lib/cluster/protocol.ts";
import type { RunProgress } from "../../lib/cluster/types.ts";
import type { Scope } from "../../lib/seams.ts";

export type RunOrder = Pick<DirectiveStateRun, "nanostate" | "check" | "host" | "params">;

export interface StateRunner {
  /** Why this cannot be run here, for people: no such state, no key for a host. Null when it can. */
  refusal(order: RunOrder): Promise<string | null>;
  /**
   * Runs it to its end. When the scope ends, it leaves no process behind and says `cancelled`.
   * @param joinToken of a staging: the state's secret of that name. @param onProgress is told of every step
   */
  run(
    scope: Scope,
    order: RunOrder,
    options: { joinToken: string | null; onProgress: (progress: RunProgress) => void },
  ): Promise<RunEnd>;
}
