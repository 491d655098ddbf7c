/** The table of docs/tikv.md, "Conformance": the tests that it names are there. */
import assert from "node:assert/strict";

const ROW = /^\| (?<behaviour>[^|]+) \| (?<shown>`[^|]+) \| (?<servers>[RSF, ]+) \|$/;
const FILE = /`(?<path>[^`]+)`(?<names>(?: "[^"]+")+)/g;

Deno.test("every test that the list of conformance names exists", async () => {
  const page = await Deno.readTextFile(new URL("../../docs/tikv.md", import.meta.url));
  const [, section = ""] = page.split("\n## Conformance\n");
  const lines = section.split("\n## ")[0]?.split("\n") ?? [];
  const rows = lines.map((line) => ROW.exec(line)?.groups).filter((groups) => groups !== undefined);
  assert.ok(rows.length >= 20, `${rows.length} rows`);
  for (const { behaviour, shown = "" } of rows) {
    const files = [...shown.matchAll(FILE)].map(({ groups }) => groups ?? {});
    assert.ok(files.length > 0, `${behaviour}: names no test`);
    for (const { path = "", names = "" } of files) {
      const source = await Deno.readTextFile(new URL(`../../${path}`, import.meta.url));
      for (const [, name = ""] of names.matchAll(/"([^"]+)"/g)) {
        assert.ok(source.includes(name), `${behaviour}: ${path} has no test "${name}"`);
      }
    }
  }
});
