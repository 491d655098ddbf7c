/**
 * What to change in a Uyuni database so that its rows can be followed, and how to take it all away again.
 *
 * In: the live catalogue. Out: SQL in order, each with its reason; or problems that a person must solve first.
 * S1. Pure: the same catalogue gives the same plan, and the catalogue after a plan gives an empty one.
 * S2. Only listed tables and listed columns are published, never all: else Uyuni's own writes fail, and secrets leave.
 * S3. A table is published only with a replica identity that its column list contains: else its UPDATEs fail.
 * S4. What an identity was before is kept in the publication's comment, and `planUninstall` restores it.
 * S5. Problems come all at once; with any there is nothing to run.
 * Source: domain brief, section 3.2; PostgreSQL manual, "Logical Replication".
 */
import { z } from "zod";
import { type Catalogue, type CatalogueTable, PUBLICATION } from "./catalogue.ts";
import type { CaptureTable } from "../../lib/cluster/capture_tables.ts";

export interface Step {
  sql: string;
  why: string;
}

export interface Plan {
  /** To run in order, in one transaction; of an uninstall, after `slots`. */
  steps: Step[];
  /** What a person must do first, each with how. */
  problems: string[];
  /** Worth knowing, nothing to do. */
  notes: string[];
}

export interface UninstallPlan extends Plan {
  /** To run before `steps`, outside a transaction. */
  slots: Step[];
}

/** Identity of a table as SQL has it after `REPLICA IDENTITY`. */
const Identity = z.string().regex(/^(DEFAULT|FULL|NOTHING|USING INDEX ".+")$/);
const Memory = z.object({
  salar: z.literal(1),
  /** Per table: identity before the first setup, and the one that setup gave it. */
  identity: z.record(z.string(), z.object({ was: Identity, set: Identity })),
});
type Memory = z.infer<typeof Memory>;

/** Statements that bring the catalogue to the list; empty where it is there already. */
export function planSetup(catalogue: Catalogue, tables: readonly CaptureTable[]): Plan {
  const plan: Plan = { steps: [], problems: serverProblems(catalogue), notes: [] };
  const memory = readMemory(catalogue);
  const published: string[] = [];
  const wanted: { table: CatalogueTable; columns: string[] }[] = [];

  for (const table of tables) {
    const found = catalogue.tables.find(({ name }) => name === table.name.toLowerCase());
    const fit = fitTable(table, found, plan);
    if (fit === null) continue;
    const set = fit.identity;
    const was = identityOf(fit.table);
    if (was !== set) {
      const before = memory.identity[fit.table.name]?.was ?? was;
      memory.identity[fit.table.name] = { was: before, set };
      plan.steps.push({
        sql: `ALTER TABLE ${nameOf(fit.table)} REPLICA IDENTITY ${set}`,
        why: `without it every UPDATE and DELETE of a published ${table.name} would fail`,
      });
    }
    wanted.push(fit);
    published.push(`${nameOf(fit.table)} (${fit.columns.map(quoted).join(", ")})`);
  }

  publish(catalogue, wanted, published, plan);
  const left = Object.entries(memory.identity).filter(([name]) =>
    !tables.some((table) => table.name.toLowerCase() === name)
  );
  restore(catalogue, left, plan); // after they are unpublished
  for (const [name] of left) delete memory.identity[name];
  const comment = JSON.stringify(memory);
  if (catalogue.publication?.comment !== comment) {
    plan.steps.push({
      sql: `COMMENT ON PUBLICATION ${quoted(PUBLICATION)} IS ${literal(comment)}`,
      why: "uninstall reads here what each replica identity was before",
    });
  }
  return plan.problems.length > 0 ? { ...plan, steps: [] } : plan;
}

/** Statements that leave the database as it was before the first setup; empty where nothing of Salar is left. */
export function planUninstall(catalogue: Catalogue): UninstallPlan {
  const own = catalogue.slots.filter(({ here }) => here);
  const problems = own.filter(({ active }) => active)
    .map(({ name }) => `slot ${name} is in use: stop the node agent, then uninstall again`);
  const slots = own.map(({ name }) => ({
    sql: `SELECT pg_drop_replication_slot(${literal(name)})`,
    why: "a slot that nobody reads holds back the log until the disk is full; it goes first",
  }));
  const steps: Step[] = [];
  const notes: string[] = [];
  if (catalogue.publication !== null) {
    steps.push({ sql: `DROP PUBLICATION ${quoted(PUBLICATION)}`, why: "nothing is published any more" });
    restore(catalogue, Object.entries(readMemory(catalogue).identity), { steps, notes });
  }
  return problems.length > 0 ? { slots: [], steps: [], problems, notes } : { slots, steps, problems, notes };
}

function serverProblems(catalogue: Catalogue): string[] {
  const { database, role, walLevel, slotKeepMb, slotsMax, slotsUsed, sendersMax, slots } = catalogue;
  const problems: string[] = [];
  if (walLevel !== "logical") {
    problems.push(
      `wal_level is ${walLevel}: run ALTER SYSTEM SET wal_level = 'logical' (it wins over postgresql.conf, which ` +
        "smdba rewrites) and restart PostgreSQL",
    );
  }
  if (slotKeepMb < 0) {
    problems.push(
      "max_slot_wal_keep_size is unlimited: a stopped agent would fill the disk. Run ALTER SYSTEM SET " +
        "max_slot_wal_keep_size = '20GB' (what the disk can spare) and SELECT pg_reload_conf()",
    );
  }
  if (slotsUsed >= slotsMax && !slots.some(({ here }) => here)) {
    problems.push(
      `all ${slotsMax} replication slots are taken: raise max_replication_slots, restart PostgreSQL`,
    );
  }
  if (sendersMax < 1) problems.push("max_wal_senders is 0: set it to 10 and restart PostgreSQL");
  if (!catalogue.mayReplicate) {
    problems.push(
      `role ${role} may not replicate: run ALTER ROLE ${quoted(role)} REPLICATION as a superuser`,
    );
  }
  if (!catalogue.mayCreate) {
    problems.push(
      `role ${role} may not create a publication: run GRANT CREATE ON DATABASE ${quoted(database)} TO ${
        quoted(role)
      }`,
    );
  }
  return problems;
}

