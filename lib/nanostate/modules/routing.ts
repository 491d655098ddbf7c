/**
 * Where the plugins of a collection went: `plugin_routing` of its `meta/runtime.yml`, and of ansible's own file.
 *
 * Source: ansible-core, `executor/module_common.py` `_handle_redirect`, `plugins/loader.py` `_find_fq_plugin`.
 */
import { parse } from "yaml";
import { isObject } from "../json.ts";

export type RoutedKind = "modules" | "module_utils" | "action";

export interface Route {
  /** Whole name of where it is now, as written: `ns.coll.name`. */
  redirect: string | null;
  /** Why it is nowhere any more. */
  removed: string | null;
}

export type Routing = (kind: RoutedKind, name: string) => Route | null;

export const NO_ROUTING: Routing = () => null;

/** Of a collection's `meta/runtime.yml`. @throws {Error} of `yaml`, with line and column */
export function routingOf(text: string): Routing {
  const routing = member(parse(text), "plugin_routing");
  return (kind, name) => toRoute(member(member(routing, kind), name));
}

/**
 * Of `config/ansible_builtin_runtime.yml`: 9,700 lines, which `yaml` takes 300 ms to read. Its layout has been the same
 * since 2.10 (a test compares all entries), so the lines of one entry are cut out and only they are read.
 */
export function builtinRouting(text: string): Routing {
  const sections = new Map<RoutedKind, string>();
  return (kind, name) => {
    const section = sections.get(kind) ?? linesBelow(text, `\n  ${kind}:\n`, /\n {0,2}[^ \n#]/g);
    sections.set(kind, section);
    const entry = linesBelow(section, `\n    ${name}:\n`, /\n {0,4}[^ \n#]/g);
    return entry === "" ? null : toRoute(parse(entry));
  };
}

/** The lines that follow `head`, to the next that `next` finds; "" when there is no such head. */
function linesBelow(text: string, head: string, next: RegExp): string {
  const found = text.indexOf(head);
  if (found < 0) return "";
  const from = found + head.length - 1;
  next.lastIndex = from;
  return text.slice(from, next.exec(text)?.index);
}

function toRoute(entry: unknown): Route | null {
  if (!isObject(entry)) return null;
  const { redirect, tombstone } = entry;
  const text = member(tombstone, "warning_text");
  return {
    redirect: typeof redirect === "string" ? redirect : null,
    removed: isObject(tombstone) ? (typeof text === "string" ? text : "it was removed") : null,
  };
}

function member(value: unknown, name: string): unknown {
  return isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
}
