/** Exit codes, for scripts; `docs/cli.md` and `salar --help` list exactly these. */
import { type ErrorCode, isSalarError } from "../lib/errors.ts";

export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  /** As `usage`, told apart by an output that is not empty: what every tool with a plan uses. */
  changesPending: 2,
  notFound: 3,
  notAuthorised: 4,
  unreachable: 5,
  planIncomplete: 6,
  interrupted: 130,
} as const;
export type Exit = typeof EXIT[keyof typeof EXIT];

export const EXIT_MEANINGS: readonly (readonly [Exit, string])[] = [
  [EXIT.ok, "done"],
  [EXIT.failed, "refused by the server, or failed"],
  [
    EXIT.usage,
    "wrong use: unknown command, wrong or ambiguous argument, wrong configuration; or, of `state apply --check`, changes are pending",
  ],
  [EXIT.notFound, "there is no such zone, node, system, plan or token"],
  [EXIT.notAuthorised, "no token, one that does not hold, or one whose role is not enough"],
  [EXIT.unreachable, "the server did not answer, also after some tries"],
  [EXIT.planIncomplete, "the plan has ended, but not every system arrived: back, stuck or cancelled"],
  [EXIT.interrupted, "ended by Ctrl-C; a plan goes on without you"],
];

const BY_CODE: Partial<Record<ErrorCode, Exit>> = {
  "bad-input": EXIT.usage,
  "bad-config": EXIT.usage,
  "not-found": EXIT.notFound,
  "unauthenticated": EXIT.notAuthorised,
  "forbidden": EXIT.notAuthorised,
  "unavailable": EXIT.unreachable,
  "deadline": EXIT.unreachable,
  "outcome-unknown": EXIT.unreachable,
  "rate-limited": EXIT.unreachable,
  "closed": EXIT.unreachable,
  "cancelled": EXIT.interrupted,
};

export function exitOf(error: unknown): Exit {
  return isSalarError(error) ? BY_CODE[error.code] ?? EXIT.failed : EXIT.failed;
}
