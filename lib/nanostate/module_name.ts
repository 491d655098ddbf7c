/**
 * The name of a module, whole: `ansible.builtin.NAME` or `NAMESPACE.COLLECTION.NAME`.
 *
 * Before 2.10 builtin modules lay in folders (`system.service`, `packaging.os.apt`); states of that time name them so,
 * with `ansible.` before it or without. 2.10 made the folders flat: the last part is the module.
 */

const OLD_FOLDERS: ReadonlySet<string> = new Set([
  "cloud",
  "clustering",
  "commands",
  "crypto",
  "database",
  "files",
  "identity",
  "inventory",
  "messaging",
  "monitoring",
  "net_tools",
  "network",
  "notification",
  "packaging",
  "remote_management",
  "source_control",
  "storage",
  "system",
  "utilities",
  "web_infrastructure",
  "windows",
]);

export interface ModuleName {
  name: string;
  /** A folder that Ansible never had: a slip of the pen, or a collection without its namespace. */
  oddFolder?: string;
}

/** Null for a bare word other than `shell`: it would hide that a module of Ansible runs. */
export function moduleName(written: string): ModuleName | null {
  const parts = written.split(".");
  const isMarked = parts[0] === "ansible" && parts.length > 1;
  const [first = "", ...rest] = isMarked ? parts.slice(1) : parts;
  const last = rest.at(-1);
  if (last === undefined) return isMarked ? { name: `ansible.builtin.${first}` } : null;
  if (["builtin", "legacy"].includes(first) && rest.length === 1) return { name: `ansible.builtin.${last}` };
  if (OLD_FOLDERS.has(first)) return { name: `ansible.builtin.${last}` };
  if (rest.length === 1) return { name: `ansible.builtin.${last}`, oddFolder: first };
  return { name: [first, ...rest].join(".") };
}
