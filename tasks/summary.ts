/**
 * Reads what `deno test` printed: its closing line, and what it says of failures.
 *
 * Its JUnit report is no substitute: it counts each step as a test and leaves out modules that failed to load.
 */

export interface Counts {
  passed: number;
  failed: number;
}

/**
 * Counts of a finished run, or null where it printed no closing line (it crashed or was killed).
 * An ignored test counts as failed: nothing is skipped here. Output: as printed, colours and all.
 */
export function readSummary(output: string): Counts | null {
  const last = [...plain(output).matchAll(/^(?:ok|FAILED) \| (\d+) passed.*$/gm)].at(-1);
  if (!last) return null;
  const count = (word: string) => Number(new RegExp(`\\| (\\d+) ${word}`).exec(last[0])?.[1] ?? 0);
  return { passed: Number(last[1]), failed: count("failed") + count("ignored") };
}

/**
 * What a group of tests amounts to, with a reason where that is not plain from its own output: a run that
 * crashed, was killed or found no test is one failure.
 */
export function judge(summary: Counts | null, exitCode: number): Counts & { reason?: string } {
  if (summary === null) return { passed: 0, failed: 1, reason: `ended with code ${exitCode} and no summary` };
  if (summary.passed + summary.failed === 0) return { passed: 0, failed: 1, reason: "no test found" };
  if (exitCode !== 0 && summary.failed === 0) {
    return { ...summary, failed: 1, reason: `ended with code ${exitCode}, though every test passed` };
  }
  return summary;
}

const QUOTED_LINES_MAX = 80;

/**
 * What a failed run said of it, without colours, for the end of a long log: the part in which `deno test`
 * explains failures, without the frames of its own code, or the last lines of a run that has no such part.
 */
export function explained(output: string): string[] {
  const text = plain(output);
  const errors = /^ ERRORS $([^]*?)^ FAILURES $/m.exec(text)?.[1];
  const lines = (errors ?? text).trim().split("\n").filter((line) => !/^\s+at .*\(ext:/.test(line));
  if (lines.length <= QUOTED_LINES_MAX) return lines;
  const left = `... ${lines.length - QUOTED_LINES_MAX} more lines above ...`;
  return errors ? [...lines.slice(0, QUOTED_LINES_MAX), left] : [left, ...lines.slice(-QUOTED_LINES_MAX)];
}

function plain(output: string): string {
  // deno-lint-ignore no-control-regex -- colours are control characters
  return output.replaceAll(/\x1b\[[\d;]*m/g, "");
}
