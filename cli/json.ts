/** JSON as values: what the API answers is shown as it is, field by field. */

export type Json = null | boolean | number | string | Json[] | JsonObject;
export interface JsonObject {
  [key: string]: Json;
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The value at a path such as `beat.atMs`; null where there is none. */
export function at(value: Json, path: string): Json {
  return path.split(".").reduce<Json>(
    (inner, key) => (isObject(inner) && Object.hasOwn(inner, key) ? inner[key] ?? null : null),
    value,
  );
}

/** As `at`, as text; empty where there is none. Lists are `a, b`, or `none`. */
export function textAt(value: Json, path: string): string {
  const found = at(value, path);
  if (found === null) return "";
  if (Array.isArray(found)) return found.map((each) => textAt({ each }, "each")).join(", ") || "none";
  return typeof found === "object" ? JSON.stringify(found) : String(found);
}

/** As `at`; 0 for what is no number. */
export function numberAt(value: Json, path: string): number {
  const found = at(value, path);
  return typeof found === "number" ? found : 0;
}

/** As `at`; empty for what is no list. */
export function listAt(value: Json, path: string): Json[] {
  const found = at(value, path);
  return Array.isArray(found) ? found : [];
}

/** Puts a value at a path, making the objects on the way. */
export function put(into: JsonObject, path: string, value: Json): void {
  const [key = "", ...rest] = path.split(".");
  if (rest.length === 0) {
    into[key] = value;
    return;
  }
  const present = into[key];
  const inner = isObject(present) ? present : {};
  into[key] = inner;
  put(inner, rest.join("."), value);
}
