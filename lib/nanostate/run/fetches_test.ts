import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { JsonObject } from "../json.ts";
import { Fetches } from "./fetches.ts";
import type { ReadyStep } from "./prepare.ts";
import type { ControllerFiles } from "./run.ts";
import { NO_FILES } from "./testing.ts";

const sha1Of = (text: string) => createHash("sha1").update(text).digest("hex");
const bytes = (text: string) => new TextEncoder().encode(text);
const ARGS = { src: "/etc/x", dest: "/got" };
const READY: ReadyStep = {
  step: {
    kind: "module",
    id: "a/0",
    from: "s/a",
    at: "s.st:4:7",
    module: "ansible.builtin.fetch",
    args: ARGS,
  },
  group: "a",
  work: {
    kind: "agent",
    wire: { kind: "module", id: "a/0", module: "ansible.builtin.fetch", args: ARGS, action: "fetch" },
  },
};

/** Keeps what arrives in memory. */
function memory() {
  const kept = new Map<string, string>();
  const taken: string[] = [];
  let dropped = 0;
  const files: ControllerFiles = {
    ...NO_FILES,
    async receive(_near, pieces) {
      let text = "";
      for await (const piece of pieces) {
        taken.push(new TextDecoder().decode(piece));
        text += taken.at(-1);
      }
      return {
        sha1: sha1Of(text),
        keep: (path) => {
          const changed = kept.get(path) !== text;
          kept.set(path, text);
          return Promise.resolve(changed);
        },
        drop: () => Promise.resolve(void dropped++),
      };
    },
  };
  return { files, kept, taken, dropped: () => dropped };
}

async function resultOf(fetches: Fetches, result: JsonObject): Promise<JsonObject> {
  const wire = await fetches.finished({
    step: "a/0",
    kind: "module",
    ms: 1,
    result,
    stderr: "",
    timedOut: false,
  });
  assert.ok(wire.kind === "module");
  return wire.result;
}

Deno.test("a fetched file goes below dest by host and path; a piece is taken before the next one comes", async () => {
  const { files, kept, taken } = memory();
  const fetches = new Fetches(files, "web-1", [READY]);
  await fetches.take({ step: "a/0", bytes: bytes("one ") });
  assert.deepEqual(taken, ["one "]);
  await fetches.take({ step: "a/0", bytes: bytes("two") });
  const result = await resultOf(fetches, { file: "/etc/x", checksum: sha1Of("one two") });
  assert.deepEqual([result["changed"], result["dest"]], [true, "/got/web-1/etc/x"]);
  assert.deepEqual([...kept], [["/got/web-1/etc/x", "one two"]]);
});

Deno.test("an empty file, which comes without a piece, is fetched, too; the same again is no change", async () => {
  const { files, kept } = memory();
  const answer = { file: "/etc/x", checksum: sha1Of("") };
  assert.equal((await resultOf(new Fetches(files, "h", [READY]), answer))["changed"], true);
  assert.equal((await resultOf(new Fetches(files, "h", [READY]), answer))["changed"], false);
  assert.deepEqual([...kept], [["/got/h/etc/x", ""]]);
});

Deno.test("what arrived otherwise than the host says, or only half, is forgotten", async () => {
  const { files, kept, dropped } = memory();
  const fetches = new Fetches(files, "h", [READY]);
  await fetches.take({ step: "a/0", bytes: bytes("half") });
  const result = await resultOf(fetches, { file: "/etc/x", checksum: sha1Of("whole") });
  assert.deepEqual([result["failed"], result["msg"]], [true, "checksum mismatch"]);
  const broken = new Fetches(files, "h", [READY]);
  await broken.take({ step: "a/0", bytes: bytes("half") });
  await broken.drop();
  assert.deepEqual([dropped(), kept.size], [2, 0]);
});

Deno.test("a host that names another path than it was asked for cannot write beyond dest", async () => {
  const { files, kept, dropped } = memory();
  const fetches = new Fetches(files, "h", [READY]);
  const result = await resultOf(fetches, { file: "/../../root/.ssh/x", checksum: sha1Of("") });
  assert.equal(result["failed"], true);
  assert.deepEqual([dropped(), kept.size], [1, 0]);
});

Deno.test("what cannot be stored here fails its step, with the reason", async () => {
  const files: ControllerFiles = { ...NO_FILES, receive: () => Promise.reject(new Error("no space left")) };
  const fetches = new Fetches(files, "h", [READY]);
  for (const piece of ["one", "two"]) await fetches.take({ step: "a/0", bytes: bytes(piece) });
  const result = await resultOf(fetches, { file: "/etc/x", checksum: sha1Of("onetwo") });
  assert.deepEqual([result["failed"], result["msg"]], [true, "Cannot fetch /etc/x: no space left"]);
});
