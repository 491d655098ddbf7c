/**
 * What ssh2 lacks: certificates, of hosts and of users, since it knows plain keys only; and what a host answers to each
 * key of an agent. Here its inside is made to do the rest. The import map pins the version that this fits.
 *
 * V1. Nothing becomes weaker: ssh2 still checks the host's signature over the whole exchange, with the key that the
 *     certificate holds. Were its inside other than thought here, that signature would not fit, and the connection fails.
 * V2. Each use first looks whether the inside is as expected, and says so if not.
 */
import { Buffer } from "node:buffer";
import type { Client } from "ssh2";
import { type PublicKey, WireReader, wireStrings } from "./ssh_key.ts";

interface Lists {
  kex: { array: string[] };
  serverHostKey: { array: string[] };
  cs: Direction;
  sc: Direction;
}
type Direction = Record<"cipher" | "mac" | "compress" | "lang", { array: string[] }>;
interface Offer {
  lists: Lists;
  constructor: new (offer: unknown) => Offer;
}
interface Exchange {
  negotiated: { serverHostKey: string };
  _hostKey: Buffer;
  /** Ours: of an RSA certificate. */
  certifiedSignature?: string;
}
interface Protocol {
  _offer: Offer;
  _kex?: Exchange;
  _authsQueue: string[];
  _handlers: { USERAUTH_FAILURE: (protocol: unknown, methods: string[], isPartial: boolean) => void };
  _cipher: { encrypt(packet: Buffer): void };
  _packetRW: {
    write: { allocStart: number; alloc(bytes: number): Buffer; finalize(packet: Buffer): Buffer };
  };
}

/** Asks the host for certificates before it is asked for plain keys. To be called right after `connect()`. */
export function offerCertificates(client: Client, algorithms: readonly string[]): void {
  if (algorithms.length === 0) return;
  const protocol = insideOf(client);
  takeRsaCertificates(protocol);
  const { lists, constructor: Offer } = protocol._offer;
  const direction = ({ cipher, mac, compress, lang }: Direction) => ({
    cipher: cipher.array,
    mac: mac.array,
    compress: compress.array,
    lang: lang.array,
  });
  protocol._offer = new Offer({
    kex: lists.kex.array,
    serverHostKey: [...algorithms, ...lists.serverHostKey.array],
    cs: direction(lists.cs),
    sc: direction(lists.sc),
  });
}

/**
 * For RSA the algorithm that was agreed on is named otherwise than the certificate: ssh2 knows that of plain keys, and
 * breaks off for certificates. So an exchange is told the certificate's name as soon as there is one.
 */
function takeRsaCertificates(protocol: Protocol): void {
  let exchange = protocol._kex;
  Object.defineProperty(protocol, "_kex", {
    get: () => exchange,
    set(next: Exchange | undefined) {
      exchange = next;
      const [, signature] = /^(rsa-sha2-\d+)-cert-/.exec(next?.negotiated.serverHostKey ?? "") ?? [];
      if (next === undefined || signature === undefined) return;
      next.certifiedSignature = signature;
      next.negotiated.serverHostKey = "ssh-rsa-cert-v01@openssh.com";
    },
  });
}

/** Lets ssh2 go on with the key in a host's certificate. To be called when that was found good, in `hostVerifier`. */
export function useCertifiedKey(client: Client, certificate: Buffer, key: PublicKey): void {
  const exchange = insideOf(client)._kex;
  if (exchange === undefined || !Buffer.isBuffer(exchange._hostKey)) throw unexpected();
  exchange.negotiated.serverHostKey = exchange.certifiedSignature ?? key.type;
  // ssh2 reads it first for the hash over the exchange, which covers the certificate, then for the key to check with;
  // at the end it forgets it.
  let reads = 0;
  Object.defineProperty(exchange, "_hostKey", {
    get: () => reads++ === 0 ? certificate : key.blob,
    set() {},
  });
}

/**
 * Sends a login by certificate. ssh2 would name the signature after the certificate; hosts want the key's name there.
 * @param signed what was signed: the session's id, then the request. @param signature as SSH has it, without a name
 */
export function sendCertifiedLogin(
  client: Client,
  signed: Buffer,
  algorithm: string,
  signature: Buffer,
): void {
  const protocol = insideOf(client);
  const reader = new WireReader(signed);
  reader.string(); // the session's id is signed and not sent
  const request = signed.subarray(reader.position);
  const message = Buffer.concat([request, wireStrings(wireStrings(algorithm, signature))]);
  const { write } = protocol._packetRW;
  const packet = write.alloc(message.length);
  packet.set(message, write.allocStart);
  protocol._authsQueue.push("publickey");
  protocol._cipher.encrypt(write.finalize(packet));
}

/** Tells what the host takes after each refusal. ssh2 keeps that to itself while it tries an agent's keys. */
export function watchRefusals(
  client: Client,
  onRefusal: (methods: readonly string[], isPartial: boolean) => void,
): void {
  const { _handlers: handlers } = insideOf(client);
  const { USERAUTH_FAILURE: handle } = handlers;
  if (typeof handle !== "function") throw unexpected();
  handlers.USERAUTH_FAILURE = (protocol, methods, isPartial) => {
    onRefusal(methods, isPartial);
    handle(protocol, methods, isPartial);
  };
}

/** V2. */
function insideOf(client: Client): Protocol {
  const protocol: unknown = "_protocol" in client ? client._protocol : undefined;
  if (!isProtocol(protocol)) throw unexpected();
  return protocol;
}

function isProtocol(value: unknown): value is Protocol {
  return isObject(value) && isObject(value["_offer"]) && isObject(value["_offer"]["lists"]) &&
    Array.isArray(value["_authsQueue"]) && isObject(value["_cipher"]) && isObject(value["_packetRW"]) &&
    isObject(value["_handlers"]);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function unexpected(): Error {
  return new Error("Cannot use ssh2: its version is another than the one this was made for");
}
