/**
 * The lines of a state: what stands before the colon, of a group and of a step.
 *
 * L1. A line is read token by token, and the first character of a token says what it is: `c++` and `a&b` are names.
 *
 *     group   = NAME { "&" ID "/" NAME { ":" NAME } } { "?" FUNCTION }
 *     include = ( "~" | "+" ) ID [ "/" NAME { ":" NAME } ] { "?" FUNCTION }
 *     step    = MODULE [ "[]" FUNCTION ] { "?" FUNCTION }
 */
import type { Finding, NanostateCode, Place } from "./errors.ts";

/** A function as a line names it: its own file's, or `library.name`. */
export interface FunctionName {
  name: string;
  place: Place;
}

/** `base/motd:packages`; no groups are all of them. */
export interface StatePath {
  state: string;
  groups: string[];
  /** With the character before it, as it stands there. */
  text: string;
  place: Place;
}

export interface GroupHead {
  kind: "group";
  name: string;
  depends: StatePath[];
  conditions: FunctionName[];
}
export interface IncludeHead {
  kind: "include";
  /** `+`: a state or group that is not there is skipped. */
  optional: boolean;
  path: StatePath;
  conditions: FunctionName[];
}
export interface StepHead {
  /** As it is written, in lower case. */
  module: string;
  loop: FunctionName | null;
  conditions: FunctionName[];
}

export type Report = (
  code: NanostateCode,
  place: Place,
  reason: string,
  severity?: Finding["severity"],
) => void;

export const STATE_ID = /^[A-Za-z0-9_][A-Za-z0-9_.-]*$/;
const FUNCTION = /^[A-Za-z_]\w*(\.[A-Za-z_]\w*)?$/;

interface Token {
  text: string;
  place: Place;
}

/** Null, with a finding, for a line that breaks the grammar. */
export function readGroupLine(line: string, place: Place, report: Report): GroupHead | IncludeHead | null {
  const [head, ...rest] = tokens(line, place);
  if (head === undefined) return refuse(report, place, "the line is empty; name the group");
  const marks = rest.map((token) => ({ token, mark: markOf(token) }));
  const conditions = readFunctions(
    marks.filter(({ mark }) => mark === "?").map(({ token }) => token),
    report,
  );
  const depends = marks.filter(({ mark }) => mark === "&").map(({ token }) => token);
  const odd = marks.find(({ mark }) => mark !== "?" && mark !== "&")?.token;
  if (odd !== undefined) {
    return refuse(
      report,
      odd.place,
      `"${odd.text}" cannot stand here; after a group's name come &state/group and ?function`,
    );
  }
  const mark = markOf(head);
  if (mark === "~" || mark === "+") {
    const path = readPath(head, report);
    if (depends[0] !== undefined) {
      return refuse(report, depends[0].place, "an included group has no `&`; it brings its own");
    }
    return path === null || conditions === null
      ? null
      : { kind: "include", optional: mark === "+", path, conditions };
  }
  if (mark !== null) return refuse(report, head.place, `a group's name cannot begin with "${mark}"`);
  if (/[/:]/.test(head.text)) {
    report("bad-name", head.place, `a group's name cannot hold "/" or ":": "${head.text}"`);
    return null;
  }
  const paths = depends.map((token) => readDepend(token, report));
  if (conditions === null || paths.includes(null)) return null;
  return { kind: "group", name: head.text, depends: paths.filter((path) => path !== null), conditions };
}

/** Null, with a finding, for a line that breaks the grammar. */
export function readStepLine(line: string, place: Place, report: Report): StepHead | null {
  const [head, ...rest] = tokens(line, place);
  if (head === undefined) return refuse(report, place, "the line is empty; name the module");
  if (!/^[A-Za-z_][\w.]*$/.test(head.text) || /\.\.|\.$/.test(head.text)) {
    return refuse(report, head.place, `"${head.text}" is no module; write shell or ansible.NAME`);
  }
  const odd = rest.find((token) => markOf(token) !== "?" && markOf(token) !== "[]");
  if (odd !== undefined) {
    return refuse(
      report,
      odd.place,
      `"${odd.text}" cannot stand here; after a module come []function and ?function`,
    );
  }
  const loops = rest.filter((token) => markOf(token) === "[]");
  if (loops[1] !== undefined) {
    return refuse(report, loops[1].place, "a step has one loop; let its function join the lists");
  }
  const functions = readFunctions(loops, report);
  const conditions = readFunctions(rest.filter((token) => markOf(token) === "?"), report);
  if (functions === null || conditions === null) return null;
  return { module: head.text.toLowerCase(), loop: functions[0] ?? null, conditions };
}

function tokens(line: string, place: Place): Token[] {
  return [...line.matchAll(/\S+/g)].map(({ 0: text, index }) => ({
    text,
    place: { ...place, column: place.column + index },
  }));
}

function markOf({ text }: Token): "~" | "+" | "&" | "?" | "[]" | null {
  return (["~", "+", "&", "?", "[]"] as const).find((mark) => text.startsWith(mark)) ?? null;
}

function readFunctions(found: Token[], report: Report): FunctionName[] | null {
  const functions = found.map(({ text, place }) => {
    const name = text.replace(/^(\?|\[\])/, "");
    if (FUNCTION.test(name)) return { name, place };
    return refuse(report, place, `"${text}" names no function; write it without a blank and without ()`);
  });
  return functions.includes(null) ? null : functions.filter((each) => each !== null);
}

function readDepend(token: Token, report: Report): StatePath | null {
  const path = readPath(token, report);
  if (path === null || path.groups.length > 0) return path;
  return refuse(
    report,
    token.place,
    `"${token.text}" names no group; a group depends on &state/group, not on a whole state`,
  );
}

function readPath({ text, place }: Token, report: Report): StatePath | null {
  const [state = "", groups, ...more] = text.slice(1).split("/");
  const names = groups === undefined ? [] : groups.split(":");
  if (!STATE_ID.test(state) || more.length > 0 || names.includes("")) {
    return refuse(
      report,
      place,
      `"${text}" is no path; write ${text.slice(0, 1)}state or ${text.slice(0, 1)}state/group:group`,
    );
  }
  return { state, groups: names, text, place };
}

function refuse(report: Report, place: Place, reason: string): null {
  report("bad-line", place, reason);
  return null;
}
