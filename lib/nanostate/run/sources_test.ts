import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { PlanStep } from "../plan.ts";
import type { ControllerFiles } from "./run.ts";
import { localPath, Sources } from "./sources.ts";
import { NO_FILES } from "./testing.ts";

const STEP: PlanStep = {
  kind: "module",
  id: "a/0",
  from: "s/a",
  at: "states/s.st:4:7",
  module: "m",
  args: {},
};
const SHA256 = (text: string) => createHash("sha256").update(text).digest("hex");

/** Files by path; what is read is counted. */
function filesOf(texts: Record<string, string>): ControllerFiles & { reads: string[] } {
  const reads: string[] = [];
  return {
    ...NO_FILES,
    reads,
    walk(path) {
      const text = texts[path];
      if (text === undefined) return Promise.resolve(null);
      const read = async function* () {
        reads.push(path);
        yield await Promise.resolve(new TextEncoder().encode(texts[path]));
      };
      return Promise.resolve([{ path: "", type: "file", mode: 0o644, size: text.length, read }]);
    },
  };
}
const source = (path: string) => [{ path, under: "", folder: false, follow: true }];

Deno.test("localPath() is relative to the folder of the step's state file", () => {
  assert.equal(localPath(STEP, "data/x"), "states/data/x");
  assert.equal(localPath(STEP, "/data/x"), "/data/x");
});

Deno.test("wireFiles() walks and hashes a file once; hosts that ask at once share a read", async () => {
  const files = filesOf({ "states/x": "text" });
  const sources = new Sources(files);
  const found = await sources.wireFiles(STEP, source("x"));
  assert.deepEqual(found, await sources.wireFiles(STEP, source("x")));
  const sha1 = createHash("sha1").update("text").digest("hex");
  assert.deepEqual(found, [{ path: "", type: "file", mode: 0o644, blob: SHA256("text"), sha1, size: 4 }]);
  assert.equal(files.reads.length, 1);
  const [a, b] = [sources.read(SHA256("text")), sources.read(SHA256("text"))];
  assert.equal(new TextDecoder().decode(await a ?? undefined), "text");
  assert.equal(await a, await b);
  assert.equal(files.reads.length, 2);
  assert.equal(sources.read(SHA256("other")), null);
});

Deno.test("read() sends nothing of a file that changed after it was hashed", async () => {
  for (const changed of ["texT", "longer text"]) {
    const texts = { "/x": "text" };
    const sources = new Sources(filesOf(texts));
    await sources.wireFiles(STEP, source("/x"));
    texts["/x"] = changed;
    await assert.rejects(sources.read(SHA256("text")) ?? Promise.resolve(), /it changed while the run/);
  }
});

Deno.test("wireFiles() refuses a file that is not there, and a folder where a file is meant", async () => {
  const sources = new Sources(filesOf({}));
  await assert.rejects(sources.wireFiles(STEP, source("x")), /Cannot send states\/x: there is no such file/);
  const folder: ControllerFiles = {
    ...NO_FILES,
    walk: () =>
      Promise.resolve([{ path: "", type: "folder", mode: 0o755, size: 0, read: async function* () {} }]),
  };
  await assert.rejects(new Sources(folder).wireFiles(STEP, source("x")), /it is a folder/);
});
