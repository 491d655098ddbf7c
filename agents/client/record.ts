/** JSON records on the agent's disk, checked by their schema when read. */
import type { z } from "zod";
import { SalarError } from "../../lib/errors.ts";
import type { Disk } from "../../lib/seams.ts";

/** Null when there is no such file. @throws {SalarError} `bad-record` when it is not what the schema says. */
export async function readRecord<T>(disk: Disk, path: string, schema: z.ZodType<T>): Promise<T | null> {
  const bytes = await disk.read(path);
  if (bytes === null) return null;
  try {
    return schema.parse(JSON.parse(new TextDecoder().decode(bytes)));
  } catch (cause) {
    throw new SalarError("bad-record", `Cannot read ${path}: it is not a record of this agent`, { cause });
  }
}

export async function writeRecord(disk: Disk, path: string, record: unknown): Promise<void> {
  await disk.replace(path, new TextEncoder().encode(JSON.stringify(record)));
}
