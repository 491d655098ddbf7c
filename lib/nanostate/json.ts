/** JSON as values, and text for people. */

export type Json = null | boolean | number | string | Json[] | JsonObject;
export interface JsonObject {
  [key: string]: Json;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Puts a member in, whatever its name: `__proto__` would change the object instead. */
export function setOwn(into: JsonObject, key: string, value: Json): void {
  Object.defineProperty(into, key, { value, writable: true, enumerable: true, configurable: true });
}
