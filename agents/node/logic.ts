/**
 * The node agent: beats, feeds row changes to the bus, follows directives, runs nanostates. Over seams only.
 *
 * In: an enrolled state on disk, and the parts that touch the node. Out: nothing, it runs until its scope ends.
 * N1. Its works go on without one another: a database that is down stops no heartbeat and no key.
 * N2. With the bus or the director gone, nothing is done and nothing is forgotten; it comes back by itself.
 * Source: the supervisor's shape from the tunnel of Restate's TypeScript SDK.
 */
import { backoffMs } from "../../lib/backoff.ts";
import { subjects } from "../../lib/bus/subjects.ts";
import { SalarError } from "../../lib/errors.ts";
import { HEARTBEAT_MS, NODE_BACKOFF, NODE_FETCH_MS } from "../../lib/limits.ts";
import type { Scope } from "../../lib/seams.ts";
import { bell } from "./bell.ts";
import type { ChangeSource } from "./change_source.ts";
import { directiveLoop, type DirectiveOptions } from "./directives.ts";
import { changeFeed } from "./feed.ts";
import { heart } from "./heart.ts";
import { readState } from "./state.ts";
import type { StateRunner } from "./state_runner.ts";
import { stateRuns } from "./state_runs.ts";

export interface NodeAgentDeps extends Omit<DirectiveOptions, "runs"> {
  /** Null where nanostates are not run. */
  runner: StateRunner | null;
  /** Null without change capture. */
  source: ChangeSource | null;
}

/**
 * Runs until the scope ends, then rejects with `cancelled`.
 * @throws {SalarError} `bad-config` when the node is not enrolled or the identity is another; `bad-record`.
 */
export async function runNodeAgent(scope: Scope, deps: NodeAgentDeps): Promise<void> {
  const { disk, folder, bus, trust, source, runner, log } = deps;
  const state = await readState(disk, folder);
  if (state === null) throw new SalarError("bad-config", "Cannot run: this node is not enrolled");
  if (state.fp !== trust.fp) {
    const message =
      `Cannot run: the state in ${folder} is that of identity ${state.fp}, the key is ${trust.fp}`;
    throw new SalarError("bad-config", message);
  }
  const options = { ...deps, cluster: state };

  scope.every(HEARTBEAT_MS, "heartbeat", heart(scope, options));
  if (source !== null) {
    scope.spawn("change capture", () => source.run(scope, changeFeed(options)));
  }

  const hints = bell();
  const runs = runner === null ? null : await stateRuns(scope, { ...options, runner });
  const directives = directiveLoop(state, { ...deps, runs });
  let listening = false;
  for (let failures = 0;;) {
    try {
      if (!listening) {
        await bus.subscribe(scope, subjects.hint(trust.fp), {}, () => Promise.resolve(hints.ring()));
        listening = true;
      }
      const more = await directives.round(scope);
      failures = 0;
      if (!more) await hints.wait(scope, NODE_FETCH_MS);
    } catch (error) {
      if (scope.signal.aborted) throw error;
      log.warn("directives have to wait", { error });
      await scope.sleep(backoffMs(scope.random, ++failures, NODE_BACKOFF));
    }
  }
}
