/**
 * PD, unistore and the official Go client as programs, built from Go modules.
 *
 * In: a module of this tree (`go.mod`, `go.sum` and, where it is ours, its source). Out: the path of its program.
 * B1. The versions are those of the committed `go.mod` and `go.sum`, checked by hash: `-mod=readonly` refuses any other.
 * B2. A program is built again only when its module, flags or corrections change: their hash is its version in the cache.
 * Why each flag is there: docs/tikv.md, "Servers of the tests".
 */
import { fileURLToPath } from "node:url";
import { SalarError } from "../../lib/errors.ts";
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
  corrections?: Correction[];
}

/** One place of a required module, changed before it is built. */
interface Correction {
  module: string;
  file: string;
  /** Must be there exactly once. */
  wrong: string;
  right: string;
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
  corrections: [
    {
      // The applier blanks entries that the leader's unsent messages still point to: a follower that is dialled
      // slowly gets an entry of index 0 and dies of "tocommit is out of range". Every third cluster started so.
      module: "github.com/ngaut/unistore",
      file: "raftstore/applier.go",
      wrong: "\tfor i := range apply.entries {\n\t\tapply.entries[i] = eraftpb.Entry{}\n\t}\n",
      right: "",
    },
    {
      // It would not start where this folder is, and without what lies in it a snapshot that was being applied when
      // the store was killed could not be applied any more: the store would never start again.
      module: "github.com/ngaut/unistore",
      file: "server/server.go",
      wrong: "os.Mkdir(snapPath, os.ModePerm)",
      right: "os.MkdirAll(snapPath, os.ModePerm)",
    },
    {
      // Once it has taken in an empty snapshot, a region is never noted as whole again: at its next start the store
      // misses that snapshot and dies, or takes it in once more and forgets all that was written since.
      module: "github.com/ngaut/unistore",
      file: "raftstore/worker.go",
      wrong: "if cnt >= n {",
      right: "if cnt+state.tableCount > n {",
    },
    {
      // At its start a store makes its locks anew from all Raft entries it ever wrote, also from those that another
      // leader's took the place of: it lost locks, and with them what was committed later. Only the last one counts.
      module: "github.com/ngaut/unistore",
      file: "raftstore/restore.go",
      wrong: `\
\titerCnt := 0
\terr1 := raftDB.IterateVLog(offset, func(e badger.Entry) {
\t\titerCnt++
\t\tif err != nil {
\t\t\treturn
\t\t}
\t\tif !isRaftLogKey(e.Key.UserKey) {
`,
      right: `\
\titerCnt := 0
\tlast := make(map[string]int)
\terr = raftDB.IterateVLog(offset, func(e badger.Entry) {
\t\titerCnt++
\t\tif isRaftLogKey(e.Key.UserKey) && len(e.Value) > 0 {
\t\t\tlast[string(e.Key.UserKey)] = iterCnt
\t\t}
\t})
\titerCnt = 0
\terr1 := raftDB.IterateVLog(offset, func(e badger.Entry) {
\t\titerCnt++
\t\tif err != nil {
\t\t\treturn
\t\t}
\t\tif !isRaftLogKey(e.Key.UserKey) || last[string(e.Key.UserKey)] != iterCnt {
`,
    },
    {
      // A rollback that could not be written, for the leader had just changed, was reported as done: others then
      // rolled back the secondaries of a transaction whose primary was committed afterwards.
      module: "github.com/pingcap/tidb",
      file: "store/mockstore/unistore/tikv/mvcc.go",
      wrong: "kvrpcpb.Action_LockNotExistRollback, nil}, nil",
      right: "kvrpcpb.Action_LockNotExistRollback, nil}, err",
    },
    {
      // A message can come for a region that a split is just making: the store died of it, and now drops it, for
      // another one comes.
      module: "github.com/ngaut/unistore",
      file: "raftstore/peer_storage.go",
      wrong: `\
\t\tpanic(fmt.Sprintf("%s unexpected raft log index: lastIndex %d < appliedIndex %d",
\t\t\ttag, raftState.lastIndex, applyState.appliedIndex))
`,
      right: `\
\t\treturn nil, fmt.Errorf("%s unexpected raft log index: lastIndex %d < appliedIndex %d",
\t\t\ttag, raftState.lastIndex, applyState.appliedIndex)
`,
    },
    {
      // A copy of a region may come without its description: the store died of it, and now refuses it.
      module: "github.com/ngaut/unistore",
      file: "raftstore/snap.go",
      wrong: "if len(snapshotMeta.CfFiles) != len(s.CFFiles) {",
      right: "if len(snapshotMeta.GetCfFiles()) != len(s.CFFiles) {",
    },
    {
      // TiKV answers health checks. Without that, the Go client never again asks a store that died once.
      module: "github.com/ngaut/unistore",
      file: "cmd/unistore-server/main.go",
      wrong: '\t"google.golang.org/grpc"\n',
      right: '\t"google.golang.org/grpc"\n\t"google.golang.org/grpc/health"\n' +
        '\thealthpb "google.golang.org/grpc/health/grpc_health_v1"\n',
    },
    {
      module: "github.com/ngaut/unistore",
      file: "cmd/unistore-server/main.go",
      wrong: "\ttikvpb.RegisterTikvServer(grpcServer, tikvServer)\n",
      right: "\ttikvpb.RegisterTikvServer(grpcServer, tikvServer)\n" +
        "\thealthpb.RegisterHealthServer(grpcServer, health.NewServer())\n",
    },
    {
      // This command in a batch had no reply, on which every store died in turn: no async commit could be recovered.
      module: "github.com/pingcap/tidb",
      file: "store/mockstore/unistore/tikv/server_batch.go",
      wrong: "\tcase *tikvpb.BatchCommandsRequest_Request_ScanLock:\n",
      right: `\
	case *tikvpb.BatchCommandsRequest_Request_CheckSecondaryLocks:
\t\tres, err := svr.KvCheckSecondaryLocks(ctx, req.CheckSecondaryLocks)
\t\tif err != nil {
\t\t\treturn nil, err
\t\t}
\t\tcmd := &tikvpb.BatchCommandsResponse_Response_CheckSecondaryLocks{CheckSecondaryLocks: res}
\t\treturn &tikvpb.BatchCommandsResponse_Response{Cmd: cmd}, nil
\tcase *tikvpb.BatchCommandsRequest_Request_ScanLock:
`,
    },
    {
      // Of keys that a transaction only locked, the primary's commit alone was recorded: a commit of another one, after
      // a reader had done it, was refused as if the transaction had been taken back.
      module: "github.com/ngaut/unistore",
      file: "raftstore/applier.go",
      wrong: "\t} else if bytes.Equal(lock.Primary, rawKey) {\n",
      right: "\t} else {\n",
    },
    {
      module: "github.com/pingcap/tidb",
      file: "store/mockstore/unistore/tikv/mvcc.go",
      wrong: "\ttxn.SetReadTS(commitTS)\n",
      right:
        "\tif store.checkExtraTxnStatus(reqCtx, key, startTS).isOpLockCommitted() {\n\t\treturn nil\n\t}\n" +
        "\ttxn.SetReadTS(commitTS)\n",
    },
    {
      // The iterator was made before it was told its version, so that backward scans saw what came later.
      module: "github.com/pingcap/tidb",
      file: "store/mockstore/unistore/tikv/dbreader/db_reader.go",
      wrong: "\titer := r.getReverseIter()\n\tr.txn.SetReadTS(startTS)\n",
      right: "\tr.txn.SetReadTS(startTS)\n\titer := r.getReverseIter()\n",
    },
    {
      // A commit carries the values again here, and only the keys in TiKV, where 8 MiB are as good.
      module: "github.com/ngaut/unistore",
      file: "raftstore/config.go",
      wrong: "RaftEntryMaxSize:            8 * MB,",
      right: "RaftEntryMaxSize:            32 * MB,",
    },
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
      const { flags, program } = module;
      const go = await goCommand(module);
      const source = `${folder}/source`;
      const modfile = await correctedModfile(module, { go, source });
      await go([
        "build",
        `-modfile=${modfile}`,
        "-trimpath",
        ...flags,
        "-o",
        `${folder}/${program}`,
        module.package,
      ]);
      await Deno.remove(source, { recursive: true });
    },
  });
  return `${folder}/${module.program}`;
}

