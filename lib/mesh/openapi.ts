/**
 * The OpenAPI 3.1 document of a host, made of the schemas that validate: what it says is what is checked.
 *
 * O1. Every JSON route is in it; raw routes (XML-RPC, files) are not.
 * O2. `x-salar-role` names the role. Request schemas are the input side of a schema, replies the output side.
 * O3. Each body has an example that matches its schema's form, for `salar call` and for people.
 */
import { z } from "zod";
import type { MeshFunction } from "./function.ts";
import { ProblemDocument } from "./problem.ts";
import type { Role } from "./handler.ts";
import { isRaw, type Route } from "./route.ts";

export interface ApiInfo {
  title: string;
  version: string;
}

type Json = Record<string, unknown>;

export function openApi(functions: readonly MeshFunction[], info: ApiInfo): Json {
  const paths: Record<string, Json> = {};
  for (const { name: owner, routes } of functions) {
    for (const route of routes) {
      if (isRaw(route)) continue;
      const path = paths[route.path] ??= {};
      path[route.method.toLowerCase()] = operation(owner, route);
    }
  }
  return {
    openapi: "3.1.0",
    info,
    paths,
    components: {
      schemas: { Problem: jsonSchema(ProblemDocument, "output") },
      securitySchemes: {
        token: {
          type: "http",
          scheme: "bearer",
          description:
            "Token of a person or a program, `sa1.…`: `salar tokens add` makes one, the first lies in `admin.token` of the data folder",
        },
        proof: {
          type: "apiKey",
          in: "header",
          name: "Authorization",
          description: "Agents: `Salar-Proof <kid>,<t>,<n>,<s>`, a signature over this very request",
        },
      },
    },
  };
}

function operation(owner: string, route: Route): Json {
  const { name, role, summary, body, reply, status = 200 } = route;
  const content = (schema: Json, more: Json = {}) => ({ "application/json": { schema, ...more } });
  const bodySchema = body && jsonSchema(body, "input");
  return {
    operationId: name,
    tags: [owner],
    summary,
    description: whoMay(role),
    "x-salar-role": role,
    security: role === "public" ? [] : [role === "node" || role === "system" ? { proof: [] } : { token: [] }],
    parameters: parametersOf(route),
    ...(bodySchema === undefined ? {} : {
      requestBody: { required: true, content: content(bodySchema, { example: exampleOf(bodySchema) }) },
    }),
    responses: {
      [status]: { description: "Done", content: content(jsonSchema(reply, "output")) },
      default: {
        description: "Refused or failed; `code` says why (docs/errors.md)",
        content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
      },
    },
  };
}

function whoMay(role: Role): string {
  if (role === "public") return "Needs no credential.";
  return role === "node" || role === "system" ? `For the agent of a ${role}.` : `Needs the role ${role}.`;
}

function parametersOf({ method, params, query, role }: Route): Json[] {
  const fields = (where: "path" | "query", schema: z.ZodType | undefined) => {
    const { properties = {}, required = [] } = objectSchema(schema);
    return Object.entries(properties).map(([name, field]) => ({
      name,
      in: where,
      required: where === "path" || required.includes(name),
      schema: field,
    }));
  };
  const header = (name: string, description: string) => ({
    name,
    in: "header",
    required: false,
    description,
    schema: { type: "string" },
  });
  return [
    ...fields("path", params),
    ...fields("query", query),
    ...(method === "GET"
      ? [header("If-None-Match", "ETag of an answer that you have: 304 if it still holds")]
      : [
        ...(role === "public"
          ? []
          : [header("Idempotency-Key", "Makes a repeat of this request harmless, for a day")]),
        header("If-Match", "ETag that you have seen: 412 if it is no longer the current one"),
      ]),
  ];
}

const ObjectSchema = z.object({
  properties: z.record(z.string(), z.record(z.string(), z.unknown())).optional(),
  required: z.array(z.string()).optional(),
});

function objectSchema(schema: z.ZodType | undefined): z.infer<typeof ObjectSchema> {
  return schema === undefined ? {} : ObjectSchema.parse(jsonSchema(schema, "input"));
}

function jsonSchema(schema: z.ZodType, io: "input" | "output"): Json {
  // What JSON Schema cannot say (a transform's result) is left open rather than made up.
  const { $schema: _, ...json } = z.toJSONSchema(schema, { io, unrepresentable: "any" });
  return json;
}

/** A value of the schema's form, from its own examples and defaults where it has them. Not for recursive schemas. */
export function exampleOf(schema: unknown): unknown {
  if (typeof schema !== "object" || schema === null) return null;
  const { examples, default: preset, const: constant, enum: options, anyOf, oneOf, type, ...rest } =
    schema as Json;
  for (const list of [examples, options]) if (Array.isArray(list) && list.length > 0) return list[0];
  if (preset !== undefined) return preset;
  if (constant !== undefined) return constant;
  for (const list of [anyOf, oneOf]) if (Array.isArray(list)) return exampleOf(list[0]);
  switch (type) {
    case "object":
      return Object.fromEntries(
        Object.entries(rest["properties"] ?? {}).map(([name, field]) => [name, exampleOf(field)]),
      );
    case "array":
      return [exampleOf(rest["items"])];
    case "integer":
    case "number":
      return typeof rest["minimum"] === "number" && rest["minimum"] > -(2 ** 31) ? rest["minimum"] : 1;
    case "boolean":
      return false;
    case "string":
      return rest["format"] === "uri" ? "https://example.org/" : "text";
    default:
      return null;
  }
}
