/**
 * Following something of the cluster to its end: a plan, a run.
 *
 * F1. Ctrl-C ends the watching and nothing else; it says how to go on.
 * F2. A server that goes away for a while (ADMIN_SILENT_MS_MAX) does not end the watching.
 */
import { isSalarError, SalarError } from "../lib/errors.ts";
import { ADMIN_SILENT_MS_MAX, ADMIN_WATCH_MS, ADMIN_WATCH_MS_MAX } from "../lib/limits.ts";
import type { Parts } from "./api.ts";
import { EXIT, exitOf } from "./exit.ts";
import type { Json } from "./json.ts";
import { type Progress, progressOn } from "./progress.ts";
import type { RouteName } from "./routes.ts";
import { say, type Session } from "./session.ts";

export interface Followed {
  /** `plan "0mb2x1k9f-3qhq5tza"` */
  what: string;
  route: RouteName;
  parts: Parts;
  /** One line for people. */
  text(item: Json): string;
  hasEnded(item: Json): boolean;
  howToGoOn: string;
}

/** What it is at its end. @throws {SalarError} `cancelled`, the server's refusal, `deadline` after a day */
export async function follow(session: Session, followed: Followed): Promise<Json> {
  const progress = progressOn(session.world);
  try {
    return await endOf(session, followed, progress).finally(progress.end);
  } catch (error) {
    if (isSalarError(error, "cancelled") || exitOf(error) === EXIT.unreachable) {
      say(session.world, followed.howToGoOn);
    }
    throw error;
  }
}

async function endOf(
  { api, world: { scope } }: Session,
  { what, route, parts, text, hasEnded }: Followed,
  progress: Progress,
): Promise<Json> {
  const startMs = scope.monoMs();
  let heardMs = startMs;
  while (scope.monoMs() - startMs < ADMIN_WATCH_MS_MAX) {
    try {
      const item = await api.ask(route, parts);
      heardMs = scope.monoMs();
      progress.show(text(item));
      if (hasEnded(item)) return item;
    } catch (error) {
      const isGone = exitOf(error) === EXIT.unreachable; // F2
      if (!isGone || scope.monoMs() - heardMs > ADMIN_SILENT_MS_MAX) throw error;
      progress.show(`${what}  the server does not answer; trying again`);
    }
    await scope.sleep(ADMIN_WATCH_MS);
  }
  throw new SalarError("deadline", `Cannot watch ${what} any longer: it has not ended within a day`);
}
