/**
 * What a route is given: path, query, body and conditions of a request, checked by the route's schemas.
 *
 * I1. All problems of a request are told together, each with its field.
 * I2. A query key that the schema does not name is refused: a misspelt `limti` must not pass as "no limit".
 */
import { z } from "zod";
import { type Problem, SalarError } from "../errors.ts";
import { IDEMPOTENCY_KEY_CHARS_MAX } from "../limits.ts";
import { problemsOf } from "./problem.ts";
import type { Route, RouteInput } from "./route.ts";

/** All but who asks and the token. */
export type Parsed = Omit<RouteInput<unknown, unknown, unknown>, "principal" | "token"> & {
  /** `Idempotency-Key`, on a changing route; null when none was sent. */
  key: string | null;
};

export interface Raw {
  params: Record<string, string>;
  request: Request;
  body: Uint8Array;
}

/** No JSON value: none is wanted, or what came is noted as a problem already. */
const NO_BODY = Symbol("no body");

/** @returns the reader for one route. @throws `bad-input` with all problems, when the reader is called. */
export function inputReader(route: Route): (raw: Raw) => Parsed {
  const { params = z.object({}), query = z.object({}), body } = route;
  const strictQuery = query instanceof z.ZodObject && query.def.catchall === undefined
    ? query.strict()
    : query;
  return (raw) => {
    const problems: Problem[] = [];
    const check = (where: string, schema: z.ZodType, value: unknown) => {
      const result = schema.safeParse(value);
      if (!result.success) problems.push(...problemsOf(where, result.error));
      return result.data;
    };
    const note = (field: string, reason: string) => {
      problems.push({ field, reason });
      return null;
    };
    const json = body === undefined ? NO_BODY : bodyOf(raw, note);
    const parsed = {
      params: check("path", params, raw.params),
      query: check("query", strictQuery, queryOf(raw.request)),
      body: body === undefined || json === NO_BODY ? undefined : check("body", body, json),
      ifMatch: ifMatchOf(raw.request, note),
      key: route.method === "GET" ? null : keyOf(raw.request, note),
    };
    if (problems.length === 0) return parsed;
    throw new SalarError("bad-input", `Cannot accept ${route.name}: ${textOf(problems)}`, {
      detail: { problems },
    });
  };
}

type Note = (field: string, reason: string) => null;

function textOf(problems: Problem[]): string {
  const [first] = problems;
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : "";
  return `${first?.field}: ${first?.reason}${more}`;
}

/** A key that comes once is text, one that comes again a list. */
function queryOf(request: Request): Record<string, string | string[]> {
  const query: Record<string, string | string[]> = Object.create(null);
  const given = new URL(request.url).searchParams;
  for (const key of new Set(given.keys())) {
    const all = given.getAll(key);
    query[key] = all.length === 1 ? all[0] ?? "" : all;
  }
  return { ...query };
}

/** No body counts as `{}`, so that each missing field is named. */
function bodyOf({ request, body }: Raw, note: Note): unknown {
  if (body.length === 0) return {};
  const type = request.headers.get("content-type")?.split(";", 1)[0]?.trim().toLowerCase() ?? "none";
  if (!/^application\/(\S+\+)?json$/.test(type)) {
    note("header.content-type", `is ${type}, send application/json`);
    return NO_BODY;
  }
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    note("body", "is not JSON in UTF-8");
    return NO_BODY;
  }
}

function ifMatchOf(request: Request, note: Note): string | null {
  const header = request.headers.get("if-match");
  if (header === null || header === "*") return null; // what is not there is a 404 of its own
  const etag = /^"([\x21\x23-\x7e]*)"$/.exec(header.trim())?.[1];
  return etag ?? note("header.if-match", 'is not one strong ETag such as "7"');
}

function keyOf(request: Request, note: Note): string | null {
  const key = request.headers.get("idempotency-key");
  if (key === null) return null;
  if (key.length <= IDEMPOTENCY_KEY_CHARS_MAX && /^[\x21-\x7e]+$/.test(key)) return key;
  return note("header.idempotency-key", `is not 1 … ${IDEMPOTENCY_KEY_CHARS_MAX} visible ASCII characters`);
}
