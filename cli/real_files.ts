/** Large files of text on the real disk, a line at a time. */
import { SalarError } from "../lib/errors.ts";
import type { TextFiles } from "./world.ts";

const BUFFER_CHARS = 64 * 1024;
const MODE = 0o600;

export function realFiles(): TextFiles {
  return { lines, create };
}

async function* lines(path: string): AsyncGenerator<string> {
  const file = await open(path);
  let rest = "";
  for await (const text of file.readable.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + text).split("\n");
    rest = parts.pop() ?? "";
    yield* parts;
  }
  if (rest !== "") yield rest;
}

async function create<T>(
  path: string,
  fill: (write: (line: string) => Promise<void>) => Promise<T>,
): Promise<T> {
  const file = await createNew(path);
  const output = file.writable.getWriter(); // closes the file
  let buffer = "";
  const flush = async () => {
    const bytes = new TextEncoder().encode(buffer);
    buffer = "";
    await output.write(bytes);
  };
  try {
    const result = await fill(async (line) => {
      buffer += `${line}\n`;
      if (buffer.length >= BUFFER_CHARS) await flush();
    });
    await flush();
    await file.sync();
    await output.close();
    return result;
  } catch (error) {
    await output.abort().catch(() => {}); // the first error is the one that matters
    await Deno.remove(path);
    throw error;
  }
}

async function open(path: string): Promise<Deno.FsFile> {
  try {
    return await Deno.open(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new SalarError("not-found", `Cannot read ${path}: there is no such file`);
  }
}

async function createNew(path: string): Promise<Deno.FsFile> {
  try {
    return await Deno.open(path, { createNew: true, write: true, mode: MODE });
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) {
      throw new SalarError("conflict", `Cannot write ${path}: there is such a file already; name another`);
    }
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new SalarError("not-found", `Cannot write ${path}: there is no such folder`);
  }
}
