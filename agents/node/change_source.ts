/** Where row changes come from: change capture on a real node, a memory feed on a twin. */
import type { Changes } from "../../lib/cluster/protocol.ts";
import type { Scope } from "../../lib/seams.ts";

export interface ChangeSource {
  /**
   * Runs until the scope ends, whatever happens to the database meanwhile.
   *
   * `emit` resolves once the bus has stored the part, and is given a scope in which to keep trying; several may be
   * under way. What was not stored before a crash is emitted again, with the same origin, LSN and `first`.
   */
  run(scope: Scope, emit: (scope: Scope, changes: Changes) => Promise<void>): Promise<void>;
  /** Bytes of log that are written and not confirmed; null where there is no slot. */
  lagBytes(): Promise<number | null>;
}
