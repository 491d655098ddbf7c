/**
 * Where `fetch` puts a file of a host: `dest/HOST/path`, or `dest` itself when it is flat.
 *
 * F1. A host that answers with another path than it was asked for cannot reach beyond `dest`; neither can the host's name.
 */
import type { JsonObject } from "../json.ts";
import { isTrue } from "./actions.ts";
import { ModuleError } from "./library.ts";

/**
 * The controller's path of a fetched file; relative when `dest` is, to the state's folder.
 * @param args of the module: `dest`, `flat`. @param host its name in the run. @param remotePath as the host resolved it
 * @throws {ModuleError} a path that leaves `dest`
 */
export function fetchTarget(args: JsonObject, host: string, remotePath: string): string {
  const { dest, flat } = args;
  if (typeof dest !== "string" || dest === "") {
    throw new ModuleError("ansible.builtin.fetch", "Cannot fetch: src and dest are required");
  }
  if (isTrue(flat)) return dest.endsWith("/") ? dest + safe(remotePath.split("/").at(-1) ?? "") : dest;
  const parts = [host, ...remotePath.split("/")].filter((part) => part !== "" && part !== ".");
  return [dest.replace(/\/+$/, ""), ...parts.map(safe)].join("/");
}

/**
 * The result of a fetch as Ansible shows it.
 * @param said by the host: `file`, `checksum`, `md5sum`. @param changed whether `dest` had another content before
 */
export function fetchResult(
  { file = null, checksum = null, md5sum = null }: JsonObject,
  dest: string,
  changed: boolean,
): JsonObject {
  if (!changed) return { changed, dest, file, checksum, md5sum };
  return { changed, dest, checksum, md5sum, remote_checksum: checksum, remote_md5sum: null };
}

function safe(part: string): string {
  if (part !== "" && part !== "." && part !== ".." && !/[/\0]/.test(part)) return part;
  throw new ModuleError(
    "ansible.builtin.fetch",
    `Cannot fetch: "${part}" in the path would leave dest; give src as a plain absolute path`,
  );
}
