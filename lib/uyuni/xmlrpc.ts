/**
 * XML-RPC as Uyuni speaks it: values, and both messages in both directions.
 *
 * In: bytes or text from a peer; out: plain values, and text for a peer. No I/O.
 * X1. Whatever comes in, reading ends in a value or an `XmlRpcError`, in time and memory linear in `bytesMax`.
 * X2. What is written is well-formed XML in Uyuni's dialect, byte for byte where the dialect is fixed.
 * X3. Integers are int32 in both directions: a larger one is an error here, never silently cut.
 * Source: redstone-xmlrpc with Uyuni's patches (`XmlRpcParser`, `XmlRpcValue`, `XmlRpcSerializer`).
 */
import { SaxesParser } from "saxes";

/**
 * A value on the wire. `number` is always an int32 (`<i4>`); a fraction is an `XmlRpcDouble`, a 64-bit integer
 * (`<i8>`, which a Uyuni server reads but never writes) a `bigint`. There is no nil.
 */
export type XmlRpcValue =
  | number
  | bigint
  | boolean
  | string
  | XmlRpcDouble
  | XmlRpcDate
  | Uint8Array
  | readonly XmlRpcValue[]
  | XmlRpcStruct;

export interface XmlRpcStruct {
  readonly [name: string]: XmlRpcValue;
}

/** A `<double>`. A class, since a JavaScript number cannot tell 1.0 from 1. */
export class XmlRpcDouble {
  constructor(readonly value: number) {}
}

/**
 * A `<dateTime.iso8601>`: `yyyyMMddTHH:mm:ss` without a zone. It means local time of the sender, which only the
 * sender knows: so it stays text and is passed on unchanged.
 */
export class XmlRpcDate {
  readonly text: string;

  /** @throws {XmlRpcError} `malformed` unless the text begins so; what follows (zone, fraction) is dropped. */
  constructor(text: string) {
    const match = /^\d{8}T\d\d:\d\d:\d\d/.exec(text);
    if (match === null) throw malformed("a date does not begin with yyyyMMddTHH:mm:ss");
    this.text = match[0];
  }
}

/** `unwritable` is a value that the wire cannot carry; the others say what is wrong with a peer's message. */
export type XmlRpcErrorKind = "malformed" | "too-large" | "too-deep" | "unwritable";

export class XmlRpcError extends Error {
  override readonly name = "XmlRpcError";

  constructor(readonly kind: XmlRpcErrorKind, message: string) {
    super(message);
  }
}

export interface ReadLimits {
  /** @default 64 MiB, some 150,000 systems in one list */
  bytesMax?: number;
  /** How deep values may nest. @default 64 */
  depthMax?: number;
}

export const XMLRPC_BYTES_MAX = 64 * 1024 * 1024;
export const XMLRPC_DEPTH_MAX = 64;
const INT_MAX = 2 ** 31 - 1;
const INT_MIN = -(2 ** 31);

export interface XmlRpcCall {
  /** As sent, namespace included. */
  method: string;
  params: XmlRpcValue[];
}

export type XmlRpcReply =
  /** `null`: an empty body, Uyuni's way to say that there is no result. */
  | { ok: true; value: XmlRpcValue | null }
  | { ok: false; code: number; text: string };

/**
 * Reads a request the way a Uyuni server does: text is trimmed, strings too; an unknown type (`<nil/>`) is a string.
 * @throws {XmlRpcError}
 */
export function readCall(body: Uint8Array | string, limits: ReadLimits = {}): XmlRpcCall {
  const root = readDocument(body, limits, { trimStrings: true });
  if (root.tag !== "methodCall" || root.name === undefined) throw malformed("it is not a method call");
  return { method: root.name, params: root.items ?? [] };
}

/**
 * Reads an answer. Strings are kept as they are: white space at their ends is the server's data.
 * @throws {XmlRpcError}
 */
