/**
 * Our client as a program for tests: requests and replies are JSON, one a line, as go/main.go has them.
 *
 * Usage: our_client_child.ts PD... It ends when standard input closes; a bank does so after its open transfers.
 */
import { eachLine, type GoCommit, toWire } from "./go_client.ts";
import type { LeftKind } from "./go_client.ts";
import { runBank } from "./our_client_bank.ts";
import { leave } from "./our_client_leave.ts";

interface Request {
  id: number;
  op: string;
  pairs: { key: string; value: string }[];
  kind: LeftKind;
  ttlMs: number;
  prefix: string;
  worker: string;
  accounts: number;
  commit?: GoCommit;
  callers?: number;
  pessimistic?: boolean;
}

async function answer(pd: string[], request: Request, ended: AbortSignal): Promise<unknown> {
  const { id, op, kind, ttlMs } = request;
  switch (op) {
    case "leave": {
      const pairs = request.pairs.map(({ key, value }) =>
        [Uint8Array.fromBase64(key), Uint8Array.fromBase64(value)] as const
      );
      return await leave(pd, { kind, ttlMs, pairs, die: (left) => die({ id, result: left }) });
    }
    case "bank": {
      const prefix = Uint8Array.fromBase64(request.prefix);
      const onTransfer = (transfer: object) => print({ id, transfer });
      return await runBank(pd, { ...request, prefix, onTransfer, ended });
    }
    default:
      throw new Error(`unknown op "${op}"`);
  }
}

/** One write a line: a line that was read was complete, even if this process is killed. */
function print(value: unknown): void {
  let bytes = new TextEncoder().encode(JSON.stringify(value, toWire) + "\n");
  while (bytes.length > 0) bytes = bytes.subarray(Deno.stdout.writeSync(bytes));
}

function die(last: unknown): never {
  print(last);
  Deno.kill(Deno.pid, "SIGKILL");
  throw new Error("this process should have ended");
}

const ended = new AbortController();
const running: Promise<void>[] = [];
await eachLine(Deno.stdin.readable, (line) => {
  const request: Request = JSON.parse(line);
  const { id } = request;
  running.push(
    answer(Deno.args, request, ended.signal).then(
      (result) => print({ id, result }),
      (error) => print({ id, error: { code: "other", message: `${error.stack}` } }),
    ),
  );
});
ended.abort();
await Promise.all(running);