/** Runs `go` in the folder of `module`; resolves with its standard output. */
async function goCommand({ folder }: GoModule): Promise<(args: string[]) => Promise<string>> {
  const { go } = await ensureGo();
  return async (args) => {
    // Other tests may be running: minutes of compiling must not take their processor away.
    const { stdout } = await run("nice", ["-n", "10", go, ...args], {
      cwd: fileURLToPath(folder),
      env: { CGO_ENABLED: "0", GOFLAGS: "-mod=readonly -buildvcs=false" },
      limitMs: BUILD_MS_MAX,
    });
    return stdout;
  };
}

interface CorrectedOptions {
  go(args: string[]): Promise<string>;
  source: string;
}

/** Writes corrected copies of modules into `source`; resolves with the path of a `go.mod` that requires them. */
async function correctedModfile(module: GoModule, { go, source }: CorrectedOptions): Promise<string> {
  await Deno.mkdir(source);
  let requirements = await Deno.readTextFile(new URL("go.mod", module.folder));
  const corrections = Map.groupBy(module.corrections ?? [], ({ module }) => module);
  for (const [name, ofModule] of corrections) {
    const copy = `${source}/${name.replaceAll("/", "_")}`;
    const { Dir: original } = JSON.parse(await go(["mod", "download", "-json", name])); // checks its hash
    await run("cp", ["-r", "--no-preserve=mode", original, copy]);
    for (const correction of ofModule) await correct(`${copy}/${correction.file}`, correction);
    requirements += `\nreplace ${name} => ${copy}\n`;
  }
  const modfile = `${source}/corrected.mod`; // its sums are looked for in corrected.sum
  await Deno.writeTextFile(modfile, requirements);
  await Deno.copyFile(new URL("go.sum", module.folder), `${source}/corrected.sum`);
  return modfile;
}

async function correct(file: string, { module, wrong, right }: Correction): Promise<void> {
  const parts = (await Deno.readTextFile(file)).split(wrong);
  if (parts.length !== 2) {
    const found = `${parts.length - 1} places fit instead of one`;
    throw new SalarError("unavailable", `Cannot correct ${file} of ${module}: ${found}`);
  }
  await Deno.writeTextFile(file, parts.join(right));
}

async function hashOf({ folder, flags, corrections }: GoModule): Promise<string> {
  const names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).sort();
  const files = await Promise.all(
    names.map(async (name) => [name, await Deno.readTextFile(new URL(name, folder))]),
  );
  const bytes = new TextEncoder().encode(JSON.stringify([flags, corrections, files]));
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return hash.toHex().slice(0, HASH_CHARS);
}