interface Fit {
  table: CatalogueTable;
  columns: string[];
  identity: string;
}

/** How to publish one table; null, and a problem, where that cannot be done safely. */
function fitTable(want: CaptureTable, table: CatalogueTable | undefined, plan: Plan): Fit | null {
  if (table === undefined) {
    plan.problems.push(`table ${want.name} does not exist: is this the database of a Uyuni server?`);
    return null;
  }
  if (!table.owned) {
    plan.problems.push(
      `table ${want.name} belongs to another role: run setup as the owner of Uyuni's tables`,
    );
  }
  const missing = want.columns.filter((column) => !table.columns.includes(column));
  const missingKey = want.key.filter((column) => missing.includes(column));
  if (missingKey.length > 0) {
    plan.problems.push(`table ${want.name} has no column ${missingKey.join(", ")}: its rows cannot be named`);
    return null;
  }
  if (missing.length > 0) plan.notes.push(`${want.name} has no ${missing.join(", ")} here: left out`);

  const identity = fitIdentity(want, table, plan);
  if (identity === null) return null;
  return { table, columns: table.columns.filter((name) => want.columns.includes(name)), identity };
}

/**
 * Exactly the key's columns must be the identity, since a delete carries nothing else. The primary key serves where
 * it is that; else the index of the list, or one like it where a release has given it another name.
 */
function fitIdentity(want: CaptureTable, table: CatalogueTable, plan: Plan): string | null {
  const fitting = table.indexes.filter((index) => index.usable && sameSet(index.columns, want.key));
  if (fitting.some((index) => index.primary)) return "DEFAULT";
  const named = want.identity === "primary key" ? null : want.identity.index;
  const index = fitting.find(({ name }) => name === named) ?? fitting[0];
  if (index === undefined) {
    plan.problems.push(
      `table ${want.name} has no unique index over exactly ${want.key.join(", ")} without nullable columns` +
        (named === null ? "" : ` (${named})`) + ": this release is not known, its rows cannot be followed",
    );
    return null;
  }
  if (index.name !== named) plan.notes.push(`${want.name} is identified by index ${index.name} here`);
  return usingIndex(index.name);
}

function publish(
  { publication }: Catalogue,
  wanted: readonly { table: CatalogueTable; columns: string[] }[],
  published: readonly string[],
  plan: Plan,
): void {
  const tables = published.join(", ");
  if (publication === null) {
    plan.steps.push({
      sql: `CREATE PUBLICATION ${quoted(PUBLICATION)} FOR TABLE ${tables}`,
      why: "only these tables and columns leave the database",
    });
    return;
  }
  if (publication.allTables) {
    plan.problems.push(
      `publication ${PUBLICATION} is FOR ALL TABLES, which makes Uyuni's writes fail: drop it, then run setup`,
    );
    return;
  }
  const same = publication.tables.length === wanted.length &&
    wanted.every(({ table, columns }) =>
      publication.tables.some((now) =>
        now.schema === table.schema && now.name === table.name && now.columns !== null &&
        sameSet(now.columns, columns)
      )
    );
  if (!same) {
    plan.steps.push({
      sql: `ALTER PUBLICATION ${quoted(PUBLICATION)} SET TABLE ${tables}`,
      why: "the list of tables or columns has changed",
    });
  }
  if (!publication.complete) {
    plan.steps.push({
      sql: `ALTER PUBLICATION ${quoted(PUBLICATION)} SET (publish = 'insert, update, delete, truncate')`,
      why: "a kind of change that is left out would never be noticed",
    });
  }
}

/** Gives tables the identity back that they had before setup, except where somebody changed it since. */
function restore(
  { tables }: Catalogue,
  memories: readonly [string, Memory["identity"][string]][],
  { steps, notes }: Pick<Plan, "steps" | "notes">,
): void {
  for (const [name, { was, set }] of memories) {
    const table = tables.find((table) => table.name === name);
    const possible = !was.startsWith("USING") ||
      table?.indexes.some((index) => was === usingIndex(index.name));
    if (table === undefined || identityOf(table) !== set || !possible) {
      notes.push(`the replica identity of ${name} cannot go back to ${was}, it was changed since: left`);
    } else {
      const sql = `ALTER TABLE ${nameOf(table)} REPLICA IDENTITY ${was}`;
      steps.push({ sql, why: "as it was before setup" });
    }
  }
}

function readMemory({ publication }: Catalogue): Memory {
  try {
    return Memory.parse(JSON.parse(publication?.comment ?? ""));
  } catch {
    return { salar: 1, identity: {} }; // none, or not ours
  }
}

function identityOf({ identity, identityIndex }: CatalogueTable): string {
  if (identity === "i" && identityIndex !== null) return usingIndex(identityIndex);
  // `i` whose index was dropped acts as nothing.
  return { d: "DEFAULT", f: "FULL", n: "NOTHING", i: "NOTHING" }[identity];
}

function usingIndex(name: string): string {
  return `USING INDEX ${quoted(name)}`;
}

function sameSet(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((item) => b.includes(item));
}

function nameOf({ schema, name }: { schema: string; name: string }): string {
  return `${quoted(schema)}.${quoted(name)}`;
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
