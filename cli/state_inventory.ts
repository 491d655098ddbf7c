/**
 * An inventory: the hosts of a run, as one YAML file.
 *
 *     user: ann                       # what holds for every host, unless a group or the host says otherwise
 *     groups:
 *       web: {params: {role: web}}
 *     hosts:
 *       web-1: {groups: [web]}
 *       db-1: {address: 10.0.0.9, port: 2222, become: postgres}
 *
 * In: its text. Out: hosts in their order, with everything that holds for each.
 * V1. The host's own word comes first, then its groups', the last first, then the file's. Parameters add up.
 * V2. What is not understood is refused by name, never passed over.
 */
import { parse } from "yaml";
import { z } from "zod";
import { messageOf, SalarError } from "../lib/errors.ts";
import type { Json, JsonObject } from "../lib/nanostate/json.ts";

export interface InventoryHost {
  name: string;
  /** For SSH: a name of `~/.ssh/config`, a host name or an address; `local` is this machine. */
  address: string;
  port: number | null;
  user: string | null;
  /** Whom to become by sudo; null for nobody. */
  become: string | null;
  groups: readonly string[];
  params: JsonObject;
  environment: Record<string, string>;
}

const NAME = z.string().regex(/^[\w.:-]+$/, "a name is made of letters, digits and _ . : -");
const JSON_VALUE: z.ZodType<Json> = z.json();
const shared = {
  port: z.int().min(1).max(65_535).optional(),
  user: z.string().min(1).optional(),
  /** True is root. */
  become: z.union([z.boolean(), z.string().min(1)]).optional(),
  params: z.record(z.string(), JSON_VALUE).optional(),
  environment: z.record(z.string(), z.string()).optional(),
};
const Settings = z.strictObject(shared);
const Host = z.strictObject({
  ...shared,
  address: z.string().min(1).optional(),
  groups: z.array(NAME).optional(),
});
const Inventory = z.strictObject({
  ...shared,
  groups: z.record(NAME, Settings.nullable()).optional(),
  hosts: z.record(NAME, Host.nullable()),
});
type Settings = z.infer<typeof Settings>;

/** @param file its name, for errors @throws {SalarError} `bad-input` */
export function readInventory(file: string, text: string): InventoryHost[] {
  const { groups = {}, hosts, ...all } = parsed(file, text);
  return Object.entries(hosts).map(([name, host]) => {
    const { address = name, groups: names = [], ...own } = host ?? {};
    const unknown = names.find((group) => !Object.hasOwn(groups, group));
    if (unknown !== undefined) throw wrong(file, `hosts.${name}: there is no group "${unknown}"`);
    const layers = [all, ...names.map((group) => groups[group] ?? {}), own];
    return { name, address, groups: names, ...together(layers) };
  });
}

/** V1 @param layers the weakest first */
function together(layers: readonly Settings[]): Omit<InventoryHost, "name" | "address" | "groups"> {
  const last = <K extends keyof Settings>(key: K): Settings[K] | undefined =>
    layers.findLast((layer) => layer[key] !== undefined)?.[key];
  const become = last("become") ?? false;
  return {
    port: last("port") ?? null,
    user: last("user") ?? null,
    become: typeof become === "string" ? become : become ? "root" : null,
    params: Object.assign({}, ...layers.map(({ params }) => params)),
    environment: Object.assign({}, ...layers.map(({ environment }) => environment)),
  };
}

function parsed(file: string, text: string): z.infer<typeof Inventory> {
  let value: unknown;
  try {
    value = parse(text, { uniqueKeys: true });
  } catch (cause) {
    throw wrong(file, messageOf(cause).split("\n")[0] ?? "it is no YAML", cause);
  }
  const result = Inventory.safeParse(value);
  if (result.success) return result.data;
  const reasons = result.error.issues.map((issue) => {
    const message = issue.code === "invalid_key" ? issue.issues[0]?.message : issue.message;
    return `${issue.path.join(".") || "the file"}: ${message ?? issue.message}`;
  });
  throw wrong(file, reasons.join("; "));
}

function wrong(file: string, reason: string, cause?: unknown): SalarError {
  return new SalarError("bad-input", `Cannot use the inventory ${file}: ${reason}`, { cause });
}
