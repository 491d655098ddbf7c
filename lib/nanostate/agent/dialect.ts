/** What the two agents have in common: a session has one of them, once it knows which. */
import type { AgentInfo, AgentRun, Hash, WireEvent } from "./protocol.ts";

export type Blobs = (hash: Hash) => Promise<Uint8Array>;

export interface Dialect {
  info: AgentInfo;
  /** Follows a run to its end. @throws {HostError} @throws {EndOfStream} */
  run(run: AgentRun, blobs: Blobs): AsyncGenerator<WireEvent, void>;
}