export function readReply(body: Uint8Array | string, limits: ReadLimits = {}): XmlRpcReply {
  if (body.length === 0) return { ok: true, value: null };

  const { tag, items = [], value: fault } = readDocument(body, limits, { trimStrings: false });
  const [result] = items;
  if (tag !== "methodResponse") throw malformed("it is not a method response");
  if (fault === undefined) {
    if (result === undefined || items.length > 1) throw malformed("a response holds one value");
    return { ok: true, value: result };
  }

  const { faultCode: code, faultString: text } = isStruct(fault) ? fault : {};
  if (typeof code !== "number" || typeof text !== "string") throw malformed("a fault lacks its code or text");
  return { ok: false, code, text };
}

/** True for a struct; false for every other kind of value. */
export function isStruct(value: XmlRpcValue | null | undefined): value is XmlRpcStruct {
  return typeof value === "object" && value !== null && !Array.isArray(value) &&
    !(value instanceof XmlRpcDate || value instanceof XmlRpcDouble || value instanceof Uint8Array);
}

const DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>';

/** @throws {XmlRpcError} `unwritable` */
export function writeCall(method: string, params: readonly XmlRpcValue[]): string {
  const written = params.map((param) => `<param>${writeValue(param)}</param>`).join("");
  return `${DECLARATION}<methodCall><methodName>${escape(method)}</methodName>` +
    `<params>${written}</params></methodCall>`;
}

/** The body of a good answer; for `null` it is empty, as Uyuni has it. @throws {XmlRpcError} `unwritable` */
export function writeResult(value: XmlRpcValue | null): string {
  if (value === null) return "";
  return `${DECLARATION}<methodResponse><params><param>${
    writeValue(value)
  }</param></params></methodResponse>`;
}

/** @throws {XmlRpcError} `unwritable` */
export function writeFault(code: number, text: string): string {
  return `${DECLARATION}<methodResponse><fault><value><struct>` +
    `<member><name>faultCode</name><value><int>${int32(code)}</int></value></member>` +
    `<member><name>faultString</name>${writeValue(text)}</member>` +
    `</struct></value></fault></methodResponse>`;
}

/** An open element and what the elements that closed inside it left behind. */
interface Element {
  tag: string;
  text: string;
  /** From `<name>` or `<methodName>`. */
  name?: string;
  value?: XmlRpcValue;
  items?: XmlRpcValue[];
  members?: [string, XmlRpcValue][];
  root?: Element;
}

/** Where an element may stand. All tags that are missing here are types, known or not, and stand in a `<value>`. */
const PARENTS = new Map([
  ["methodCall", ["document"]],
  ["methodResponse", ["document"]],
  ["methodName", ["methodCall"]],
  ["params", ["methodCall", "methodResponse"]],
  ["fault", ["methodResponse"]],
  ["param", ["params"]],
  ["value", ["param", "fault", "data", "member"]],
  ["data", ["array"]],
  ["member", ["struct"]],
  ["name", ["member"]],
]);
const TYPE_PARENTS = ["value"];

function readDocument(
  body: Uint8Array | string,
  limits: ReadLimits,
  { trimStrings }: { trimStrings: boolean },
): Element {
  const { bytesMax = XMLRPC_BYTES_MAX, depthMax = XMLRPC_DEPTH_MAX } = limits;
  if (body.length > bytesMax) {
    throw new XmlRpcError("too-large", `Cannot read XML-RPC: the message is larger than ${bytesMax} bytes`);
  }
  // `<methodCall><params><param>` and three elements for each level: `<value><struct><member>`.
  const elementsMax = 3 + 3 * depthMax;
  const document: Element = { tag: "document", text: "" };
  const outer: Element[] = [];
  let inner = document;

  const parser = new SaxesParser();
  parser.on("error", (error) => {
    throw malformed(error.message);
  });
  // XML-RPC needs no document type, and all tricks with entities begin with one.
  parser.on("doctype", () => {
    throw malformed("it has a document type");
  });
  parser.on("opentag", ({ name: tag }) => {
    if (!(PARENTS.get(tag) ?? TYPE_PARENTS).includes(inner.tag)) {
      throw malformed(`<${tag}> in <${inner.tag}>`);
    }
    if (outer.length >= elementsMax) {
      throw new XmlRpcError("too-deep", `Cannot read XML-RPC: values nest deeper than ${depthMax}`);
    }
    outer.push(inner);
    inner = { tag, text: "" };
  });
  parser.on("text", (text) => inner.text += text);
  parser.on("cdata", (text) => inner.text += text);
  parser.on("closetag", () => {
    const parent = outer.pop() ?? document;
    closeElement(inner, parent, trimStrings);
    inner = parent;
  });
  parser.write(decode(body)).close();

  if (document.root === undefined) throw malformed("it is empty");
  return document.root;
}

