import assert from "node:assert/strict";
import type { CaptureTable } from "../../lib/cluster/capture_tables.ts";
import type { Catalogue, CatalogueTable } from "./catalogue.ts";
import { planSetup, planUninstall } from "./setup.ts";
import { printPlan } from "./setup_run.ts";

const SERVERS: CaptureTable = {
  name: "rhnServer",
  key: ["id"],
  identity: "primary key",
  columns: ["id", "name"],
};
const LINKS: CaptureTable = {
  name: "rhnServerChannel",
  key: ["server_id", "channel_id"],
  identity: { index: "links_uq" },
  columns: ["server_id", "channel_id"],
};

function table(name: string, columns: string[], change: Partial<CatalogueTable> = {}): CatalogueTable {
  return {
    schema: "public",
    name,
    owned: true,
    columns,
    indexes: [],
    identity: "d",
    identityIndex: null,
    ...change,
  };
}

const index = (name: string, columns: string[], change = {}) => ({
  name,
  columns,
  primary: false,
  usable: true,
  ...change,
});
const servers = table("rhnserver", ["id", "name", "secret"], {
  indexes: [index("server_pk", ["id"], { primary: true })],
});
const links = table("rhnserverchannel", ["server_id", "channel_id", "created"], {
  indexes: [index("links_uq", ["server_id", "channel_id"])],
});

function catalogue(change: Partial<Catalogue> = {}): Catalogue {
  return {
    database: "uyuni",
    role: "owner",
    mayReplicate: true,
    mayCreate: true,
    walLevel: "logical",
    slotKeepMb: 1_000,
    slotsMax: 10,
    sendersMax: 10,
    slotsUsed: 0,
    tables: [servers, links],
    publication: null,
    slots: [],
    ...change,
  };
}

const sqlOf = (change: Partial<Catalogue>, tables: CaptureTable[] = [SERVERS, LINKS]) =>
  planSetup(catalogue(change), tables).steps.map(({ sql }) => sql);

/** A catalogue as a first setup leaves it. */
function afterSetup(was = "DEFAULT"): Partial<Catalogue> {
  const memory = { salar: 1, identity: { rhnserverchannel: { was, set: 'USING INDEX "links_uq"' } } };
  return {
    tables: [servers, { ...links, identity: "i", identityIndex: "links_uq" }],
    publication: {
      comment: JSON.stringify(memory),
      complete: true,
      allTables: false,
      tables: [
        { schema: "public", name: "rhnserver", columns: ["id", "name"] },
        { schema: "public", name: "rhnserverchannel", columns: ["server_id", "channel_id"] },
      ],
    },
  };
}

Deno.test("planSetup() sets identities first, then publishes the listed columns only", () => {
  assert.deepEqual(sqlOf({}), [
    'ALTER TABLE "public"."rhnserverchannel" REPLICA IDENTITY USING INDEX "links_uq"',
    'CREATE PUBLICATION "salar" FOR TABLE "public"."rhnserver" ("id", "name"), ' +
    '"public"."rhnserverchannel" ("server_id", "channel_id")',
    `COMMENT ON PUBLICATION "salar" IS '${afterSetup().publication?.comment}'`,
  ]);
});

Deno.test("planSetup() has nothing to do after itself", () => {
  assert.deepEqual(sqlOf(afterSetup()), []);
});

Deno.test("planSetup() follows a list that has changed, and remembers the first identity", () => {
  assert.deepEqual(sqlOf(afterSetup("FULL"), [SERVERS]), [
    'ALTER PUBLICATION "salar" SET TABLE "public"."rhnserver" ("id", "name")',
    'ALTER TABLE "public"."rhnserverchannel" REPLICA IDENTITY FULL',
    `COMMENT ON PUBLICATION "salar" IS '{"salar":1,"identity":{}}'`,
  ]);
  // The index was made anew: the identity is set again, what was before stays remembered.
  const steps = sqlOf({ ...afterSetup("FULL"), tables: [servers, { ...links, identity: "i" }] });
  assert.deepEqual(steps, [
    'ALTER TABLE "public"."rhnserverchannel" REPLICA IDENTITY USING INDEX "links_uq"',
  ]);
});

Deno.test("planSetup() knows releases with a new primary key, another index name or fewer columns", () => {
  const key = ["server_id", "channel_id"];
  const withKey = { ...links, indexes: [...links.indexes, index("links_pk", key, { primary: true })] };
  assert.equal(sqlOf({ tables: [servers, withKey] }).length, 2);

  const surrogate = { ...links, indexes: [...links.indexes, index("id_pk", ["id"], { primary: true })] };
  assert.match(sqlOf({ tables: [servers, surrogate] })[0] ?? "", /USING INDEX "links_uq"/);

  const renamed = { ...links, indexes: [index("links_uq_2", key)] };
  const plan = planSetup(catalogue({ tables: [servers, renamed] }), [SERVERS, LINKS]);
  assert.match(plan.steps[0]?.sql ?? "", /USING INDEX "links_uq_2"/);
  assert.match(plan.notes.join(), /identified by index links_uq_2/);

  const fewer = planSetup(catalogue({ tables: [{ ...servers, columns: ["id"] }] }), [SERVERS]);
  assert.match(fewer.notes.join(), /rhnServer has no name here/);
  assert.match(fewer.steps[0]?.sql ?? "", /"rhnserver" \("id"\)/);
});

