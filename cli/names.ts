/**
 * Names instead of fingerprints and ids, wherever they are unique.
 *
 * N1. A whole fingerprint or id is taken as it is. An exact name goes before the rest: the first part of a host name,
 *     or at least FP_CHARS_MIN digits of a fingerprint.
 * N2. What fits more than one is refused, with all that it fits.
 */
import { SalarError } from "../lib/errors.ts";
import type { Api } from "./api.ts";
import { shortFp } from "./columns.ts";
import { type Json, textAt } from "./json.ts";

const FP_CHARS_MIN = 8;
/** Candidates that an error lists. */
const LISTED_MAX = 10;

/** Fingerprint of the node of that name. @throws {SalarError} `not-found`, or `bad-input` for an ambiguous name */
export async function nodeFp(api: Api, given: string): Promise<string> {
  if (/^[0-9a-f]{64}$/.test(given)) return given;
  const nodes = await all(api, "nodes.list", {});
  const named = nodes.filter((node) => textAt(node, "name") === given);
  const fitting = named.length > 0 ? named : nodes.filter((node) => fitsNode(node, given));
  const node = theOne(
    fitting,
    `node "${given}"`,
    "salar nodes list",
    (node) => `${textAt(node, "name")} (${shortFp(textAt(node, "fp"))}, ${textAt(node, "state")})`,
  );
  return textAt(node, "fp");
}

function fitsNode(node: Json, given: string): boolean {
  const isFp = given.length >= FP_CHARS_MIN && /^[0-9a-f]+$/.test(given);
  return textAt(node, "name").split(".")[0] === given || isFp && textAt(node, "fp").startsWith(given);
}

/** Id of the system of that name or minion id. @throws as `nodeFp` */
export async function systemId(api: Api, given: string): Promise<number> {
  if (/^\d+$/.test(given)) return Number(given);
  const found = await all(api, "systems.list", { q: given });
  const exact = found.filter((system) =>
    [textAt(system, "name"), textAt(system, "minionId")].includes(given)
  );
  const system = theOne(
    exact,
    `system "${given}"`,
    `salar systems search ${given}`,
    (system) => `${textAt(system, "id")} (${textAt(system, "name")}, minion ${textAt(system, "minionId")})`,
  );
  return Number(textAt(system, "id"));
}

/** Names of all nodes by fingerprint. */
export async function nodeNames(api: Api): Promise<Map<string, string>> {
  return new Map(
    (await all(api, "nodes.list", {})).map((node) => [textAt(node, "fp"), textAt(node, "name")]),
  );
}

async function all(
  api: Api,
  route: "nodes.list" | "systems.list",
  query: Record<string, string>,
): Promise<Json[]> {
  const found: Json[] = [];
  for await (const { items } of api.pages(route, { query })) found.push(...items);
  return found;
}

function theOne(found: Json[], what: string, look: string, shown: (item: Json) => string): Json {
  const [first, ...others] = found;
  if (first === undefined) {
    const hint = `See what is there: ${look}`;
    throw new SalarError("not-found", `Cannot find ${what}: there is none`, { detail: { hint } });
  }
  if (others.length === 0) return first;
  const problems = found.slice(0, LISTED_MAX).map((item) => ({ field: "candidate", reason: shown(item) }));
  throw new SalarError("bad-input", `Cannot tell which is ${what}: it fits ${found.length}`, {
    detail: { problems, hint: "Name one of them by more of its fingerprint or by its id." },
  });
}