/** Hands what `element` holds to its parent. */
function closeElement(element: Element, parent: Element, trimStrings: boolean): void {
  const { tag, text } = element;
  switch (tag) {
    case "methodCall":
    case "methodResponse":
      parent.root = element;
      return;
    case "methodName":
    case "name":
      parent.name = javaTrim(text);
      return;
    case "params":
    case "data":
      if (parent.items !== undefined) throw malformed(`<${parent.tag}> holds a second <${tag}>`);
      parent.items = element.items ?? [];
      return;
    case "value": {
      const value = element.value ?? (trimStrings ? javaTrim(text) : text);
      if (parent.tag === "data") (parent.items ??= []).push(value);
      else setValue(parent, value);
      return;
    }
    case "param":
      (parent.items ??= []).push(need(element.value, tag));
      return;
    case "fault":
      setValue(parent, need(element.value, tag));
      return;
    case "member":
      (parent.members ??= []).push([need(element.name, tag), need(element.value, tag)]);
      return;
    case "array":
      setValue(parent, element.items ?? []);
      return;
    case "struct":
      // Not by assignment: a member named "__proto__" must be a member and nothing else.
      setValue(parent, Object.fromEntries(element.members ?? []));
      return;
    default:
      setValue(parent, readScalar(tag, text, trimStrings));
  }
}

function setValue(parent: Element, value: XmlRpcValue): void {
  if (parent.value !== undefined) throw malformed(`<${parent.tag}> holds a second value`);
  parent.value = value;
}

function need<T>(part: T | undefined, tag: string): T {
  if (part === undefined) throw malformed(`<${tag}> is incomplete`);
  return part;
}

function readScalar(tag: string, text: string, trimStrings: boolean): XmlRpcValue {
  switch (tag) {
    case "i4":
    case "int":
      return readInt(text);
    case "i8":
      return readLong(text);
    case "boolean":
      return readInt(text) === 1;
    case "double":
      return readDouble(text);
    case "dateTime.iso8601":
      return new XmlRpcDate(javaTrim(text));
    case "base64":
      return readBase64(text);
    default:
      return trimStrings ? javaTrim(text) : text;
  }
}

function readInt(text: string): number {
  const digits = javaTrim(text);
  const value = Number(digits);
  if (!/^[+-]?\d+$/.test(digits) || value < INT_MIN || value > INT_MAX) {
    throw malformed("an integer is no int32");
  }
  return value + 0; // "-0" is 0
}

function readLong(text: string): bigint {
  const digits = javaTrim(text);
  // The length first: a bigint of a million digits is slow work.
  const value = /^[+-]?\d{1,32}$/.test(digits) ? BigInt(digits.replace("+", "")) : undefined;
  if (value === undefined || BigInt.asIntN(64, value) !== value) throw malformed("an <i8> is no int64");
  return value;
}

function readDouble(text: string): XmlRpcDouble {
  const digits = javaTrim(text);
  if (!/^[+-]?(\d+(\.\d*)?(e[+-]?\d+)?|\.\d+(e[+-]?\d+)?|Infinity|NaN)$/i.test(digits)) {
    throw malformed("bad <double>");
  }
  return new XmlRpcDouble(Number(digits));
}

