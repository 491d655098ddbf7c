/** The node agent's program as an administrator meets it: what it prints, what it leaves behind, what it never shows. */
import assert from "node:assert/strict";
import { startPostgres } from "../parts/postgres.ts";
import { CAPTURE_SETTINGS, createUyuni } from "./capture_support.ts";

const PROGRAM = new URL("../../agents/node/main.ts", import.meta.url).pathname;

Deno.test("salar-node prepares a database, says so, and takes it all away again", async (t) => {
  await using postgres = await startPostgres({ logical: true, settings: CAPTURE_SETTINGS });
  const database = await createUyuni(postgres, "uyuni");
  const folder = await Deno.makeTempDir();
  await Deno.writeTextFile(`${folder}/password`, database.password.reveal(), { mode: 0o600 });
  const flags = [
    ...["--folder", `${folder}/state`],
    ...["--database-port", `${database.port}`, "--database-name", "uyuni", "--database-user", database.user],
    ...["--database-password-file", `${folder}/password`],
  ];

  /** Runs it with the rights that deno.json gives it, and this test's folder. */
  async function program(...args: string[]): Promise<{ code: number; out: string; err: string }> {
    const command = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--no-prompt",
        "-P=node-agent",
        `--allow-read=${folder}`,
        `--allow-write=${folder}`,
        PROGRAM,
        ...args,
      ],
    });
    const { code, stdout, stderr } = await command.output();
    const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return { code, out: decode(stdout), err: decode(stderr) };
  }
  const published = () => postgres.sql("select count(*) from pg_publication_rel", "uyuni");

  await t.step("--help names every command and key", async () => {
    const { code, out } = await program("--help");
    assert.equal(code, 0);
    for (
      const word of [
        "setup [--dry-run]",
        "uninstall",
        "status",
        "--database-password-file",
        "SALAR_NATS_SERVERS",
      ]
    ) {
      assert(out.includes(word), word);
    }
  });

  await t.step("setup --dry-run prints SQL that psql runs, and runs nothing", async () => {
    const { code, out, err } = await program("setup", ...flags, "--dry-run");
    assert.equal(code, 0, err);
    assert.equal(await published(), "0");
    await postgres.sql(out, "uyuni");
    assert.equal(await published(), "5");
    assert.match((await program("setup", ...flags)).out, /^(-- Note: .*\n)*-- Nothing to do.\n$/);
  });

  await t.step("uninstall takes it away", async () => {
    assert.equal((await program("uninstall", ...flags)).code, 0);
    assert.equal(await published(), "0");
    assert.equal((await program("uninstall", ...flags)).out, "-- Nothing to do.\n");
  });

  await t.step("problems are printed together, and end with 1", async () => {
    await postgres.sql("alter system set max_slot_wal_keep_size = -1");
    await postgres.sql("drop index rhn_sc_sid_cid_uq", "uyuni");
    await postgres.sql("select pg_reload_conf()");
    const { code, out } = await program("setup", ...flags);
    assert.equal(code, 1);
    assert.match(out, /rhnServerChannel has no unique index/);
    assert.equal(await published(), "0");
  });

  await t.step("a password is nowhere in what it prints, nor is it taken from the command line", async () => {
    const closedPort = flags.map((flag) => flag === `${database.port}` ? "1" : flag);
    const wrong = await program("setup", ...closedPort);
    assert.match(wrong.err, /Cannot reach database "uyuni" at 127.0.0.1:1: /);
    const argv = await program("setup", ...flags, "--database-password", "x");
    assert.match(argv.err, /--database-password/);
    const unreachable = await program(
      "setup",
      ...flags.slice(0, -2),
      "--database-password-file",
      `${folder}/none`,
    );
    assert.match(unreachable.err, /is not there/);
    for (const { out, err } of [wrong, argv, unreachable]) {
      assert.equal((out + err).includes(database.password.reveal()), false);
    }
  });

  await t.step("status of a node that never enrolled", async () => {
    assert.equal((await program("status", ...flags)).out, "not enrolled\n");
  });
  await Deno.remove(folder, { recursive: true });
});
