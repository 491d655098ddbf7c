/**
 * Carries out the plans of `setup.ts`.
 *
 * R1. The steps of a plan are one transaction: the database is as before, or as planned.
 * R2. Waiting for a table's lock is bounded, since Uyuni's writers would queue behind it.
 */
import { messageOf, SalarError } from "../../lib/errors.ts";
import { SETUP_LOCK_MS } from "../../lib/limits.ts";
import { readCatalogue } from "./catalogue.ts";
import { type Plan, planSetup, planUninstall, type UninstallPlan } from "./setup.ts";
import type { Sql } from "./sql.ts";
import type { CaptureTable } from "../../lib/cluster/capture_tables.ts";

/** Plans, and runs the plan unless `dryRun`. @throws {SalarError} `conflict` for a lock that is not free in time. */
export async function setup(
  sql: Sql,
  tables: readonly CaptureTable[],
  { dryRun }: { dryRun: boolean },
): Promise<Plan> {
  const plan = planSetup(await readCatalogue(sql, tables.map(({ name }) => name)), tables);
  if (!dryRun && plan.problems.length === 0) await runSteps(sql, plan);
  return plan;
}

/** The way back of `setup`. */
export async function uninstall(
  sql: Sql,
  tables: readonly CaptureTable[],
  { dryRun }: { dryRun: boolean },
): Promise<UninstallPlan> {
  const plan = planUninstall(await readCatalogue(sql, tables.map(({ name }) => name)));
  if (dryRun || plan.problems.length > 0) return plan;
  for (const step of plan.slots) await sql.query(step.sql);
  await runSteps(sql, plan);
  return plan;
}

/** A plan as a person reads it, and as psql would run it. */
export function printPlan(plan: Plan & { slots?: UninstallPlan["slots"] }): string {
  const { steps, slots = [], problems, notes } = plan;
  const lines = [
    ...problems.map((problem) => `-- PROBLEM: ${problem}.`),
    ...notes.map((note) => `-- Note: ${note}.`),
    ...slots.flatMap(({ sql, why }) => [`-- ${why}`, `${sql};`]),
  ];
  if (steps.length > 0) {
    const body = steps.flatMap(({ sql, why }) => [`-- ${why}`, `${sql};`]);
    lines.push("BEGIN;", `SET LOCAL lock_timeout = ${SETUP_LOCK_MS};`, ...body, "COMMIT;");
  }
  if (steps.length + slots.length + problems.length === 0) lines.push("-- Nothing to do.");
  return lines.join("\n");
}

async function runSteps(sql: Sql, { steps }: Plan): Promise<void> {
  if (steps.length === 0) return;
  await sql.query("BEGIN");
  try {
    await sql.query(`SET LOCAL lock_timeout = ${SETUP_LOCK_MS}`);
    for (const step of steps) await sql.query(step.sql);
    await sql.query("COMMIT");
  } catch (cause) {
    await sql.query("ROLLBACK").catch(() => {}); // the connection may be what failed
    const message = `Cannot change the database: ${
      messageOf(cause)
    }; nothing was changed, try again when it is quiet`;
    throw new SalarError("conflict", message, { cause });
  }
}
