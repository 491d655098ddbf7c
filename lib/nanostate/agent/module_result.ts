/** A module's result out of what it printed, as `modules.py` does it: for modules that `sh` runs. */
import { isObject, type JsonObject } from "../json.ts";

export function moduleResult(stdout: string, stderr: string, rc: number | null): JsonObject {
  const lines = stdout.split("\n");
  const first = lines.findIndex((line) => line.trimStart().startsWith("{"));
  const last = lines.findLastIndex((line) => line.trimEnd().endsWith("}"));
  if (first >= 0 && last >= first) {
    const result = objectOrNull(lines.slice(first, last + 1).join("\n"));
    if (result !== null) return result;
  }
  const msg = "MODULE FAILURE\nSee stdout/stderr for the exact error";
  return { failed: true, msg, module_stdout: stdout, module_stderr: stderr, rc };
}

function objectOrNull(text: string): JsonObject | null {
  try {
    const value: unknown = JSON.parse(text);
    return isJsonObject(value) ? value : null;
  } catch {
    return null;
  }
}

/** What comes out of JSON.parse has nothing but JSON in it. */
function isJsonObject(value: unknown): value is JsonObject {
  return isObject(value);
}
