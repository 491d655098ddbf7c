/**
 * A JSON template for any call: what to put into `salar call`, with the defaults in it and a comment for each field.
 *
 * T1. What must be given, or has a default, stands there; what may be left out stands in a comment.
 * T2. Without comments it is plain JSON.
 */
import { at, isObject, type Json, type JsonObject, listAt, textAt } from "./json.ts";
import type { Field, Operation } from "./operations.ts";

export function templateOf(operation: Operation, { comments }: { comments: boolean }): string {
  const fields = [...operation.params, ...operation.query, ...fieldsOf(operation.body)];
  if (!comments) return JSON.stringify(valueOf(fields), null, 2) + "\n";
  const { name, method, path, role, summary } = operation;
  return [`// ${name}: ${summary}`, `// ${method} ${path}, role ${role}`, ...objectLines(fields, ""), ""]
    .join("\n");
}

function fieldsOf(schema: Json): Field[] {
  const properties = at(schema, "properties");
  const required = listAt(schema, "required");
  return Object.entries(isObject(properties) ? properties : {}).map(([name, field]) => ({
    name,
    required: required.includes(name),
    schema: field,
  }));
}

function objectLines(fields: readonly Field[], indent: string): string[] {
  return ["{", ...fields.flatMap((field) => fieldLines(field, indent + "  ")), `${indent}}`];
}

function fieldLines({ name, required, schema }: Field, indent: string): string[] {
  const stands = isThere({ name, required, schema });
  const inner = fieldsOf(schema);
  if (stands && inner.length > 0) {
    const [open, ...rest] = objectLines(inner, indent);
    return [
      `${indent}${JSON.stringify(name)}: ${open} // ${aboutOf(required, schema)}`,
      ...rest.slice(0, -1),
      `${indent}},`,
    ];
  }
  const line = `${JSON.stringify(name)}: ${JSON.stringify(exampleOf(schema))},`;
  return [`${indent}${stands ? "" : "// "}${line} // ${aboutOf(required, schema)}`];
}

/** T1 */
function isThere({ required, schema }: Field): boolean {
  return required || isObject(schema) && schema["default"] !== undefined;
}

function valueOf(fields: readonly Field[]): JsonObject {
  return Object.fromEntries(
    fields.filter(isThere).map(({ name, schema }) => {
      const inner = fieldsOf(schema);
      return [name, inner.length > 0 ? valueOf(inner) : exampleOf(schema)];
    }),
  );
}

/** A value of the schema's form: its default, else its first choice, else something that shows the type. */
function exampleOf(schema: Json): Json {
  if (!isObject(schema)) return null;
  for (const key of ["default", "const"]) if (schema[key] !== undefined) return schema[key];
  const [option] = [...listAt(schema, "examples"), ...listAt(schema, "enum")];
  if (option !== undefined) return option;
  const [first] = [...listAt(schema, "anyOf"), ...listAt(schema, "oneOf")];
  if (first !== undefined) return exampleOf(first);
  switch (schema["type"]) {
    case "object":
      return {};
    case "array":
      return [];
    case "boolean":
      return false;
    case "integer":
    case "number":
      return Math.max(0, Number(schema["minimum"] ?? 0));
    case "string":
      return "";
    default:
      return null;
  }
}

/** `needed: one of viewer, operator, admin`, `integer, 60000 or more (default 1)`. */
function aboutOf(required: boolean, schema: Json): string {
  const preset = at(schema, "default");
  const isPreset = isObject(schema) && schema["default"] !== undefined;
  return [
    required && !isPreset ? "needed: " : "",
    [formOf(schema), textAt(schema, "description")].filter((part) => part !== "").join("; "),
    isPreset && fieldsOf(schema).length === 0 ? ` (default ${JSON.stringify(preset)})` : "",
  ].join("").trim();
}

function formOf(schema: Json): string {
  const options = listAt(schema, "enum");
  if (options.length > 0) return `one of ${options.join(", ")}`;
  const ways = [...listAt(schema, "anyOf"), ...listAt(schema, "oneOf")];
  if (ways.length > 0) return ways.map(formOf).join(" or ");
  const bounds = [["minimum", "or more"], ["maximum", "at most"], ["maxLength", "characters at most"]]
    .flatMap(([key = "", words = ""]) => {
      const bound = at(schema, key);
      // Beyond what JSON counts exactly it is the type's own end, nobody's decision.
      if (typeof bound !== "number" || Math.abs(bound) >= Number.MAX_SAFE_INTEGER) return [];
      return [words === "at most" ? `${words} ${bound}` : `${bound} ${words}`];
    });
  const pattern = textAt(schema, "pattern");
  return [textAt(schema, "type"), ...bounds, pattern === "" ? "" : `like ${pattern}`]
    .filter((part) => part !== "").join(", ");
}
