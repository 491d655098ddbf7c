/** One invocation: what was asked for on the command line in general, and the means to carry it out. */
import { type Api, apiAt } from "./api.ts";
import { type Column, type Look, shortFp } from "./columns.ts";
import { EXIT, exitOf } from "./exit.ts";
import type { Json } from "./json.ts";
import { nodeNames } from "./names.ts";
import { readSettings, type SettingsFlags } from "./settings.ts";
import { coloured, detailLines, type Paint, plain, printable, tableWriter } from "./table.ts";
import type { Sink, World } from "./world.ts";

export interface Flags extends SettingsFlags {
  json?: boolean;
  utc?: boolean;
}

export interface Session {
  world: World;
  flags: Flags;
  server: string;
  api: Api;
  /** Names of nodes by fingerprint, asked for once. */
  names(): Promise<Map<string, string>>;
}

export async function openSession(world: World, flags: Flags): Promise<Session> {
  const { server, token, ...trust } = await readSettings(world, flags);
  const net = world.net(trust);
  const api = apiAt({ server, token }, { scope: world.scope, net });
  let names: Promise<Map<string, string>> | null = null;
  return { world, flags, server, api, names: () => names ??= nodeNames(api) };
}

/** Data, to standard output: one JSON value as the API gave it. */
export function printJson({ stdout }: Pick<World, "stdout">, value: Json): void {
  stdout.write(JSON.stringify(value, null, 2) + "\n");
}

/** A word to people, to standard error. */
export function say({ stderr }: Pick<World, "stderr">, text: string): void {
  stderr.write(text.split("\n").map(printable).join("\n") + "\n");
}

export function paintOf({ env }: Pick<World, "env">, sink: Sink): Paint {
  return sink.isTerminal && !env["NO_COLOR"] && env["TERM"] !== "dumb" ? coloured : plain;
}

/** Rows under a header; pages of one list come one after the other. */
export function tablePrinter(
  session: Session,
  columns: readonly Column[],
  sink: Sink = session.world.stdout,
): (items: Json[]) => Promise<void> {
  const rowsText = tableWriter(columns, paintOf(session.world, sink));
  return async (items) => {
    const look = await lookOf(session, columns);
    sink.write(rowsText(items.map((item) => columns.map((column) => column.cell(item, look)))));
  };
}

/** One thing, a line for each field. */
export async function printDetails(
  session: Session,
  columns: readonly Column[],
  item: Json,
  sink: Sink = session.world.stdout,
): Promise<void> {
  const look = await lookOf(session, columns);
  const rows = columns.map((column) => ({ title: column.title, ...column.cell(item, look) }));
  sink.write(detailLines(rows, paintOf(session.world, sink)));
}

async function lookOf(session: Session, columns: readonly Column[]): Promise<Look> {
  const { world: { scope }, flags: { utc = false } } = session;
  const names = columns.some(({ named }) => named) ? await namesOrNone(session) : new Map<string, string>();
  return { nowMs: scope.nowMs(), utc, nodeName: (fp) => names.get(fp) ?? shortFp(fp) };
}

/** Names make reading easier; a server that goes away just now must not hide what is known already. */
async function namesOrNone(session: Session): Promise<Map<string, string>> {
  try {
    return await session.names();
  } catch (error) {
    if (exitOf(error) !== EXIT.unreachable) throw error;
    return new Map();
  }
}

/** True where somebody sits who can answer a question. */
export function mayAsk({ stdin, stderr }: Pick<World, "stdin" | "stderr">): boolean {
  return stdin.isTerminal && stderr.isTerminal;
}
