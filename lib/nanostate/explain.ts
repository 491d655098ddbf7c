/** A plan in words: what would run, in its order, where each step stands, and what the functions asked for. */
import type { Json } from "./json.ts";
import type { Plan, PlanCommand, PlanStep, PlanText } from "./plan.ts";

export function explainPlan({ id, description, groups, uses }: Plan): string {
  const head = description === "" ? id : `${id}: ${lineText(description)}`;
  const lines = groups.flatMap(({ name, from, steps }) => [
    from === `${id}/${name}` ? name : `${name} (${from})`,
    ...(steps.length === 0 ? ["  nothing to do"] : steps.flatMap((step) => stepLines(step, from))),
  ]);
  const asked = Object.entries(uses).filter(([, names]) => names.length > 0)
    .map(([kind, names]) => `asks for ${kind}: ${names.join(", ")}`);
  return [head, ...(groups.length === 0 ? ["nothing to do"] : lines), ...asked, ""].join("\n");
}

function stepLines(step: PlanStep, group: string): string[] {
  const by = step.from === group ? "" : `, by ${step.from}`;
  const tail = ` (${step.at}${by})`;
  if (step.ranAbove !== undefined) return [`  ${what(step)}: ran above as ${step.ranAbove}${tail}`];
  if (step.kind === "module") {
    const args = Object.entries(step.args).map(([key, value]) => ` ${key}=${valueText(value)}`).join("");
    return [`  ${step.module}${args}${tail}`];
  }
  return [`  shell${tail}`, ...step.commands.map((command) => `    ${commandText(command)}`)];
}

function what(step: PlanStep): string {
  return step.kind === "module" ? step.module : `shell ${step.commands.map(({ name }) => name).join(", ")}`;
}

function commandText({ name, run, ...options }: PlanCommand): string {
  const guards = Object.entries(options).map(([key, value]) => `; ${key} ${valueText(value)}`).join("");
  return `${name}: ${lineText(secretText(run) ?? "")}${guards}`;
}

/** On one line, whatever it holds. */
function lineText(text: string): string {
  // deno-lint-ignore no-control-regex -- what would break the line or drive a terminal
  return /[\x00-\x1f\x7f]/.test(text) ? JSON.stringify(text) : text;
}

function valueText(value: Json | PlanText): string {
  if (typeof value === "string") return /^[\w./:@%+,=-]+$/.test(value) ? value : JSON.stringify(value);
  return secretText(value) ?? JSON.stringify(value, (_key, inner) => secretText(inner) ?? inner);
}

/** `‹secret db›` for a secret's name; null for what is neither text nor secrets. */
function secretText(value: unknown): string | null {
  if (typeof value === "string") return value;
  if (typeof value !== "object" || value === null || !("$text" in value) || !Array.isArray(value.$text)) {
    return null;
  }
  return value.$text.map((part) => typeof part === "string" ? part : `‹secret ${part.$secret}›`).join("");
}
