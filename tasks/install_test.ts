import assert from "node:assert/strict";
import { installLauncher } from "./install.ts";

/** A stand-in clone, at a path with a blank and a quote, whose admin tool prints its arguments. */
async function makeClone(): Promise<string> {
  const clone = `${await Deno.makeTempDir()}/it's a clone`;
  await Deno.mkdir(`${clone}/cli`, { recursive: true });
  await Deno.writeTextFile(`${clone}/deno.json`, '{ "permissions": { "cli": { "read": true } } }');
  const tool = 'console.log(JSON.stringify(Deno.args), Deno.permissions.querySync({ name: "run" }).state);';
  await Deno.writeTextFile(`${clone}/cli/main.ts`, tool);
  return clone;
}

Deno.test("installLauncher() writes a command that runs the clone's tool, with its arguments and permissions", async () => {
  const clone = await makeClone();
  for (const deno of [Deno.execPath(), "/nowhere/deno"]) { // the second time through npx
    const path = await installLauncher(`${clone}/bin`, { clone, deno });
    const output = await new Deno.Command(path, { args: ["a b", "--json", "$HOME"], cwd: "/" }).output();
    const said = new TextDecoder().decode(output.stdout).trim();
    assert.equal(said, '["a b","--json","$HOME"] prompt', new TextDecoder().decode(output.stderr));
  }
});

Deno.test("installLauncher() leaves a foreign program alone", async () => {
  const folder = await Deno.makeTempDir();
  await Deno.writeTextFile(`${folder}/salar`, "something else");
  const launcher = { clone: "/clone", deno: "/deno" };
  await assert.rejects(installLauncher(folder, launcher), /another program is there/);
  assert.equal(await Deno.readTextFile(`${folder}/salar`), "something else");
});
