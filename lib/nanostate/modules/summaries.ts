/**
 * Errors, warnings and deprecations as modules of ansible-core 2.19 and later give them: objects, marked by `__ansible_type`,
 * each with an event and what caused that. Out: the texts that Ansible makes of them, and that older modules gave at once.
 *
 * S1. What has no mark is passed on as it is: modules of all ages give texts, objects and mixtures.
 * Source: the behaviour of ansible-core 2.19, `module_utils/_internal/_event_utils.py`.
 */
import { isObject, type Json, type JsonObject } from "../json.ts";

/** Of a chain of causes. */
const CAUSES_MAX = 100;

export function summaryText(value: Json): Json {
  const event = eventOf(value);
  return event === null ? value : briefText(event);
}

export function deprecation(value: Json): Json {
  const event = eventOf(value);
  if (event === null) return value;
  const { date = null, version = null, deprecator = null } = value as JsonObject;
  const { resolved_name = null, type = null } = isObject(deprecator) ? deprecator as JsonObject : {};
  const collection_name = typeof resolved_name === "string"
    ? resolved_name.split(".").slice(0, 2).join(".")
    : null;
  return {
    msg: briefText(event),
    collection_name,
    deprecator: deprecator === null
      ? null
      : { resolved_name, type: isObject(type) ? type["value"] ?? null : type },
    ...date === null ? { version } : { date },
  };
}

/** The message of a module that says nothing of its failure but an exception; null when it does, or gives none. */
export function failureText({ msg, exception = null }: JsonObject): string | null {
  const event = msg === undefined ? eventOf(exception) : null;
  return event === null ? null : joined(["Task failed.", "Module failed.", ...messages(event)]);
}

/** The traceback as a text; null when there is none. */
export function traceback(exception: Json): Json {
  const event = eventOf(exception);
  return event === null ? exception : event["formatted_traceback"] ?? null;
}

function eventOf(value: Json): JsonObject | null {
  if (!isObject(value) || typeof value["__ansible_type"] !== "string") return null;
  const { event } = value as JsonObject;
  return isObject(event) ? event as JsonObject : null;
}

function briefText(event: JsonObject): string {
  return joined(messages(event));
}

function messages(event: JsonObject): string[] {
  const found: string[] = [];
  for (let each: Json = event; isObject(each) && found.length < CAUSES_MAX;) {
    found.push(String(each["msg"] ?? ""));
    const chain: Json = (each["chain"] ?? null) as Json;
    each = isObject(chain) && chain["follow"] !== false ? (chain["event"] ?? null) as Json : null;
  }
  return found;
}

/** A cause that its effect tells already is not told twice. */
function joined(parts: readonly string[]): string {
  return parts.reduceRight((cause, effect) =>
    effect.endsWith(cause) ? effect : `${effect.replace(/[. ]+$/, "")}: ${cause}`
  );
}
