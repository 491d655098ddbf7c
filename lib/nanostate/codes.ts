/**
 * Exit codes of commands, steps, groups and states in a result, and how they roll up: the worst of the children.
 *
 * Source: the prototype's codes; there a group's was -1 when all was fine, and a failed command did not reach it.
 */

/** From best to worst. */
export const RESULT_CODES = { ok: 0, notRun: 2, failed: 1, unreachable: 255 } as const;
export type ResultCode = typeof RESULT_CODES[keyof typeof RESULT_CODES];

const ORDER: readonly ResultCode[] = Object.values(RESULT_CODES);

/** Of nothing: fine. */
export function worstCode(codes: readonly ResultCode[]): ResultCode {
  return codes.reduce<ResultCode>(
    (worst, code) => ORDER.indexOf(code) > ORDER.indexOf(worst) ? code : worst,
    0,
  );
}
