/**
 * Local files that steps send: walked and hashed once a run, read when a host asks for them.
 *
 * S1. Relative paths are relative to the folder of the state file where the step stands.
 * S2. A file that has changed since it was hashed is not sent: hosts of one run get the same, or an error.
 */
import { createHash } from "node:crypto";
import { dirname, isAbsolute, join } from "node:path";
import type { Hash, WireFile } from "../agent/protocol.ts";
import { LOCAL_FILE_BYTES_MAX } from "../limits.ts";
import type { LocalSource } from "../modules/actions.ts";
import type { PlanStep } from "../plan.ts";
import type { ControllerFiles, LocalFile } from "./run.ts";

/** S1. @param path of a step's arguments */
export function localPath({ at }: Pick<PlanStep, "at">, path: string): string {
  return isAbsolute(path) ? path : join(dirname(at.replace(/:\d+:\d+$/, "")), path);
}

/** A step's source that cannot be sent; the message is for people. */
export class SourceError extends Error {
  override readonly name = "SourceError";
}

export class Sources {
  readonly #walks = new Map<string, Promise<WireFile[]>>();
  readonly #files = new Map<Hash, LocalFile>();
  readonly #reads = new Map<Hash, Promise<Uint8Array>>();

  constructor(readonly files: ControllerFiles) {}

  /** @throws {SourceError} */
  async wireFiles(step: PlanStep, sources: readonly LocalSource[]): Promise<WireFile[]> {
    const all: WireFile[] = [];
    for (const { path, under, folder, follow } of sources) {
      const local = localPath(step, path);
      const found = await this.#walked(local, follow);
      if (!folder && found[0]?.type === "folder") {
        throw new SourceError(`Cannot send ${local}: it is a folder, and the module takes a file`);
      }
      all.push(
        ...found.map((file) => ({ ...file, path: [under, file.path].filter(Boolean).join("/") })),
      );
    }
    return all;
  }

  /** Null for a hash that is not of a local file. Hosts that ask at the same time share one read. */
  read(hash: Hash): Promise<Uint8Array> | null {
    const file = this.#files.get(hash);
    if (file === undefined) return null;
    const reading = this.#reads.get(hash) ?? whole(file, hash).finally(() => this.#reads.delete(hash));
    this.#reads.set(hash, reading);
    return reading;
  }

  #walked(path: string, follow: boolean): Promise<WireFile[]> {
    const key = `${follow} ${path}`;
    const walk = this.#walks.get(key) ?? this.#walk(path, follow);
    this.#walks.set(key, walk);
    return walk;
  }

  async #walk(path: string, follow: boolean): Promise<WireFile[]> {
    const found = await this.files.walk(path, { follow }).catch((cause) => {
      throw new SourceError(`Cannot send ${path}: ${cause instanceof Error ? cause.message : cause}`, {
        cause,
      });
    });
    if (found === null) {
      throw new SourceError(
        `Cannot send ${path}: there is no such file; relative paths begin at the state's folder`,
      );
    }
    const wire: WireFile[] = [];
    for (const file of found) wire.push(await this.#described(file));
    return wire;
  }

  async #described(file: LocalFile): Promise<WireFile> {
    const { path, type, mode, size, target } = file;
    if (type === "link") return { path, type, mode, ...(target === undefined ? {} : { target }) };
    if (type === "folder") return { path, type, mode };
    if (size > LOCAL_FILE_BYTES_MAX) {
      throw new SourceError(
        `Cannot send ${
          path || "the file"
        }: it has more than ${LOCAL_FILE_BYTES_MAX} bytes; let the host get it with get_url`,
      );
    }
    const [sha1, sha256] = [createHash("sha1"), createHash("sha256")];
    for await (const piece of file.read()) {
      sha1.update(piece);
      sha256.update(piece);
    }
    const blob = sha256.digest("hex");
    this.#files.set(blob, file);
    return { path, type, mode, blob, sha1: sha1.digest("hex"), size };
  }
}

/** S2 */
async function whole({ path, size, read }: LocalFile, hash: Hash): Promise<Uint8Array> {
  const bytes = new Uint8Array(size);
  const sha256 = createHash("sha256");
  let at = 0;
  for await (const piece of read()) {
    if (at + piece.length <= size) bytes.set(piece, at);
    sha256.update(piece);
    at += piece.length;
  }
  if (at === size && sha256.digest("hex") === hash) return bytes;
  throw new SourceError(`Cannot send ${path || "the file"}: it changed while the run was under way`);
}
