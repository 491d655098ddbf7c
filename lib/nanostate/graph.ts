/** What includes and depends on what, as it is written: conditions are not evaluated. */
import { placeText } from "./errors.ts";
import { pathsOf } from "./lint.ts";
import type { StateIndex } from "./state_index.ts";

export interface StateGraph {
  states: { id: string; file: string; functions: string | null; groups: string[] }[];
  links: StateLink[];
}

export interface StateLink {
  kind: "includes" | "may-include" | "depends-on" | "imports";
  /** A state, or `state/group` that depends. */
  from: string;
  /** A state, `state/group`, or a function file's name. */
  to: string;
  /** Functions that decide whether it counts. */
  conditions: string[];
  at: string;
  /** Whether it is in the folders given. */
  found: boolean;
}

/** Of a state and all that it reaches; in the order in which they are met. */
export function stateGraph(index: StateIndex, id: string): StateGraph {
  const graph: StateGraph = { states: [], links: [] };
  const open = [id];
  for (const next of open) { // grows while it is walked
    const state = index.state(next);
    if (state === null) continue;
    const groups = state.lines.flatMap((line) => line.kind === "group" ? [line.name] : []);
    graph.states.push({
      id: next,
      file: state.path,
      functions: index.functions(state)?.path ?? null,
      groups,
    });
    for (const { name, place } of state.imports ?? []) {
      const found = index.library(name) !== null;
      graph.links.push({
        kind: "imports",
        from: next,
        to: name,
        conditions: [],
        at: placeText(place),
        found,
      });
    }
    for (const line of state.lines) {
      const from = line.kind === "group" ? `${next}/${line.name}` : next;
      const conditions = line.conditions.map(({ name }) => name);
      for (const { path, optional } of pathsOf(line)) {
        const kind = line.kind === "group" ? "depends-on" : optional ? "may-include" : "includes";
        const found = index.state(path.state) !== null;
        const targets = path.groups.length === 0
          ? [path.state]
          : path.groups.map((group) => `${path.state}/${group}`);
        for (const to of targets) {
          graph.links.push({ kind, from, to, conditions, at: placeText(path.place), found });
        }
        if (found && !open.includes(path.state)) open.push(path.state);
      }
    }
  }
  return graph;
}

/** For people: each state with its links below it. */
export function graphText({ states, links }: StateGraph): string {
  return states.map(({ id, file, functions, groups }) => {
    const head = `${id} (${[file, ...(functions === null ? [] : [functions])].join(", ")}): ${
      groups.join(", ") || "no groups of its own"
    }`;
    const own = links.filter(({ from }) => from === id || from.startsWith(`${id}/`));
    return [head, ...own.map((link) => `  ${linkText(id, link)}`)].join("\n") + "\n";
  }).join("");
}

function linkText(id: string, { kind, from, to, conditions, at, found }: StateLink): string {
  const words = {
    "includes": "includes",
    "may-include": "includes if there",
    "depends-on": "depends on",
    "imports": "imports",
  };
  const who = from === id ? "" : `${from.slice(id.length + 1)} `;
  const when = conditions.map((name) => ` ?${name}`).join("");
  return `${who}${words[kind]} ${to}${when} (${at}${found ? "" : "; not there"})`;
}

/** For Graphviz. */
export function graphDot({ states, links }: StateGraph): string {
  const quoted = (text: string) => `"${text.replace(/["\\]/g, "\\$&")}"`;
  const styles = { "includes": "solid", "may-include": "dashed", "depends-on": "bold", "imports": "dotted" };
  const nodes = states.map(({ id }) => `  ${quoted(id)} [shape=box];`);
  const edges = links.map(({ kind, from, to, conditions }) =>
    `  ${quoted(stateOf(from))} -> ${quoted(kind === "imports" ? `${to}.fn` : stateOf(to))} ` +
    `[style=${styles[kind]}, label=${
      quoted(
        [groupOf(from), groupOf(to)].filter(Boolean).join(" & ") +
          conditions.map((name) => ` ?${name}`).join(""),
      )
    }];`
  );
  return ["digraph states {", ...nodes, ...edges, "}", ""].join("\n");
}

const stateOf = (path: string) => path.split("/")[0] ?? path;
const groupOf = (path: string) => path.split("/").slice(1).join("/");
