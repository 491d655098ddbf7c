/**
 * PD, unistore and the official Go client as programs, built from Go modules.
 *
 * In: a module of this tree (`go.mod`, `go.sum` and, where it is ours, its source). Out: the path of its program.
 * B1. The versions are those of the committed `go.mod` and `go.sum`, checked by hash: `-mod=readonly` refuses any other.
 * B2. A program is built again only when its module or its flags change: their hash is its version in the cache.
 * Why each flag is there: docs/tikv.md, "Servers of the tests".
 */
import { fileURLToPath } from "node:url";
import { cached } from "./cache.ts";
import { run } from "./command.ts";
import { ensureGo } from "./go.ts";

const BUILD_MS_MAX = 20 * 60_000;
const HASH_CHARS = 16;

interface GoModule {
  program: string;
  folder: URL;
  /** What to build, as `go build` names it. */
  package: string;
  flags: string[];
}

const PD: GoModule = {
  program: "pd-server",
  folder: new URL("tikv/pd/", import.meta.url),
  package: "github.com/tikv/pd/cmd/pd-server",
  flags: ["-tags=without_dashboard"],
};

const UNISTORE: GoModule = {
  program: "unistore-server",
  folder: new URL("tikv/unistore/", import.meta.url),
  package: "github.com/ngaut/unistore/cmd/unistore-server",
  flags: [
    "-ldflags=-checklinkname=0 -X google.golang.org/protobuf/reflect/protoregistry.conflictPolicy=ignore",
  ],
};

const GO_CLIENT: GoModule = {
  program: "tikv-go-client",
  folder: new URL("../tikv/go/", import.meta.url),
  package: ".",
  flags: [],
};

/** Paths of the servers' programs. */
export async function ensureTikv(): Promise<{ pd: string; unistore: string }> {
  const pd = await built(PD); // one after the other: each build uses every core by itself
  return { pd, unistore: await built(UNISTORE) };
}

/** The program of `tests/tikv/go`. */
export async function ensureGoClient(): Promise<string> {
  return await built(GO_CLIENT);
}

async function built(module: GoModule): Promise<string> {
  const folder = await cached({
    name: module.program,
    version: await hashOf(module),
    async build(folder) {
      const { go } = await ensureGo();
      const args = [
        "build",
        "-trimpath",
        ...module.flags,
        "-o",
        `${folder}/${module.program}`,
        module.package,
      ];
      // Other tests may be running: minutes of compiling must not take their processor away.
      await run("nice", ["-n", "10", go, ...args], {
        cwd: fileURLToPath(module.folder),
        env: { CGO_ENABLED: "0", GOFLAGS: "-mod=readonly -buildvcs=false" },
        limitMs: BUILD_MS_MAX,
      });
    },
  });
  return `${folder}/${module.program}`;
}

async function hashOf({ folder, flags }: GoModule): Promise<string> {
  const names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).sort();
  const files = await Promise.all(
    names.map(async (name) => [name, await Deno.readTextFile(new URL(name, folder))]),
  );
  const bytes = new TextEncoder().encode(JSON.stringify([flags, files]));
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return hash.toHex().slice(0, HASH_CHARS);
}
