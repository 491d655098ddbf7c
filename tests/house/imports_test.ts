/**
 * The rooms and who may look into which (docs/design.md, section 2), read from the imports themselves.
 *
 * I1. `lib` imports neither `functions` nor `agents`; functions do not import each other, nor do agents.
 * I2. `lib/tikv`, `lib/nanostate`, `lib/uyuni` and `lib/secure` import nothing of Salar: each could be published alone.
 * I3. The rooms of `lib` import each other only as ROOMS says; there are no cycles, in files or in rooms.
 * I4. Code that runs in production imports nothing from `tests` or `bench`; the demo (`dev`) may use the twin.
 */
import assert from "node:assert/strict";
import { dirname, join, relative } from "node:path";

const ROOT = join(import.meta.dirname ?? ".", "..", "..");

/** Room of `lib` → the rooms that it may import, besides the files directly in `lib`. */
const ROOMS: Record<string, readonly string[]> = {
  store: ["tikv"],
  bus: ["secure"], // credentials are `Secret`s
  secure: [],
  uyuni: [],
  tikv: [],
  nanostate: [],
  mesh: ["store", "bus", "secure"],
  // Types of the mesh's context, the store's records, the subjects and nanostates' results; no I/O of its own.
  cluster: ["store", "bus", "mesh", "secure", "nanostate"],
};
const ALONE = ["tikv", "nanostate", "uyuni", "secure"];
const TOP = ["lib", "functions", "agents", "cli", "dev", "tasks", "tests", "bench"];

interface Import {
  from: string;
  to: string;
}

async function imports(): Promise<Import[]> {
  const found: Import[] = [];
  for await (const path of sources(ROOT)) {
    const text = await Deno.readTextFile(join(ROOT, path));
    for (
      const [, target = ""] of text.matchAll(
        /^\s*(?:import|export)\b[^;]*?from\s+"(\.[^"]+)"|^import "(\.[^"]+)"/gm,
      )
    ) {
      found.push({ from: path, to: relative(ROOT, join(ROOT, dirname(path), target)) });
    }
  }
  return found;
}

async function* sources(root: string): AsyncGenerator<string> {
  for (const top of TOP) yield* walk(join(root, top));
}

async function* walk(folder: string): AsyncGenerator<string> {
  let entries: Deno.DirEntry[];
  try {
    entries = await Array.fromAsync(Deno.readDir(folder));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  for (const { name, isDirectory } of entries) {
    const path = join(folder, name);
    if (isDirectory) yield* walk(path);
    else if (name.endsWith(".ts")) yield relative(ROOT, path);
  }
}

const isTest = (path: string) => /(_test|_suite[a-z_]*|testing[a-z_]*)\.ts$/.test(path);
const roomOf = (path: string) => path.split("/").slice(0, 2).join("/");
const topOf = (path: string) => path.split("/")[0] ?? "";
const show = (list: Import[]) => list.map(({ from, to }) => `${from} -> ${to}`);

Deno.test("lib imports neither functions nor agents, nor anything above it", async () => {
  const wrong = (await imports()).filter(({ from, to }) =>
    topOf(from) === "lib" && !isTest(from) && topOf(to) !== "lib"
  );
  assert.deepEqual(show(wrong), []);
});

Deno.test("functions and agents import lib and themselves only", async () => {
  const wrong = (await imports()).filter(({ from, to }) => {
    if (!["functions", "agents"].includes(topOf(from)) || isTest(from) || topOf(to) === "lib") return false;
    // main.ts is the one file that puts functions together.
    return from === "functions/main.ts" ? topOf(to) !== "functions" : roomOf(from) !== roomOf(to);
  });
  assert.deepEqual(show(wrong), []);
});

Deno.test("rooms of lib import only the rooms that they may", async () => {
  const wrong = (await imports()).filter(({ from, to }) => {
    const [room, target] = [from.split("/")[1] ?? "", to.split("/")[1] ?? ""];
    if (topOf(from) !== "lib" || topOf(to) !== "lib" || isTest(from) || room.endsWith(".ts")) return false;
    if (target.endsWith(".ts")) return ALONE.includes(room);
    return room !== target && !(ROOMS[room] ?? []).includes(target);
  });
  assert.deepEqual(show(wrong), []);
});

Deno.test("nothing that runs in production imports tests or benches", async () => {
  const wrong = (await imports()).filter(({ from, to }) =>
    ["lib", "functions", "agents", "cli"].includes(topOf(from)) && !isTest(from) &&
    ["tests", "bench", "dev", "tasks"].includes(topOf(to))
  );
  assert.deepEqual(show(wrong), []);
});

Deno.test("no file takes part in an import cycle", async () => {
  const edges = Map.groupBy(await imports(), ({ from }) => from);
  const state = new Map<string, "open" | "done">();
  const cycles: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    if (state.get(path) === "done") return;
    if (state.get(path) === "open") {
      cycles.push([...trail.slice(trail.indexOf(path)), path].join(" -> "));
      return;
    }
    state.set(path, "open");
    for (const { to } of edges.get(path) ?? []) visit(to, [...trail, path]);
    state.set(path, "done");
  };
  for (const path of edges.keys()) visit(path, []);
  assert.deepEqual(cycles, []);
});

Deno.test("there are no barrels", async () => {
  const barrels = (await Array.fromAsync(sources(ROOT))).filter((path) =>
    /(^|\/)(mod|index)\.ts$/.test(path)
  );
  assert.deepEqual(barrels, []);
});
