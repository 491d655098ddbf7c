/** What is shown of a run, and of its result. */
import { entries, node, ratio, state, text, time } from "./columns.ts";
import { at, isObject, type Json, listAt, numberAt, textAt } from "./json.ts";

export const RUN_COLUMNS = [
  text("RUN", "id"),
  text("STATE", "nanostate"),
  state("IS", "state"),
  node("BY NODE", "by"),
  text("HOST", "host"),
  ratio("STEPS", "progress.done", "progress.total"),
  time("BEGUN", "createdAtMs"),
];

export const RUN_DETAILS = [
  ...RUN_COLUMNS,
  text("NOW AT", "progress.step"),
  entries("COUNTS", "progress.counts"),
  text("CHECK ONLY", "check"),
  entries("PARAMETERS", "params"),
  text("ZONE", "staging.zone"),
  node("NODE", "staging.node"),
  time("HEARD", "heardAtMs"),
  time("ENDED", "endedAtMs"),
  time("DEADLINE", "deadlineAtMs"),
  text("BY", "who"),
  text("REASON", "reason"),
];

export const RESULT_COLUMNS = [
  text("GROUP", "group"),
  text("MODULE", "module"),
  text("NAME", "name"),
  text("CAME TO", "outcome"),
  text("SAID", "said"),
];

const BY_CODE: Readonly<Record<string, string>> = {
  "0": "fine",
  "1": "failed",
  "2": "not run",
  "255": "unreachable",
};

/** A row for each command and module of a result, in order. */
export function resultRows(result: Json): Json[] {
  return listAt(result, "Groups").flatMap((group) =>
    listAt(group, "Response").flatMap((step) =>
      listAt(step, "Response").flatMap((host) => {
        const named = at(host, "Response");
        return Object.entries(isObject(named) ? named : {}).map(([name, response]) => ({
          group: textAt(group, "GroupId"),
          module: textAt(step, "Module"),
          name,
          outcome: BY_CODE[textAt(response, "Errcode")] ?? textAt(response, "Errcode"),
          said: textAt(response, "Errmsg") || lastLine(textAt(response, "Stderr")) ||
            lastLine(textAt(response, "Stdout")),
        }));
      })
    )
  );
}

function lastLine(text: string): string {
  return text.trimEnd().split("\n").at(-1) ?? "";
}

/** `id  running  node-stop/1  12/40 steps, failed 1, changed 3`. */
export function runText(run: Json): string {
  const count = (name: string) => numberAt(run, `progress.counts.${name}`);
  const total = numberAt(run, "progress.total");
  const parts = [
    ...(total === 0 ? [] : [`${numberAt(run, "progress.done")}/${total} steps`]),
    ...(["failed", "changed", "unknown"] as const).filter((name) => count(name) > 0).map((name) =>
      `${name} ${count(name)}`
    ),
  ];
  return [textAt(run, "id"), textAt(run, "state"), textAt(run, "progress.step"), parts.join(", ")].filter(
    Boolean,
  )
    .join("  ");
}