Deno.test("planSetup() refuses what would fail or harm, all at once, and then plans nothing", () => {
  const cases: [Partial<Catalogue>, RegExp][] = [
    [{ walLevel: "replica" }, /ALTER SYSTEM SET wal_level/],
    [{ slotKeepMb: -1 }, /max_slot_wal_keep_size is unlimited/],
    [{ slotsUsed: 10 }, /all 10 replication slots are taken/],
    [{ sendersMax: 0 }, /max_wal_senders is 0/],
    [{ mayReplicate: false }, /may not replicate/],
    [{ mayCreate: false }, /may not create a publication/],
    [{ tables: [servers] }, /table rhnServerChannel does not exist/],
    [{ tables: [servers, { ...links, owned: false }] }, /belongs to another role/],
    [{ tables: [servers, { ...links, columns: ["server_id"] }] }, /has no column channel_id/],
    [{ tables: [servers, { ...links, indexes: [] }] }, /no unique index over exactly server_id, channel_id/],
    [
      {
        tables: [servers, {
          ...links,
          indexes: [index("links_uq", ["server_id", "channel_id"], { usable: false })],
        }],
      },
      /no unique index/,
    ],
    [{ publication: { comment: null, complete: true, allTables: true, tables: [] } }, /FOR ALL TABLES/],
  ];
  for (const [change, problem] of cases) {
    const plan = planSetup(catalogue(change), [SERVERS, LINKS]);
    assert.match(plan.problems.join(), problem);
    assert.deepEqual(plan.steps, [], String(problem));
  }
  const all = Object.assign({}, ...cases.slice(0, 2).map(([change]) => change));
  assert.equal(planSetup(catalogue(all), [SERVERS, LINKS]).problems.length, 2);
  const own = [{ name: "salar_1", here: true, active: true, walStatus: "reserved", confirmed: "0/1" }];
  assert.deepEqual(planSetup(catalogue({ slotsUsed: 10, slots: own }), [SERVERS, LINKS]).problems, []);
});

Deno.test("planUninstall() drops slots first, then the publication, then restores identities", () => {
  const slot = { name: "salar_3", here: true, active: false, walStatus: "lost", confirmed: null };
  const elsewhere = { ...slot, name: "salar_9", here: false };
  const plan = planUninstall(catalogue({ ...afterSetup("FULL"), slots: [slot, elsewhere] }));
  assert.deepEqual(plan.slots.map(({ sql }) => sql), ["SELECT pg_drop_replication_slot('salar_3')"]);
  assert.deepEqual(plan.steps.map(({ sql }) => sql), [
    'DROP PUBLICATION "salar"',
    'ALTER TABLE "public"."rhnserverchannel" REPLICA IDENTITY FULL',
  ]);
  assert.deepEqual(planUninstall(catalogue()).steps, []);
});

Deno.test("planUninstall() leaves an identity that somebody else changed, or that cannot come back", () => {
  const changed = planUninstall(
    catalogue({ ...afterSetup(), tables: [servers, { ...links, identity: "f" }] }),
  );
  assert.deepEqual(changed.steps.length, 1);
  assert.match(changed.notes.join(), /changed since/);
  const gone = planUninstall(catalogue(afterSetup('USING INDEX "dropped"')));
  assert.deepEqual(gone.steps.length, 1);
});

Deno.test("planUninstall() does not take the slot from a running agent", () => {
  const slot = { name: "salar_3", here: true, active: true, walStatus: "reserved", confirmed: "0/1" };
  const plan = planUninstall(catalogue({ ...afterSetup(), slots: [slot] }));
  assert.match(plan.problems.join(), /stop the node agent/);
  assert.deepEqual([...plan.slots, ...plan.steps], []);
});

Deno.test("printPlan() prints SQL that psql runs, every comment on a line of its own", () => {
  const text = printPlan(planSetup(catalogue(), [SERVERS, LINKS]));
  assert.match(text, /^BEGIN;\nSET LOCAL lock_timeout = \d+;\n-- .+\nALTER TABLE .+;\n[^]*COMMIT;$/);
  assert.equal(printPlan(planSetup(catalogue(afterSetup()), [SERVERS, LINKS])), "-- Nothing to do.");
});
