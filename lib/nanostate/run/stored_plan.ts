/**
 * A check that is kept, so that what is applied later is what was looked at.
 *
 * Out of a check's result: for each host the plan's hash, the facts behind it, and what each step said it would do. An
 * apply with it checks again first, and refuses a host where any of that is different now.
 * S1. Texts of results are not stored, only their hashes: a stored plan holds nothing of a host's files.
 * S2. A host that could not be checked to its end is not in it.
 */
import { createHash } from "node:crypto";
import { isObject, type Json, type JsonObject } from "../json.ts";
import type { HostResult, PlanTrace, Response, RunResult } from "./result.ts";

export interface StoredPlan {
  version: 1;
  /** Of the state. */
  id: string;
  hosts: Record<string, StoredHost>;
}
export interface StoredHost {
  plan: string;
  facts: JsonObject;
  /** In order. */
  answers: StoredAnswer[];
}
interface StoredAnswer {
  step: string;
  name: string;
  outcome: string;
  /** SHA-256 of what is there before and after, when the step told. */
  diff: string | null;
}

/** @param id of the state. @param check a run in check mode */
export function storedPlan(id: string, check: RunResult): StoredPlan {
  const whole = check.hosts.filter(({ plan, message }) => plan !== null && message === ""); // S2
  const hosts = whole.map(({ host, plan, groups }) =>
    [host, {
      plan: plan?.hash ?? "",
      facts: plan?.facts ?? {},
      answers: answersOf(groups),
    }] as const
  );
  return { version: 1, id, hosts: Object.fromEntries(hosts) };
}

/** Why a stored plan does not hold for this plan, before any check; null when it may. */
export function otherPlan(stored: StoredHost | undefined, { hash, facts }: PlanTrace): string | null {
  if (stored === undefined) return "the host was not checked to its end when the plan was stored";
  if (stored.plan === hash) return null;
  const names = new Set([...Object.keys(stored.facts), ...Object.keys(facts)]);
  for (const name of names) {
    const [was, is] = [JSON.stringify(stored.facts[name]), JSON.stringify(facts[name])];
    if (was !== is) return `the fact ${name} was ${was ?? "not asked for"} and is ${is ?? "not asked for"}`;
  }
  return "the state or its parameters are not those of the stored plan";
}

/** What a check says that the stored one did not; null when they agree. */
export function movedOn(stored: StoredHost, groups: HostResult["groups"]): string | null {
  const now = answersOf(groups);
  for (const [n, is] of now.entries()) {
    const was = stored.answers[n];
    if (was === undefined) return `${is.step} (${is.name}) is new`;
    if (was.step !== is.step || was.name !== is.name) {
      return `${was.step} (${was.name}) is not there any more`;
    }
    if (was.outcome !== is.outcome) return `${is.step} (${is.name}) was ${was.outcome} and is ${is.outcome}`;
    if (was.diff !== is.diff) return `${is.step} (${is.name}) would change something else than it said`;
  }
  return now.length === stored.answers.length ? null : "it has fewer steps now";
}

/** @throws {TypeError} a text that is no stored plan */
export function readStoredPlan(text: string): StoredPlan {
  const value: unknown = JSON.parse(text);
  const isPlan = isObject(value) && value["version"] === 1 && typeof value["id"] === "string" &&
    isObject(value["hosts"]) && Object.values(value["hosts"]).every(isStoredHost);
  if (isPlan) return value as unknown as StoredPlan; // looked at, member by member
  throw new TypeError("it is no stored plan of `salar state apply --check --out`");
}

function isStoredHost(value: unknown): boolean {
  return isObject(value) && typeof value["plan"] === "string" && isObject(value["facts"]) &&
    Array.isArray(value["answers"]) &&
    value["answers"].every((answer) =>
      isObject(answer) && ["step", "name", "outcome"].every((key) => typeof answer[key] === "string") &&
      (answer["diff"] === null || typeof answer["diff"] === "string")
    );
}

function answersOf(groups: HostResult["groups"]): StoredAnswer[] {
  return groups.flatMap(({ steps }) =>
    steps.flatMap(({ id, responses }) =>
      responses.map(({ name, outcome, diff }): StoredAnswer => ({
        step: id,
        name,
        outcome,
        diff: diffHash(diff),
      }))
    )
  );
}

/** Of the texts alone: headers have names of temporary files. */
function diffHash(diff: Response["diff"]): string | null {
  if (diff === null) return null;
  const parts = (Array.isArray(diff) ? diff : [diff]).map((part): Json =>
    isObject(part) ? [part["before"] ?? null, part["after"] ?? null, part["prepared"] ?? null] as Json : part
  );
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex");
}
