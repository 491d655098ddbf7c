/** What states have, without running anything: the names of their groups, conditions or not. */
import type { StateIndex } from "./state_index.ts";

/** Names of all groups that a state may come to, its includes' too; empty for a state that is not there. */
export function groupNames(index: StateIndex, id: string): Set<string> {
  const names = new Set<string>();
  const seen = new Set<string>();
  const open = [id];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (seen.has(next)) continue;
    seen.add(next);
    for (const line of index.state(next)?.lines ?? []) {
      if (line.kind === "group") names.add(line.name);
      else if (line.path.groups.length === 0) open.push(line.path.state);
      else for (const name of line.path.groups) names.add(name);
    }
  }
  return names;
}
