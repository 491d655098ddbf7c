import assert from "node:assert/strict";
import { coloured, detailLines, plain, tableWriter } from "./table.ts";

Deno.test("tableWriter() aligns cells under a header, numbers at their right end", () => {
  const write = tableWriter([{ title: "NODE" }, { title: "SYSTEMS", right: true }, { title: "WHY" }], plain);
  const rows = [[{ text: "node-1" }, { text: "7" }, { text: "" }], [{ text: "n2" }, { text: "120" }, {
    text: "new",
  }]];
  assert.equal(
    write(rows),
    `NODE    SYSTEMS  WHY
node-1        7
n2          120  new
`,
  );
});

Deno.test("tableWriter() writes the header once, and keeps the columns of the pages before", () => {
  const write = tableWriter([{ title: "A" }, { title: "B" }], plain);
  assert.equal(write([[{ text: "long one" }, { text: "x" }]]), "A         B\nlong one  x\n");
  assert.equal(write([[{ text: "s" }, { text: "y" }]]), "s         y\n");
});

Deno.test("tableWriter() writes the header alone when there is no row", () => {
  assert.equal(tableWriter([{ title: "A" }, { title: "B" }], plain)([]), "A  B\n");
});

Deno.test("tableWriter() does not let a name steer the terminal", () => {
  const [, line = ""] = tableWriter([{ title: "A" }], plain)([[{ text: "x\x1b[2J\r\ny\u202e" }]]).split("\n");
  assert.equal(line, "x?[2J??y?");
});

Deno.test("tableWriter() pads by what is seen, not by colours", () => {
  const write = tableWriter([{ title: "S" }, { title: "B" }], coloured);
  const [, line] = write([[{ text: "ok", tone: "good" }, { text: "b" }]]).split("\n");
  assert.equal(line, "\x1b[32mok\x1b[0m  b");
});

Deno.test("detailLines() puts values under each other", () => {
  assert.equal(
    detailLines([{ title: "A", text: "1" }, { title: "LONG", text: "" }], plain),
    "A     1\nLONG\n",
  );
});
