/** Our reading of import statements against Python's own parser, over thousands of files that people wrote. */
import assert from "node:assert/strict";
import { latin1 } from "../../lib/nanostate/modules/module_kind.ts";
import { importsOf } from "../../lib/nanostate/modules/python_imports.ts";
import { ensureAnsible } from "../parts/ansible.ts";
import { run } from "../parts/command.ts";
import oracle from "./python_ast_imports.py" with { type: "text" };

const FILES_MIN = 1_500;
const LIMIT_MS = 180_000;

Deno.test("importsOf() finds in Ansible, its libraries and Python's own what Python's parser finds there", async () => {
  const { python, package: folder } = await ensureAnsible("2.19.14");
  const { stdout } = await run(python, ["-c", 'import sysconfig; print(sysconfig.get_path("stdlib"))']);
  const paths = [folder.replace(/\/ansible$/, ""), stdout.trim()].flatMap(pythonFilesBelow);
  assert.ok(paths.length > FILES_MIN, `only ${paths.length} files are there to compare`);

  const list = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(list, paths.map((path) => `${path}\n`).join(""));
    const shell = ["-c", '"$0" -c "$1" < "$2"', python, oracle, list];
    const lines = (await run("/bin/sh", shell, { limitMs: LIMIT_MS })).stdout.trimEnd().split("\n");
    assert.equal(lines.length, paths.length);

    let compared = 0;
    for (const [index, path] of paths.entries()) {
      const expected: unknown = JSON.parse(lines[index] ?? "");
      if (expected === null) continue; // Python 2, or broken on purpose for its tests
      const found = importsOf(latin1(Deno.readFileSync(path)));
      assert.deepEqual(
        found.map(({ level, from, names, required }) => [level, from, names, required]),
        expected,
        path,
      );
      compared++;
    }
    assert.ok(compared > FILES_MIN, `only ${compared} files could be compared`);
  } finally {
    await Deno.remove(list);
  }
});

function pythonFilesBelow(folder: string): string[] {
  return [...Deno.readDirSync(folder)].flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory) return pythonFilesBelow(path);
    return entry.isFile && entry.name.endsWith(".py") ? [path] : [];
  });
}
