/**
 * The states that ship: nothing is wrong with them, and each compiles to what states/*.txt here shows, in each form.
 *
 * `deno test -A tests/nanostate/states_compile_test.ts -- --write` writes what is compiled now; the difference is then reviewed.
 */
import assert from "node:assert/strict";
import { compileState } from "../../lib/nanostate/compile.ts";
import { explainPlan } from "../../lib/nanostate/explain.ts";
import type { JsonObject } from "../../lib/nanostate/json.ts";
import { findingText, lintStates } from "../../lib/nanostate/lint.ts";
import { indexStates } from "../../lib/nanostate/state_index.ts";

const STATES = new URL("../../states/", import.meta.url);
const SHOWN = new URL("states/", import.meta.url);

const names = [...Deno.readDirSync(STATES)].filter(({ isFile }) => isFile).map(({ name }) => name).sort();
const files = names.map((name) => ({
  path: `states/${name}`,
  bytes: Deno.readFileSync(new URL(name, STATES)),
}));
const index = indexStates(files);

const NEEDED = {
  package: "/srv/salar-agent-0.1.0-0123456789ab.tar.gz",
  director_url: "https://salar.example",
  nats_servers: "nats-1.example:4222,nats-2.example:4222",
  packages_source: "store.example:/packages",
};

/** Name of the file → state and parameters: each state as it is by itself, and what its parameters change. */
const CASES: [string, string, JsonObject][] = [
  ...index.states.map(({ id }): [string, string, JsonObject] => [id ?? "", id ?? "", {}]),
  ["node-staging.container", "node-staging", { uyuni: "container" }],
  ["node-staging.golden", "node-staging", { golden: "/srv/golden.dump", wipe: "yes", stamp: "second" }],
  ["node-agent.sysv", "node-agent", {
    ...{ init: "sysv", nats_access: "seed", ca: "PEM", name: "uyuni-1", capacity: "500", weight: 2 },
  }],
  ["node-agent.root", "node-agent", { agent_user: "root", staging_key_file: "/etc/salar/staging.key" }],
  ["client-agent.sysv", "client-agent", { init: "sysv", ca: "PEM", name: "web-1" }],
  ["packages.seaweedfs", "packages", { packages: "seaweedfs", weed: "/srv/weed" }],
];

Deno.test("states that ship: lint finds nothing", () => {
  const findings = lintStates(index, files.map(({ path }) => path));
  assert.deepEqual(findings.map(findingText), []);
});

for (const [name, id, params] of CASES) {
  Deno.test(`states that ship: ${name} compiles to what is shown, without facts`, () => {
    const path = new URL(`${name}.txt`, SHOWN);
    const plan = explainPlan(compileState(index, id, { params: { ...NEEDED, ...params } }));
    if (Deno.args.includes("--write")) Deno.writeTextFileSync(path, plan);
    else assert.equal(plan, Deno.readTextFileSync(path));
  });
}

Deno.test("states that ship: a parameter that cannot be meant is refused, with what it may be", () => {
  const cases: [string, JsonObject, RegExp][] = [
    ["node-identify", { uyuni: "docker" }, /"classic" or "container"/],
    ["node-identify", { release: "5 or newer" }, /release has characters/],
    ["node-empty", { wipe: "perhaps" }, /it is "yes" or "no"/],
    ["node-backup", { stamp: "../.." }, /stamp is/],
    ["node-reset", { golden: "dump; rm -rf /" }, /golden is no absolute path/],
    ["node-replication", { slot_keep_mb: "20GB" }, /whole number of megabytes/],
    ["node-agent", { package: "agent.zip" }, /it is a .tar.gz/],
    ["node-agent", { init: "openrc" }, /"systemd" or "sysv"/],
    ["node-agent", { agent_user: "wwwrun" }, /"salar" or "root"/],
    ["node-agent", { nats_access: "password" }, /"seed" or "none"/],
    ["packages", { packages: "ipfs" }, /seaweedfs, nfs, cephfs, glusterfs or none/],
    ["packages-nfs", { packages_source: "a:/b c" }, /cannot have/],
  ];
  for (const [id, params, reason] of cases) {
    assert.throws(() => compileState(index, id, { params: { ...NEEDED, ...params } }), reason, id);
  }
});

Deno.test("states that ship: every command that destroys is held back by the mark of its staging", () => {
  const { groups } = compileState(index, "node-staging", {
    params: { ...NEEDED, golden: "/srv/golden.dump" },
  });
  const commands = groups.flatMap(({ steps }) => steps).flatMap((step) =>
    step.kind === "shell" ? step.commands : []
  );
  const destroying = commands.filter(({ run }) =>
    /-delete|replace_database|empty_database|services? stop/.test(`${run}`)
  );
  assert.ok(destroying.length >= 14, `${destroying.length} found`);
  for (const { name, creates } of destroying) assert.match(`${creates}`, /\/emptied$/, name);
});
