/** What keeps the functions' program from starting is said in one line that names it: no stack, exit code 1. */
import assert from "node:assert/strict";
import { refusedStart, startFunctions } from "./functions_program.ts";

Deno.test("a port that is taken refuses the start, and is named", async () => {
  await using program = await startFunctions();
  const port = Number(new URL(program.url).port);
  const { code, said } = await refusedStart({ port });
  assert.equal(code, 1);
  assert.equal(
    said.trim(),
    `Cannot listen on 127.0.0.1 port ${port}: another program listens there; end it or choose another port`,
  );
});

Deno.test("a configuration, key or store that cannot be read refuses the start, and is named", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const junk = `${folder}/junk`;
    await Deno.writeTextFile(junk, "no key, no JSON, no database; long enough to be looked at ".repeat(100));
    const cases: [string[], RegExp][] = [
      [["--config", `${folder}/absent`], /^Cannot read configuration .*absent: /],
      [["--config", junk], /junk: is not a JSON object/],
      [
        ["--cluster-key-file", junk],
        /^Cannot read identity key: it is not a private key in PEM: .*junk; restore it/,
      ],
      [["--store-path", junk], /^Cannot open store .*junk: Requires write access/], // by deno.json: not below its data
      [["--htp-port", "1"], /--htp-port: is not known; did you mean --http-port\?/],
    ];
    for (const [args, reason] of cases) {
      const { code, said } = await refusedStart({ args });
      assert.deepEqual([code, reason.test(said), /^\s+at /m.test(said)], [1, true, false], said);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