function readBase64(text: string): Uint8Array {
  try {
    return Uint8Array.fromBase64(text);
  } catch {
    throw malformed("bad <base64>");
  }
}

/** `String.trim` of Java: everything up to U+0020 goes, and only that. */
function javaTrim(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && text.charCodeAt(start) <= 0x20) start++;
  while (end > start && text.charCodeAt(end - 1) <= 0x20) end--;
  return text.slice(start, end);
}

function decode(body: Uint8Array | string): string {
  if (typeof body === "string") return body;
  const head = String.fromCharCode(...body.subarray(0, 100));
  const label = /^<\?xml[^>]*encoding\s*=\s*["']([\w.-]+)["']/.exec(head)?.[1] ?? "utf-8";
  try {
    return new TextDecoder(label, { fatal: true }).decode(body);
  } catch {
    throw malformed(`its bytes are not ${label}`);
  }
}

function malformed(what: string): XmlRpcError {
  return new XmlRpcError("malformed", `Cannot read XML-RPC: ${what}`);
}

function writeValue(value: XmlRpcValue, depth = 1): string {
  return `<value>${writeTyped(value, depth)}</value>`;
}

function writeTyped(value: XmlRpcValue, depth: number): string {
  if (depth > XMLRPC_DEPTH_MAX) throw unwritable(`values nest deeper than ${XMLRPC_DEPTH_MAX}`);
  if (typeof value === "string") return `<string>${escape(value)}</string>`;
  if (typeof value === "number") return `<i4>${int32(value)}</i4>`;
  if (typeof value === "boolean") return `<boolean>${value ? 1 : 0}</boolean>`;
  if (typeof value === "bigint") {
    if (BigInt.asIntN(64, value) !== value) throw unwritable("an integer is no int64");
    return `<i8>${value}</i8>`;
  }
  if (value instanceof XmlRpcDate) return `<dateTime.iso8601>${value.text}</dateTime.iso8601>`;
  if (value instanceof XmlRpcDouble) return `<double>${javaDouble(value.value)}</double>`;
  if (value instanceof Uint8Array) return `<base64>${value.toBase64()}</base64>`;
  if (isStruct(value)) {
    let members = "";
    for (const [name, member] of Object.entries(value)) {
      // Uyuni leaves names as they are and then breaks on "<"; X2 says otherwise.
      members += `<member><name>${escape(name)}</name>${writeValue(member, depth + 1)}</member>`;
    }
    return `<struct>${members}</struct>`;
  }
  let items = "";
  for (const item of value) items += writeValue(item, depth + 1);
  return `<array><data>${items}</data></array>`;
}

/** `Double.toString` of Java: always a point, and an exponent from 10^7 up and below 10^-3. */
function javaDouble(value: number): string {
  const size = Math.abs(value);
  if (Object.is(value, -0)) return "-0.0";
  if (!Number.isFinite(value)) return String(value);
  if (size === 0 || (size >= 1e-3 && size < 1e7)) {
    return Number.isInteger(value) ? `${value}.0` : String(value);
  }
  const [digits = "", exponent = ""] = value.toExponential().split("e");
  return `${digits.includes(".") ? digits : `${digits}.0`}E${exponent.replace("+", "")}`;
}

function int32(value: number): number {
  if (!Number.isInteger(value) || value < INT_MIN || value > INT_MAX) {
    throw unwritable(`${value} is no int32`);
  }
  return value + 0;
}

/** Everything but the characters that XML 1.0 allows; a lone surrogate is among the rest. */
const NOT_XML = /[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/u;
const ENTITIES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };

function escape(text: string): string {
  // Uyuni writes such characters raw, and no client can read the answer (X2).
  if (NOT_XML.test(text)) throw unwritable("a text holds a character that XML cannot carry");
  return text.replace(/[&<>]/g, (char) => ENTITIES[char] ?? char);
}

function unwritable(what: string): XmlRpcError {
  return new XmlRpcError("unwritable", `Cannot write XML-RPC: ${what}`);
}
