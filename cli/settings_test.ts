import assert from "node:assert/strict";
import { EXIT } from "./exit.ts";
import { run, type TestOptions, TOKEN_FILE } from "./testing.ts";

const LOGIN_FILE = "/home/u/.config/salar/cli.json";

/** Where a listing of zones goes, and with which token. */
async function asked(args: string[], options: TestOptions = {}): Promise<string> {
  const seen: string[] = [];
  const { exit, stderr } = await run(["zones", "list", ...args], {
    ...options,
    fetch(request) {
      const { origin, pathname } = new URL(request.url);
      const base = origin + pathname.replace("/v1/zones", "");
      seen.push(`${base} ${request.headers.get("authorization")?.replace("Bearer ", "") ?? "-"}`);
      return Promise.resolve(Response.json({ items: [], next: null }));
    },
  });
  return exit === EXIT.ok ? seen.join() : `${exit} ${stderr.split("\n")[0]}`;
}

Deno.test("settings come from flags, then the environment, then the login, then what the demo leaves", async () => {
  const login = JSON.stringify({ server: "https://login", tokenFile: "/l" });
  const files = { [LOGIN_FILE]: login, "/l": "of-login\n", "/e": "of-env", "/here/f": "of-flag" };
  const env = { SALAR_SERVER: "https://env", SALAR_TOKEN_FILE: "/e" };
  assert.equal(await asked([]), "http://127.0.0.1:8480 -");
  assert.equal(await asked([], { files: { [TOKEN_FILE]: "dev\n" } }), "http://127.0.0.1:8480 dev");
  assert.equal(await asked([], { files }), "https://login of-login");
  assert.equal(await asked([], { files, env }), "https://env of-env");
  assert.equal(
    await asked(["--server", "https://flag/base/", "--token-file", "f"], { files, env }),
    "https://flag/base of-flag",
  );
});

Deno.test("a token goes only to the server that it was given for", async () => {
  const login = JSON.stringify({ server: "https://login", tokenFile: "/l" });
  const files = { [LOGIN_FILE]: login, "/l": "of-login", [TOKEN_FILE]: "dev" };
  assert.equal(await asked(["--server", "https://other"], { files }), "https://other -");
  assert.equal(await asked(["--server", "http://localhost:9000"], { files }), "http://localhost:9000 dev");
});

Deno.test("what cannot be used is refused before anything is asked", async () => {
  const refused = async (args: string[], options: TestOptions, pattern: RegExp) =>
    assert.match(await asked(args, options), pattern);
  await refused(["--server", "http://salar.example"], {}, /^2 .*https:\/\/ is needed beyond this machine/);
  await refused(["--server", "nonsense"], {}, /^2 .*it is no address/);
  await refused(["--server", "https://u:p@h"], {}, /^2 .*it is no address/);
  await refused(["--token-file", "gone"], {}, /^2 .*\/here\/gone is not there/);
  await refused(["--token-file", "two"], { files: { "/here/two": "a\nb\n" } }, /^2 .*more than one token/);
  await refused([], { files: { [LOGIN_FILE]: "{" } }, /^2 .*log in again or remove it/);
});

Deno.test("salar login writes address and path, for the owner alone, once the server has answered", async () => {
  const args = ["login", "--server", "https://s/", "--token-file", "t"];
  const files = { "/here/t": "secret-token" };
  const refused = await run(args, { files });
  assert.equal(refused.exit, EXIT.unreachable);
  assert.equal(refused.files.has(LOGIN_FILE), false);

  const fetch = () => Promise.resolve(Response.json({ items: [], next: null }));
  const { exit, files: after, modes } = await run(args, { files, fetch });
  assert.equal(exit, EXIT.ok);
  assert.deepEqual(JSON.parse(after.get(LOGIN_FILE) ?? ""), { server: "https://s", tokenFile: "/here/t" });
  assert.equal(modes.get(LOGIN_FILE), 0o600);
});
