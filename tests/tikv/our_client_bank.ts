/**
 * Transfers between accounts by our client, in the layout of go/bank.go, so that both can work on one bank.
 */
import { type Client, connect } from "../../lib/tikv/client.ts";
import { TikvError } from "../../lib/tikv/errors.ts";
import type { Transaction } from "../../lib/tikv/transaction.ts";
import type { BankOptions, BankTotals, GoTransfer } from "./go_client.ts";

const AMOUNT_MAX = 10;
const ERROR_PAUSE_MS = 100;

export interface OurBankOptions extends BankOptions {
  /** Its abort ends the bank. */
  ended: AbortSignal;
}

export async function runBank(pd: readonly string[], options: OurBankOptions): Promise<BankTotals> {
  const { worker, callers = 1, commit = "2pc" } = options;
  const corrupt = Promise.withResolvers<never>();
  const client = await connect({
    pd,
    timeoutMs: 60_000, // servers are being killed
    commit: { onePhase: commit === "1pc", async: commit !== "2pc" },
    onCorrupt: corrupt.reject,
  });
  const working = Promise.all(
    Array.from({ length: callers }, (_, at) => work(client, { ...options, worker: `${worker}.${at}` })),
  );
  const each = await Promise.race([working, corrupt.promise]);
  await client.close();
  const sum = (name: keyof BankTotals) => each.reduce((total, totals) => total + totals[name], 0);
  return { transfers: sum("transfers"), conflicts: sum("conflicts"), failures: sum("failures") };
}

async function work(client: Client, options: OurBankOptions): Promise<BankTotals> {
  const { worker, ended, onTransfer } = options;
  const totals = { transfers: 0, conflicts: 0, failures: 0 };
  while (!ended.aborted) {
    const tx = client.begin({ pessimistic: options.pessimistic });
    try {
      const transfer = await prepare(tx, { ...options, name: `${worker}/${totals.transfers}` });
      if (transfer === null) continue;
      onTransfer({ ...transfer, ...await settled(tx) });
      totals.transfers++; // an undetermined transfer keeps its name for itself
    } catch (error) {
      await tx.rollback();
      if (!(error instanceof TikvError) || !error.retry) throw error;
      if (error.code === "conflict" || error.code === "deadlock") totals.conflicts++;
      else {
        totals.failures++;
        await new Promise((resolve) => setTimeout(resolve, ERROR_PAUSE_MS));
      }
    }
  }
  return totals;
}

type Prepared = Omit<GoTransfer, "startTs" | "commitTs" | "undetermined">;

/** Null when the account has too little. */
async function prepare(
  tx: Transaction,
  { prefix, name, accounts, pessimistic }: OurBankOptions & { name: string },
): Promise<Prepared | null> {
  const from = below(accounts);
  const to = (from + 1 + below(accounts - 1)) % accounts;
  const amount = 1 + below(AMOUNT_MAX);
  const keys = [from, to].map((account) => accountKey(prefix, account));
  const values = pessimistic ? await tx.lockNow(...keys) : await tx.getMany(keys);
  const [fromBalance = NaN, toBalance = NaN] = values.map((value) =>
    value === null ? NaN : Number(new TextDecoder().decode(value))
  );
  if (Number.isNaN(fromBalance + toBalance)) {
    const how = pessimistic ? "locked" : "read";
    throw new Error(
      `no balance in account ${from} or ${to}, ${how} by ${name} at ${await tx
        .startTs}: ${fromBalance}, ${toBalance}`,
    );
  }
  if (fromBalance < amount) {
    await tx.rollback();
    return null;
  }
  const [fromKey, toKey] = keys as [Uint8Array, Uint8Array];
  tx.put(fromKey, bytes(String(fromBalance - amount)));
  tx.put(toKey, bytes(String(toBalance + amount)));
  tx.put(joined(prefix, `t/${name}`), bytes(`${from} ${to} ${amount}`));
  return { name, from, to, amount, fromBalance, toBalance };
}

/** Commits; a lost answer is asked for, and stays undetermined only where nobody answers that either. */
async function settled(tx: Transaction): Promise<Pick<GoTransfer, "startTs" | "commitTs" | "undetermined">> {
  const startTs = await tx.startTs;
  try {
    return { startTs, commitTs: await tx.commit() ?? 0n, undetermined: false };
  } catch (error) {
    if (!(error instanceof TikvError) || error.code !== "undetermined") throw error;
    const outcome = await tx.outcome().catch(() => null);
    if (outcome?.committed === false) {
      throw new TikvError("conflict", "transfer: its answer was lost, and it was rolled back");
    }
    return { startTs, commitTs: outcome?.commitTs ?? 0n, undetermined: outcome === null };
  }
}

export function accountKey(prefix: Uint8Array, account: number): Uint8Array {
  return joined(prefix, `a/${String(account).padStart(4, "0")}`);
}

function joined(prefix: Uint8Array, rest: string): Uint8Array {
  return Uint8Array.of(...prefix, ...bytes(rest));
}

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function below(limit: number): number {
  return Math.floor(Math.random() * limit);
}
