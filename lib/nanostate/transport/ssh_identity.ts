/**
 * The keys that a login may use, in OpenSSH's order, each with its certificates before it.
 *
 * In: a host, a ring of key files, ssh-agent. Out: identities, each of which can sign; and what was passed over, why.
 */
import { Buffer } from "node:buffer";
import { readFile } from "node:fs/promises";
// @ts-types="@types/ssh2"
import ssh2 from "ssh2";
import { parseCertificate } from "./ssh_certificate.ts";
import { sendCertifiedLogin } from "./ssh_inside.ts";
import type { SshHost } from "./ssh_host.ts";
import { wireStrings } from "./ssh_key.ts";
import type { KeyRing, ParsedKey } from "./ssh_keyring.ts";

export interface Identity {
  /** For people: a path, or `agent: ann@desk`. */
  label: string;
  /** What the host is asked about: the key itself, or a certificate of it in the key's clothes. */
  publicKey: ParsedKey;
  certificate: { algorithm: string } | null;
  /** In OpenSSL's form or in SSH's. Rejects with what to do. */
  sign(data: Buffer, hash: string | undefined): Promise<Buffer>;
}

/** @param whilePaused around what may ask a person */
export async function identitiesOf(
  host: SshHost,
  ring: KeyRing,
  whilePaused: <T>(work: () => Promise<T>) => Promise<T>,
): Promise<{ identities: Identity[]; passedOver: string[] }> {
  const passedOver: string[] = [];
  const inAgent = host.agent === null ? [] : await agentIdentities(host.agent).catch(() => {
    passedOver.push(`ssh-agent at ${host.agent} does not answer`);
    return [];
  });
  const inFiles: Identity[] = [];
  for (const path of host.identityFiles) {
    const identity = await fileIdentity(path, ring, whilePaused);
    if (typeof identity === "string") passedOver.push(`${path} ${identity}`);
    else if (identity !== null) inFiles.push(identity);
  }

  const blobs = (list: Identity[]) => new Set(list.map(blobOf));
  const configured = blobs(inFiles);
  const held = blobs(inAgent);
  const plain = [
    ...inAgent.filter((each) => configured.has(blobOf(each))),
    ...inAgent.filter((each) => !configured.has(blobOf(each)) && !host.identitiesOnly),
    ...inFiles.filter((each) => !held.has(blobOf(each))),
  ];
  const certificates = await certificatesOf(host);
  const identities = plain.flatMap((each) => [
    ...certificates.filter(({ keyBlob }) => keyBlob === blobOf(each)).map(({ blob }) =>
      certified(each, blob)
    ),
    each,
  ]);
  return { identities, passedOver };
}

function agentIdentities(socket: string): Promise<Identity[]> {
  const agent = new ssh2.OpenSSHAgent(socket);
  return new Promise((resolve, reject) =>
    agent.getIdentities((error, keys = []) => {
      if (error) return reject(error);
      // Its types leave open what a key may be; this agent gives parsed ones only.
      resolve((keys as ParsedKey[]).map((key) => ({
        label: `agent: ${key.comment}`,
        publicKey: key,
        certificate: null,
        sign: (data, hash) => agentSign(agent, key, data, hash),
      })));
    })
  );
}

function agentSign(
  agent: ssh2.OpenSSHAgent,
  key: ParsedKey,
  data: Buffer,
  hash: string | undefined,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const done = (error: unknown, signature?: Buffer) => {
      if (signature) resolve(signature);
      else reject(new Error("ssh-agent does not sign with it", { cause: error }));
    };
    if (hash === "sha256" || hash === "sha512") agent.sign(key, data, { hash }, done);
    else agent.sign(key, data, done);
  });
}

/** @returns why not as a text; null when there is no such file */
async function fileIdentity(
  path: string,
  ring: KeyRing,
  whilePaused: <T>(work: () => Promise<T>) => Promise<T>,
): Promise<Identity | string | null> {
  const file = await ring.load(path);
  if (file === null || typeof file === "string") return file;
  let { publicKey } = file;
  if (publicKey === null) {
    const key = await whilePaused(() => file.unlock());
    if (typeof key === "string") return key;
    publicKey = key.publicKey;
  }
  return {
    label: path,
    publicKey,
    certificate: null,
    async sign(data, hash) {
      const key = await whilePaused(() => file.unlock());
      if (typeof key === "string") throw new Error(key);
      return key.sign(data, hash);
    },
  };
}

interface UserCertificate {
  blob: Buffer;
  /** Of the key it is for, base64. */
  keyBlob: string;
}

async function certificatesOf(host: SshHost): Promise<UserCertificate[]> {
  const files = [...host.certificateFiles, ...host.identityFiles.map((path) => `${path}-cert.pub`)];
  const texts = await Promise.all(files.map((file) => readFile(file, "utf8").catch(() => ""))); // most are not there
  return texts.flatMap((text) => {
    const blob = Buffer.from(text.split(/\s+/)[1] ?? "", "base64");
    const certificate = parseCertificate(blob);
    return certificate === null ? [] : [{ blob, keyBlob: certificate.key.blob.toString("base64") }];
  });
}

function certified(identity: Identity, blob: Buffer): Identity {
  const { type } = identity.publicKey;
  const algorithm = type === "ssh-rsa" ? "rsa-sha2-512" : type;
  // ssh2 names a request after the key's type, and puts into it what the key calls its public half.
  const publicKey: ParsedKey = Object.create(identity.publicKey, {
    type: { value: `${algorithm}-cert-v01@openssh.com` },
    getPublicSSH: { value: () => blob },
  });
  return {
    label: `${identity.label} with its certificate`,
    publicKey,
    certificate: { algorithm },
    async sign(data) {
      const signature = await identity.sign(data, type === "ssh-rsa" ? "sha512" : undefined);
      return type.startsWith("ecdsa-") && signature[0] === 0x30 ? pairOfDer(signature) : signature;
    },
  };
}

/** OpenSSL's form of a signature (a sequence of two integers) as SSH's (two strings). */
function pairOfDer(der: Buffer): Buffer {
  const start = (der[1] ?? 0) > 0x80 ? 3 : 2; // a long sequence has its length in a byte more
  const rEnd = start + 2 + (der[start + 1] ?? 0);
  return wireStrings(der.subarray(start + 2, rEnd), der.subarray(rEnd + 2));
}

function blobOf({ publicKey }: Identity): string {
  return publicKey.getPublicSSH().toString("base64");
}

/** One identity as what ssh2 takes for an agent, so that it asks for a signature only when the host wants one. */
export class OneKeyAgent extends ssh2.BaseAgent<ParsedKey> {
  /** @param onFailure told why it could not sign */
  constructor(
    private readonly identity: Identity,
    private readonly client: ssh2.Client,
    private readonly onFailure: (reason: string) => void,
  ) {
    super();
  }

  override getIdentities(callback: ssh2.IdentityCallback<ParsedKey>): void {
    callback(undefined, [this.identity.publicKey]);
  }

  override sign(
    _key: ParsedKey,
    data: Buffer,
    options: ssh2.SigningRequestOptions | ssh2.SignCallback,
    callback?: ssh2.SignCallback,
  ): void {
    const answer = typeof options === "function" ? options : callback;
    const hash = typeof options === "function" ? undefined : options.hash;
    this.identity.sign(data, hash).then((signature) => {
      const { certificate } = this.identity;
      if (certificate === null) answer?.(undefined, signature);
      else sendCertifiedLogin(this.client, data, certificate.algorithm, signature);
    }).catch((error: Error) => {
      this.onFailure(error.message);
      answer?.(error);
    });
  }
}
