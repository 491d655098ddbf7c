/**
 * TLS as the connections to stores and placement drivers use it: what a caller gives, what a dial needs, and which
 * failures are TLS's own, since no retry mends those.
 */
import { readFile } from "node:fs/promises";
import { TikvError } from "./errors.ts";

/** Each is PEM text, or the path of a PEM file; files are read again at every dial, so they may be renewed. */
export interface TlsOptions {
  /** Authorities that may have signed the far side's certificate; without it those of the system. */
  ca?: string | undefined;
  /** Our own certificate and its key, for servers that ask for one. */
  cert?: string | undefined;
  key?: string | undefined;
}

/** Throws `tls` for a file that cannot be read or holds no PEM. */
export async function loadTls(
  { ca, cert, key }: TlsOptions,
): Promise<{ ca?: string; cert?: string; key?: string }> {
  if ((cert === undefined) !== (key === undefined)) {
    throw new TikvError("tls", "load TLS options: `cert` and `key` go together, and one is missing");
  }
  const loaded: { ca?: string; cert?: string; key?: string } = {};
  if (ca !== undefined) loaded.ca = await pem("ca", ca);
  if (cert !== undefined) loaded.cert = await pem("cert", cert);
  if (key !== undefined) loaded.key = await pem("key", key);
  return loaded;
}

async function pem(name: string, textOrPath: string): Promise<string> {
  if (isPem(textOrPath)) return textOrPath;
  let text;
  try {
    text = await readFile(textOrPath, "utf8");
  } catch (cause) {
    throw new TikvError("tls", `load TLS ${name}: no PEM text, and no file that can be read`, { cause });
  }
  if (!isPem(text)) throw new TikvError("tls", `load TLS ${name} from ${textOrPath}: it holds no PEM`);
  return text;
}

const isPem = (text: string) => text.includes("-----BEGIN ");

/** Codes of OpenSSL and Node.js for certificates and handshakes. */
const TLS_CODE =
  /^(ERR_TLS|ERR_SSL|ERR_OSSL|EPROTO|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH|CRL_|HOSTNAME_)/;

/** Whether a connection failed for what the two sides' certificates or protocols are, not for what the network did. */
export function isTlsFailure(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return TLS_CODE.test(code);
}
