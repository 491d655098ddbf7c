/** The frames of `wire.py`: two numbers of 4 bytes (big endian: header, body), a JSON header with a `type`, the body. */
import { isObject, type Json, type JsonObject } from "../json.ts";
import { HostError } from "../transport/transport.ts";
import type { ByteReader } from "./byte_reader.ts";
import type { AgentInfo, WireCommandResult, WireResult } from "./protocol.ts";

const HEADER_BYTES_MAX = 64 * 1024;
const BODY_BYTES_MAX = 64 * 1024 * 1024;

export interface Frame {
  header: Record<string, unknown>;
  body: Uint8Array;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export function encodeFrame(header: JsonObject, body: Uint8Array = new Uint8Array()): Uint8Array {
  const head = encoder.encode(JSON.stringify(header));
  const frame = new Uint8Array(8 + head.length + body.length);
  const view = new DataView(frame.buffer);
  view.setUint32(0, head.length);
  view.setUint32(4, body.length);
  frame.set(head, 8);
  frame.set(body, 8 + head.length);
  return frame;
}

export function encodeJson(value: unknown): Uint8Array {
  return encoder.encode(JSON.stringify(value));
}

/** @throws {HostError} `protocol` @throws {EndOfStream} */
export async function readFrame(reader: ByteReader): Promise<Frame> {
  const sizes = await reader.take(8);
  const view = new DataView(sizes.buffer, sizes.byteOffset);
  const [head, body] = [view.getUint32(0), view.getUint32(4)];
  if (head > HEADER_BYTES_MAX || body > BODY_BYTES_MAX) {
    throw unreadable(`a frame of ${head} and ${body} bytes`);
  }
  const header = parse(await reader.take(head));
  return { header, body: await reader.take(body) };
}

/** @throws {HostError} `protocol`, as all that follow */
export function textIn(header: Record<string, unknown>, key: string): string {
  const value = header[key];
  if (typeof value !== "string") throw unreadable(`a frame without "${key}"`);
  return value;
}

export function numberIn(header: Record<string, unknown>, key: string): number {
  const value = header[key];
  if (typeof value !== "number") throw unreadable(`a frame without "${key}"`);
  return value;
}

export function infoIn(header: Record<string, unknown>): AgentInfo {
  const { info } = header;
  if (!isObject(info)) throw unreadable("a greeting without info");
  return {
    kind: "python",
    python: textIn(info, "python"),
    user: textIn(info, "user"),
    system: textIn(info, "system"),
    machine: textIn(info, "machine"),
  };
}

const OUTCOMES: readonly WireCommandResult["outcome"][] = [
  "ok",
  "changed",
  "failed",
  "skipped",
  "unknown",
  "not-run",
];

/** A body is standard output, then standard error. */
export function commandIn({ header, body }: Frame): WireCommandResult {
  const { rc, out } = header;
  const outcome = OUTCOMES.find((each) => each === header["outcome"]);
  if (outcome === undefined || typeof out !== "number" || (rc !== null && typeof rc !== "number")) {
    throw unreadable("the result of a command");
  }
  return {
    name: textIn(header, "name"),
    outcome,
    rc,
    stdout: decoder.decode(body.subarray(0, out)),
    stderr: decoder.decode(body.subarray(out)),
    why: textIn(header, "why"),
    timedOut: header["timedOut"] === true,
  };
}

/** @param commands of a shell step, which came before */
export function resultIn({ body }: Frame, commands: readonly WireCommandResult[]): WireResult {
  const value = parse(body);
  const step = textIn(value, "step");
  const { kind, ms, result } = value;
  if (kind === "not-run") return { step, kind, why: textIn(value, "why"), cannot: value["cannot"] === true };
  if (typeof ms !== "number") throw unreadable("a result without its time");
  if (kind === "shell") return { step, kind, ms, commands };
  if (kind !== "module" || !isJsonObject(result)) throw unreadable("a result of no known kind");
  return { step, kind, ms, result, stderr: textIn(value, "stderr"), timedOut: value["timedOut"] === true };
}

/** What comes out of JSON.parse has nothing but JSON in it. */
function isJsonObject(value: unknown): value is JsonObject {
  return isObject(value);
}

function parse(bytes: Uint8Array): Record<string, unknown> {
  let value: Json;
  try {
    value = JSON.parse(decoder.decode(bytes));
  } catch {
    throw unreadable("something that is not JSON");
  }
  if (!isObject(value)) throw unreadable("JSON that is not an object");
  return value;
}

export function unreadable(what: string): HostError {
  const advice = "its Python, or what stands between, changes what the agent writes";
  return new HostError("protocol", `Cannot read the agent: it sent ${what}; ${advice}`);
}
