/**
 * What a live PostgreSQL says about itself and the tables to capture or captured, read in one statement.
 *
 * In: a connection and table names. Out: `Catalogue`, the only thing that `setup.ts` decides from.
 */
import { z } from "zod";
import { SalarError } from "../../lib/errors.ts";
import type { Sql } from "./sql.ts";

/** Column lists of publications came with PostgreSQL 15; without them secrets could not be kept out. */
export const POSTGRES_VERSION_MIN = 150_000;
export const PUBLICATION = "salar";
/** Slots are named `salar_<number of the origin>`. */
export const SLOT_PREFIX = "salar_";

const Index = z.object({
  name: z.string(),
  primary: z.boolean(),
  /** PostgreSQL takes it as replica identity: unique, whole, immediate, valid, no column nullable. */
  usable: z.boolean(),
  columns: z.array(z.string()),
});

const Table = z.object({
  schema: z.string(),
  /** As PostgreSQL keeps it: lower case. */
  name: z.string(),
  /** The current role may alter and publish it. */
  owned: z.boolean(),
  columns: z.array(z.string()),
  indexes: z.array(Index),
  /** `d` default (primary key), `i` index, `f` whole row, `n` nothing. */
  identity: z.enum(["d", "i", "f", "n"]),
  identityIndex: z.string().nullable(),
});
export type CatalogueTable = z.infer<typeof Table>;

const PublishedTable = z.object({
  schema: z.string(),
  name: z.string(),
  /** Null: no column list. */
  columns: z.array(z.string()).nullable(),
});
export type PublishedTable = z.infer<typeof PublishedTable>;

export const Catalogue = z.object({
  database: z.string(),
  role: z.string(),
  mayReplicate: z.boolean(),
  /** May create objects in the database, as a publication. */
  mayCreate: z.boolean(),
  walLevel: z.string(),
  /** Megabytes that a slot may hold back; -1 is no limit. */
  slotKeepMb: z.number(),
  slotsMax: z.number(),
  sendersMax: z.number(),
  slotsUsed: z.number(),
  tables: z.array(Table),
  publication: z.object({
    comment: z.string().nullable(),
    /** Everything is published that can be: inserts, updates, deletes, truncates. */
    complete: z.boolean(),
    allTables: z.boolean(),
    tables: z.array(PublishedTable),
  }).nullable(),
  /** Slots with our prefix. Their names are shared by all databases of the server. */
  slots: z.array(z.object({
    name: z.string(),
    /** It belongs to this database. */
    here: z.boolean(),
    active: z.boolean(),
    walStatus: z.string().nullable(),
    /** LSN as `X/Y`. */
    confirmed: z.string().nullable(),
  })),
});
export type Catalogue = z.infer<typeof Catalogue>;

/** @throws {SalarError} `bad-config` for a server before PostgreSQL 15; what the connection throws. */
export async function readCatalogue(sql: Sql, tableNames: readonly string[]): Promise<Catalogue> {
  const [[version] = []] = await sql.query("select current_setting('server_version_num')");
  if (Number(version) < POSTGRES_VERSION_MIN) {
    throw new SalarError(
      "bad-config",
      `Cannot capture changes: the server has version ${version}, column lists need PostgreSQL 15`,
    );
  }
  const names = tableNames.map((name) => name.toLowerCase());
  const [[json] = []] = await sql.query(CATALOGUE_SQL, [names, PUBLICATION, `^${SLOT_PREFIX}[0-9]+$`]);
  return Catalogue.parse(JSON.parse(json ?? ""));
}

const CATALOGUE_SQL = `
select json_build_object(
  'database', current_database(),
  'role', current_user,
  'mayReplicate', (select rolreplication or rolsuper from pg_roles where rolname = current_user),
  'mayCreate', has_database_privilege(current_database(), 'create'),
  'walLevel', current_setting('wal_level'),
  'slotKeepMb', (select setting::bigint from pg_settings where name = 'max_slot_wal_keep_size'),
  'slotsMax', current_setting('max_replication_slots')::int,
  'sendersMax', current_setting('max_wal_senders')::int,
  'slotsUsed', (select count(*) from pg_replication_slots),
  'tables', (
    select coalesce(json_agg(json_build_object(
      'schema', n.nspname,
      'name', c.relname,
      'owned', pg_has_role(c.relowner, 'usage'),
      'columns', (select json_agg(a.attname order by a.attnum) from pg_attribute a
                  where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''),
      'indexes', (
        select coalesce(json_agg(json_build_object(
          'name', i.relname,
          'primary', x.indisprimary,
          'usable', x.indisunique and x.indisvalid and x.indimmediate
                    and x.indpred is null and x.indexprs is null and k.whole,
          'columns', k.columns) order by i.relname), '[]')
        from pg_index x join pg_class i on i.oid = x.indexrelid, lateral (
          select coalesce(json_agg(a.attname order by u.n), '[]') as columns, coalesce(bool_and(a.attnotnull), false) as whole
          from unnest(x.indkey::int2[]) with ordinality as u(attnum, n)
          join pg_attribute a on a.attrelid = c.oid and a.attnum = u.attnum
          where u.n <= x.indnkeyatts) k
        where x.indrelid = c.oid),
      'identity', c.relreplident,
      'identityIndex', (select i.relname from pg_index x join pg_class i on i.oid = x.indexrelid
                        where x.indrelid = c.oid and x.indisreplident)) order by c.relname), '[]')
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'r' and pg_table_is_visible(c.oid) and (
      c.relname = any($1) or exists (
        select from pg_publication_rel r join pg_publication p on p.oid = r.prpubid
        where r.prrelid = c.oid and p.pubname = $2))),
  'publication', (
    select json_build_object(
      'comment', obj_description(p.oid, 'pg_publication'),
      'complete', p.pubinsert and p.pubupdate and p.pubdelete and p.pubtruncate,
      'allTables', p.puballtables,
      'tables', (
        select coalesce(json_agg(json_build_object(
          'schema', n.nspname,
          'name', c.relname,
          'columns', (select json_agg(a.attname order by a.attnum) from unnest(r.prattrs::int2[]) as u(attnum)
                      join pg_attribute a on a.attrelid = c.oid and a.attnum = u.attnum)) order by c.relname), '[]')
        from pg_publication_rel r join pg_class c on c.oid = r.prrelid join pg_namespace n on n.oid = c.relnamespace
        where r.prpubid = p.oid))
    from pg_publication p where p.pubname = $2),
  'slots', (
    select coalesce(json_agg(json_build_object(
      'name', slot_name,
      'here', database is not distinct from current_database(),
      'active', active,
      'walStatus', wal_status,
      'confirmed', confirmed_flush_lsn) order by slot_name), '[]')
    from pg_replication_slots where slot_name ~ $3)
)`;
