/**
 * What kind of module a file is, by its bytes.
 *
 * Source: ansible-core, `executor/module_common.py`: the same tests in the same order, and the first match wins.
 */
import { Buffer } from "node:buffer";

export type ModuleKind = "python" | "json-args" | "want-json" | "old" | "binary" | "powershell";

const HEAD_BYTES = 1024;
const TEXT_CONTROLS = new Set([7, 8, 9, 10, 12, 13, 27]);
const OLD_INCLUDE = "#<<INCLUDE_ANSIBLE_MODULE_COMMON>>";
const NEW_STYLE = new RegExp(
  [
    String.raw`from +\.{2,} *module_utils[^\n]* +import `,
    String.raw`from +ansible_collections\.[^.]+\.[^.]+\.plugins\.module_utils[^\n]* +import `,
    String.raw`import +ansible_collections\.[^.]+\.[^.]+\.plugins\.module_utils`,
    String.raw`from +ansible\.module_utils[^\n]* +import `,
    String.raw`import +ansible\.module_utils\.`,
  ].join("|"),
);
const POWERSHELL = /# POWERSHELL_COMMON|#Requires -(?:Module|Version)|#AnsibleRequires -\w/i;
/** The agent puts the arguments in its place. */
export const JSON_ARGS_MARKER = "<<INCLUDE_ANSIBLE_MODULE_JSON_ARGS>>";

export function moduleKind(bytes: Uint8Array): ModuleKind {
  if (bytes.subarray(0, HEAD_BYTES).some(isNoText)) return "binary";
  const source = latin1(bytes);
  if (source.includes(OLD_INCLUDE) || NEW_STYLE.test(source)) return "python";
  if (POWERSHELL.test(source)) return "powershell";
  if (source.includes(JSON_ARGS_MARKER)) return "json-args";
  if (source.includes("WANT_JSON")) return "want-json";
  return "old";
}

/** What follows `#!`: an interpreter, and perhaps an argument; null when the first line is no such line. */
export function interpreterOf(bytes: Uint8Array): string | null {
  const [line = ""] = latin1(bytes.subarray(0, HEAD_BYTES)).split("\n", 1);
  return /^#!\s*(\S.*?)\s*$/.exec(line)?.[1] ?? null;
}

/** A new-style module with the include of Ansible 2.0 and before replaced, as the engine does it. */
export function pythonSource(bytes: Uint8Array): Uint8Array {
  const source = latin1(bytes);
  if (!source.includes(OLD_INCLUDE)) return bytes;
  const replaced = source.replaceAll(OLD_INCLUDE, "from ansible.module_utils.basic import *");
  return Uint8Array.from(replaced, (character) => character.charCodeAt(0));
}

/** One character a byte, so nothing is lost and nothing is refused. */
export function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}

function isNoText(byte: number): boolean {
  return byte < 0x20 ? !TEXT_CONTROLS.has(byte) : byte === 0x7f;
}
