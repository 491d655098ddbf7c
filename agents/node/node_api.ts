/** What a node agent does to its node. `uyuni_api.ts` does it to a real server, tests and simulation to a model. */
import type { Scope } from "../../lib/seams.ts";

/** `ok: false` is final; a fault that may pass is thrown instead. */
export type Outcome = { ok: true } | { ok: false; reason: string };

/** All may be called again for the same thing: the second time finds it done. */
export interface NodeApi {
  /** Accepts a minion's key before the minion comes; refused when another key is accepted under its id. */
  acceptKey(scope: Scope, minionId: string, pem: string): Promise<Outcome>;
  /** Takes back what `acceptKey` added, unless a profile uses it by now. */
  forgetKey(scope: Scope, minionId: string): Promise<Outcome>;
  /** Deletes profiles without touching their systems, and their keys. */
  retire(scope: Scope, minionIds: readonly string[]): Promise<Outcome>;
  /** Systems in the node's database. */
  countSystems(scope: Scope): Promise<number>;
  /** Load average of five minutes. */
  load(): number;
  /** Name → version, of what runs here. */
  versions(scope: Scope): Promise<Record<string, string>>;
}
