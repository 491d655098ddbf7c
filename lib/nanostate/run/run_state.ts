/** A state on real hosts, as `run.ts` says. */
import { startAgent } from "../agent/session.ts";
import { runHosts } from "./hosts.ts";
import type { RunState } from "./run.ts";

export const runState: RunState = (options) => runHosts(startAgent, options);
