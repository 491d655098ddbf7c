/**
 * What must be true of a set of functions before a host runs them: told all at once, as `bad-config`.
 *
 * C1. Every route names a role: a door without a lock never opens.
 * C2. Nothing is there twice: method and path, operation names, handlers, ticks, functions, streams.
 */
import { messageOf, type Problem, SalarError } from "../errors.ts";
import { checkPattern } from "../bus/subject.ts";
import { groupOf, type MeshFunction } from "./function.ts";
import { ROLES } from "./handler.ts";

/** @throws {SalarError} `bad-config` with all offenders in `detail.problems`. */
export function checkFunctions(functions: readonly MeshFunction[]): void {
  const problems = [
    ...functions.flatMap(routeProblems),
    ...functions.flatMap((each) => handlerProblems(each, functions)),
    ...functions.flatMap(tickProblems),
    ...twice("function", functions.map(({ name }) => name)),
    ...twice("route", functions.flatMap(({ routes }) => routes.map(({ name }) => name))),
    ...twice(
      "path",
      functions.flatMap(({ routes }) => routes.map((each) => `${each.method} ${formOf(each.path)}`)),
    ),
    ...twice(
      "handler",
      functions.flatMap((each) => each.handlers.map((handler) => groupOf(each.name, handler))),
    ),
    ...twice("tick", functions.flatMap(({ name, ticks }) => ticks.map((tick) => `${name}.${tick.name}`))),
  ];
  if (problems.length === 0) return;
  const lines = problems.map(({ field, reason }) => `  ${field}: ${reason}`);
  throw new SalarError("bad-config", `Cannot start: ${problems.length} problems\n${lines.join("\n")}`, {
    detail: { problems },
  });
}

function routeProblems({ name: owner, routes }: MeshFunction): Problem[] {
  return routes.flatMap(({ name, path, role }) => {
    const field = `${owner} route ${name}`;
    return [
      ...(ROLES.includes(role) ? [] : [{ field, reason: `names no role; give one of ${ROLES.join(", ")}` }]),
      ...(/^(\/[\w.-]+|\/\{\w+\})*(\/\*|\/)?$/.test(path) && path !== ""
        ? []
        : [{ field, reason: `"${path}" is no path such as /v1/zones/{zone}` }]),
    ];
  });
}

function handlerProblems({ name: owner, handlers }: MeshFunction, all: readonly MeshFunction[]): Problem[] {
  const streams = new Set(all.flatMap((each) => each.streams.map((stream) => stream.name)));
  return handlers.flatMap((handler) => {
    const field = `${owner} handler ${handler.name}`;
    const stream = "stream" in handler ? handler.stream : undefined;
    return [
      ...patternProblems(field, handler.subject),
      ...(stream === undefined || streams.has(stream)
        ? []
        : [{ field, reason: `consumes stream ${stream}, which no function here declares` }]),
    ];
  });
}

function patternProblems(field: string, pattern: string): Problem[] {
  try {
    checkPattern("start", pattern);
    return [];
  } catch (error) {
    return [{ field, reason: messageOf(error) }];
  }
}

function tickProblems({ name: owner, ticks }: MeshFunction): Problem[] {
  return ticks.filter(({ everyMs }) => !(everyMs >= 1)).map(({ name }) => ({
    field: `${owner} tick ${name}`,
    reason: "runs every 0 ms; give at least 1",
  }));
}

function twice(what: string, names: string[]): Problem[] {
  const repeated = new Set(names.filter((name, index) => names.indexOf(name) !== index));
  return [...repeated].map((name) => ({ field: `${what} ${name}`, reason: "is there more than once" }));
}

function formOf(path: string): string {
  return path.replace(/\{\w+\}/g, "{}");
}
