/**
 * PEM files that a program is told of, read and checked before it opens anything.
 *
 * P1. All problems of the files that are asked for together are told together, each with the key that names the file.
 * P2. Read once, at start: a renewed certificate counts from the next one. A drain loses nothing, so replicas are
 *     restarted one after the other.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { type Problem, SalarError } from "../errors.ts";
import type { Disk } from "../seams.ts";

/** Certificate (with its chain) and private key of a server, as PEM. */
export interface ServerTls {
  cert: string;
  key: string;
}

export interface ServerTlsFiles {
  httpCertFile?: string | undefined;
  httpKeyFile?: string | undefined;
}

/** Null where no files are named. @throws {SalarError} `bad-config` for files that are missing, no PEM, or no pair. */
export async function readServerTls(
  disk: Pick<Disk, "read">,
  files: ServerTlsFiles,
): Promise<ServerTls | null> {
  const { httpCertFile, httpKeyFile } = files;
  if (httpCertFile === undefined || httpKeyFile === undefined) return null;
  const problems: Problem[] = [];
  const cert = await readPem(disk, "httpCertFile", httpCertFile, certificateIn, problems);
  const key = await readPem(disk, "httpKeyFile", httpKeyFile, privateKeyIn, problems);
  if (cert !== null && key !== null && !cert.found.checkPrivateKey(key.found)) {
    problems.push({ field: "httpKeyFile", reason: `${httpKeyFile} is not the key of ${httpCertFile}` });
  }
  if (cert === null || key === null || problems.length > 0) throw refusal(problems);
  return { cert: cert.text, key: key.text };
}

/** PEM of the authority that `key` of the configuration names; null where it names none. @throws {SalarError} `bad-config` */
export async function readAuthority(
  disk: Pick<Disk, "read">,
  key: string,
  path: string | undefined,
): Promise<string | null> {
  if (path === undefined) return null;
  const problems: Problem[] = [];
  const authority = await readPem(disk, key, path, certificateIn, problems);
  if (authority === null) throw refusal(problems);
  return authority.text;
}

/** What a PEM text holds; null when it is nothing of the kind. */
interface Kind<T> {
  name: string;
  parse(text: string): T;
}

const certificateIn: Kind<X509Certificate> = {
  name: "certificate",
  // A chain may follow, and text may stand before: openssl writes both.
  parse: (text) =>
    new X509Certificate(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/.exec(text)?.[0] ?? ""),
};

const privateKeyIn: Kind<KeyObject> = {
  name: "private key without a passphrase",
  parse: (text) => createPrivateKey(text),
};

async function readPem<T>(
  disk: Pick<Disk, "read">,
  field: string,
  path: string,
  kind: Kind<T>,
  problems: Problem[],
): Promise<{ text: string; found: T } | null> {
  const bytes = await disk.read(path);
  if (bytes === null) {
    problems.push({ field, reason: `${path} is not there` });
    return null;
  }
  const text = new TextDecoder().decode(bytes);
  try {
    return { text, found: kind.parse(text) };
  } catch {
    problems.push({ field, reason: `${path} holds no PEM ${kind.name}` });
    return null;
  }
}

function refusal(problems: Problem[]): SalarError {
  const lines = problems.map(({ field, reason }) => `  ${field}: ${reason}`);
  return new SalarError("bad-config", `Cannot start: files have problems\n${lines.join("\n")}`, {
    detail: { problems },
  });
}
