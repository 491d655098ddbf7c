import assert from "node:assert/strict";
import { z } from "zod";
import { configHelp, configPath, type ConfigSources, explain, parseConfig, readSecret } from "./config.ts";
import { isSalarError, type Problem } from "./errors.ts";

const schema = z.object({
  storePath: z.string().default("salar.db").describe("Where the store lies"),
  port: z.int().min(0).max(65_535).default(8480),
  servers: z.array(z.string()).default([]),
  verbose: z.boolean().default(false),
  uyuniPasswordFile: z.string().optional(),
});

const nothing: ConfigSources = { args: [], env: {}, file: null };

function problemsOf(sources: Partial<ConfigSources>): Problem[] {
  try {
    parseConfig(schema, { ...nothing, ...sources });
  } catch (error) {
    assert.ok(isSalarError(error, "bad-config"));
    return error.detail["problems"] as Problem[];
  }
  assert.fail("it was accepted");
}

Deno.test("parseConfig() takes flag before environment before file before default, and says which", () => {
  const file = {
    path: "c.json",
    text: '{ "port": 3, "storePath": "from-file", /* why */ "servers": ["x"] } // end',
  };
  const env = { SALAR_PORT: "2", SALAR_STORE_PATH: "from-env", HOME: "/root" };
  const { value, origins } = parseConfig(schema, { args: ["--port", "1"], env, file });
  assert.deepEqual(value, { port: 1, storePath: "from-env", servers: ["x"], verbose: false });
  assert.deepEqual(origins, {
    storePath: "environment",
    port: "flag",
    servers: "file",
    verbose: "default",
    uyuniPasswordFile: "default",
  });
});

Deno.test("parseConfig() reads lists, switches and = in flags and environment", () => {
  const parse = (args: string[], env = {}) => parseConfig(schema, { ...nothing, args, env }).value;
  assert.deepEqual(parse(["--servers=a,b", "--servers", "c", "--verbose"]).servers, ["a", "b", "c"]);
  assert.equal(parse(["--verbose", "--port=7"]).verbose, true);
  assert.equal(parse(["--no-verbose"], { SALAR_VERBOSE: "1" }).verbose, false);
  assert.equal(parse([], { SALAR_VERBOSE: "1" }).verbose, true);
  assert.deepEqual(parse([], { SALAR_SERVERS: "a, b" }).servers, ["a", "b"]);
  assert.equal(parse(["--store-path=a=b"]).storePath, "a=b");
});

Deno.test("parseConfig() reports every problem of all sources together, by the name it was given under", () => {
  const problems = problemsOf({
    args: ["--prot", "1", "stray", "--store-path"],
    env: { SALAR_PORT: "many", SALAR_STORE_PTAH: "x" },
    file: { path: "c.json", text: '{ "verbos": true, "servers": "a" }' },
  });
  assert.deepEqual(problems.map(({ field }) => field), [
    "stray",
    "--store-path",
    "--prot",
    "SALAR_STORE_PTAH",
    "c.json: verbos",
    "SALAR_PORT",
    "servers",
  ]);
  assert.match(problems[2]?.reason ?? "", /did you mean --port\?/);
  assert.match(problems[3]?.reason ?? "", /did you mean SALAR_STORE_PATH\?/);
  assert.match(problems[4]?.reason ?? "", /did you mean verbose\?/);
});

Deno.test("parseConfig() leaves what another program reads from the environment alone, and from there only", () => {
  const env = { SALAR_SERVER: "https://salar.example", SALAR_TOKEN_FILE: "t", SALAR_UYUNI_URL: "https://u" };
  assert.equal(parseConfig(schema, { ...nothing, env }).value.port, 8480);
  const file = { path: "c.json", text: '{ "server": "https://salar.example" }' };
  const problems = problemsOf({ args: ["--server", "x"], env: { SALAR_SERVRE: "x" }, file });
  assert.deepEqual(problems.map(({ field }) => field), ["--server", "SALAR_SERVRE", "c.json: server"]);
});

Deno.test("parseConfig() refuses a flag given twice, a broken file and a password in a URL", () => {
  assert.match(problemsOf({ args: ["--port", "1", "--port", "2"] })[0]?.reason ?? "", /more than once/);
  assert.match(problemsOf({ file: { path: "c.json", text: "[1]" } })[0]?.reason ?? "", /not a JSON object/);
  assert.match(problemsOf({ file: { path: "c.json", text: "{" } })[0]?.reason ?? "", /not a JSON object/);
  const [problem] = problemsOf({ args: ["--store-path", "postgres://me:hunter2@host/db"] });
  assert.match(problem?.reason ?? "", /password/);
  assert.ok(!JSON.stringify(problem).includes("hunter2"));
});

Deno.test("parseConfig() does not take a schema whose key would hold a secret itself", () => {
  assert.throws(() => parseConfig(z.object({ uyuniPassword: z.string() }), nothing), /ends in "File"/);
});

Deno.test("parseConfig() leaves what looks like a comment inside a string alone", () => {
  const file = { path: "c.json", text: '{ "storePath": "http://a/*b*/\\"//c" }' };
  assert.equal(parseConfig(schema, { ...nothing, file }).value.storePath, 'http://a/*b*/"//c');
});

Deno.test("configPath() finds the file by flag, then by environment", () => {
  assert.equal(configPath({ args: ["--verbose", "--config", "a"], env: { SALAR_CONFIG: "b" } }), "a");
  assert.equal(configPath({ args: [], env: { SALAR_CONFIG: "b" } }), "b");
  assert.equal(configPath(nothing), null);
  assert.equal(
    parseConfig(schema, { ...nothing, args: ["--config", "a"], env: { SALAR_CONFIG: "b" } }).value.port,
    8480,
  );
});

Deno.test("explain() shows what is in force, where it came from, and of a secret only the path", () => {
  const text = explain(parseConfig(schema, { ...nothing, args: ["--uyuni-password-file", "/run/pw"] }));
  assert.match(text, /storePath +salar\.db +default/);
  assert.match(text, /uyuniPasswordFile +\[secret\] in \/run\/pw +flag/);
});

Deno.test("configHelp() names every flag with its variable, meaning and default", () => {
  assert.match(
    configHelp(schema),
    /--store-path +SALAR_STORE_PATH +Where the store lies \(default "salar\.db"\)/,
  );
});

Deno.test("readSecret() gives the text without its line end and names what is missing", async () => {
  const disk = (text: string | null) => ({
    read: () => Promise.resolve(text === null ? null : new TextEncoder().encode(text)),
  });
  assert.equal((await readSecret(disk("pa ss\n"), "--pw-file", "/pw")).reveal(), "pa ss");
  for (const text of [null, "\n"]) {
    await assert.rejects(
      readSecret(disk(text), "--pw-file", "/pw"),
      (error) => isSalarError(error, "bad-config"),
    );
  }
});
