/** What a server can do, as its own OpenAPI document says. */
import { SalarError } from "../lib/errors.ts";
import type { Method } from "../lib/mesh/route.ts";
import type { Api, RawRequest } from "./api.ts";
import { filled } from "./api.ts";
import { at, isObject, type Json, type JsonObject, listAt, textAt } from "./json.ts";

export interface Field {
  name: string;
  required: boolean;
  /** JSON Schema. */
  schema: Json;
}

export interface Operation {
  /** `zones.add` */
  name: string;
  method: Method;
  path: string;
  role: string;
  summary: string;
  params: readonly Field[];
  query: readonly Field[];
  /** JSON Schema of the body; null without one. */
  body: Json;
}

const METHODS: readonly Method[] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

export function methodOf(text: string): Method {
  const method = METHODS.find((each) => each === text.toUpperCase());
  if (method !== undefined) return method;
  throw new SalarError("bad-input", `Cannot call with method "${text}": say one of ${METHODS.join(", ")}`);
}

/** All of them, by name. */
export async function readOperations(api: Api): Promise<Operation[]> {
  const paths = at(await api.send({ method: "GET", path: "/openapi.json" }), "paths");
  const found = Object.entries(isObject(paths) ? paths : {}).flatMap(([path, item]) =>
    METHODS.filter((method) => isObject(item) && Object.hasOwn(item, method.toLowerCase()))
      .map((method) => operationOf(path, method, at(item, method.toLowerCase())))
  );
  return found.sort((a, b) => a.name < b.name ? -1 : 1);
}

function operationOf(path: string, method: Method, item: Json): Operation {
  const parameters = (where: string) =>
    listAt(item, "parameters").filter((each) => textAt(each, "in") === where).map((each): Field => ({
      name: textAt(each, "name"),
      required: at(each, "required") === true,
      schema: at(each, "schema"),
    }));
  const content = at(item, "requestBody.content");
  return {
    name: textAt(item, "operationId"),
    method,
    path,
    role: textAt(item, "x-salar-role"),
    summary: textAt(item, "summary"),
    params: parameters("path"),
    query: parameters("query"),
    // Not by path: the name has a slash, and might have a dot.
    body: isObject(content) ? at(content["application/json"] ?? null, "schema") : null,
  };
}

/** @throws {SalarError} `not-found`, with the names that are near */
export function operationNamed(operations: readonly Operation[], name: string): Operation {
  const found = operations.find((each) => each.name === name);
  if (found !== undefined) return found;
  const group = name.split(".")[0] ?? name;
  const near = operations.filter((each) => each.name.startsWith(`${group}.`)).map((each) => each.name);
  const hint = near.length > 0 ? `There is ${near.join(", ")}.` : "See what there is: salar call --list";
  throw new SalarError("not-found", `Cannot find method "${name}": the server has none`, {
    detail: { hint },
  });
}

/** Members of `arg` go where the operation has their names: path, then query, and the rest into the body. */
export function requestFor(operation: Operation, arg: JsonObject): RawRequest {
  const { method, path, params, query, body } = operation;
  const has = (fields: readonly Field[], name: string) => fields.some((field) => field.name === name);
  const pick = (test: (name: string) => boolean): JsonObject =>
    Object.fromEntries(Object.entries(arg).filter(([name]) => test(name)));
  const others = pick((name) => !has(params, name) && !has(query, name));
  return {
    method,
    path: filled(path, pick((name) => has(params, name))),
    // Without a body, what nobody knows goes to the query: the server names it as unknown.
    query: { ...pick((name) => has(query, name) && !has(params, name)), ...(body === null ? others : {}) },
    ...(body === null ? {} : { body: others }),
  };
}
