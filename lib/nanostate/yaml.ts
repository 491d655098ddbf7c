/**
 * YAML 1.2 → a tree that keeps order and the place of everything; what a state must not contain is found here.
 *
 * Y1. Nothing changes its meaning on the way: numbers that would (leading zeros, more digits than a double holds) are
 *     refused and not rounded. `mode: 0644` is the case that matters: YAML 1.2 reads it as 644.
 * Y2. Every problem of a file is found, not only the first.
 */
import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type ParsedNode,
  parseDocument,
  type Scalar,
} from "yaml";
import type { Finding, NanostateCode, Place } from "./errors.ts";
import type { Json } from "./json.ts";
import { DEPTH_MAX, FILE_BYTES_MAX, NODES_MAX } from "./limits.ts";
import { hasMarker } from "./secrets.ts";

export type YamlNode = YamlScalar | YamlList | YamlMap;

export interface YamlScalar {
  kind: "scalar";
  value: null | boolean | number | string;
  place: Place;
}
export interface YamlList {
  kind: "list";
  items: YamlNode[];
  place: Place;
}
export interface YamlMap {
  kind: "map";
  entries: YamlEntry[];
  place: Place;
}
export interface YamlEntry {
  /** As it is written, whatever YAML would make of it: `~`, `1`, `true` are names, too. */
  key: string;
  /** Of its first character, behind a quote. */
  place: Place;
  value: YamlNode;
}

export interface Yaml {
  /** Null when the file is empty or no YAML. */
  root: YamlNode | null;
  findings: Finding[];
}

/** @param file for places. @param bytes as they lie on the disk */
export function readYaml(file: string, bytes: Uint8Array): Yaml {
  const start = { file, line: 1, column: 1 };
  const refuse = (reason: string): Yaml => ({
    root: null,
    findings: [{ severity: "error", code: "bad-file", place: start, reason }],
  });
  if (bytes.length > FILE_BYTES_MAX) {
    return refuse(`the file has more than ${FILE_BYTES_MAX} bytes; split it`);
  }
  const text = decoded(bytes);
  if (text === null) return refuse("the file is not UTF-8; store it so");
  try {
    return new Reader(file, text).read();
  } catch (error) {
    if (error instanceof RangeError) return refuse("its values lie too deep in each other");
    throw error;
  }
}

function decoded(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return null; // the only error that `decode` throws
  }
}

class Reader {
  readonly #lines = new LineCounter();
  readonly #findings: Finding[] = [];
  readonly #document: Document.Parsed;
  readonly #anchors = new Map<string, ParsedNode>();
  #nodes = 0;
  #isTooDeep = false;

  constructor(readonly file: string, text: string) {
    this.#document = parseDocument(text, {
      lineCounter: this.#lines,
      prettyErrors: false,
      version: "1.2",
      uniqueKeys: false, // see refuseTwins: the library compares each key with all others
    });
  }

  read(): Yaml {
    const { errors, warnings, contents } = this.#document;
    for (const { code, message, pos } of [...errors, ...warnings]) {
      this.#refuse(
        "bad-file",
        pos[0],
        code === "MULTIPLE_DOCS" ? "a second document begins; a file is one state" : message,
      );
    }
    if (errors.length > 0) return { root: null, findings: this.#findings };
    return { root: contents === null ? null : this.#node(contents, 0), findings: this.#findings };
  }

  #node(node: ParsedNode | null, depth: number, at = 0): YamlNode {
    const offset = node?.range[0] ?? at;
    const place = this.#place(offset);
    const nothing: YamlNode = { kind: "scalar", value: null, place };
    this.#nodes++;
    if (this.#nodes === NODES_MAX) {
      this.#refuse("limit", offset, `more than ${NODES_MAX} values; split the state`);
    }
    if (depth === DEPTH_MAX && !this.#isTooDeep) {
      this.#isTooDeep = true;
      this.#refuse("limit", offset, `values lie more than ${DEPTH_MAX} deep in each other`);
    }
    if (node === null || this.#nodes >= NODES_MAX || depth >= DEPTH_MAX) return nothing;
    if (isAlias(node)) return this.#alias(node, depth, offset);
    if (node.anchor !== undefined) this.#anchors.set(node.anchor, node);
    if (isMap(node)) {
      const entries = node.items.map(({ key, value }) => ({
        ...this.#key(key, offset),
        value: this.#node(value, depth + 1, key?.range[1] ?? offset),
      }));
      this.#refuseTwins(entries);
      return { kind: "map", entries, place };
    }
    if (isSeq(node)) {
      return { kind: "list", items: node.items.map((item) => this.#node(item, depth + 1, offset)), place };
    }
    return { kind: "scalar", value: this.#value(node, offset), place };
  }

  #alias(alias: Alias, depth: number, offset: number): YamlNode {
    const target = this.#anchors.get(alias.source);
    if (target !== undefined) return this.#node(target, depth + 1, offset);
    this.#refuse("bad-file", offset, `there is nothing called &${alias.source} above`);
    return { kind: "scalar", value: null, place: this.#place(offset) };
  }

  #refuseTwins(entries: readonly YamlEntry[]): void {
    const seen = new Set<string>();
    for (const { key, place } of entries) {
      if (seen.has(key)) {
        this.#findings.push({
          severity: "error",
          code: "bad-file",
          place,
          reason: `the name "${key}" stands here twice`,
        });
      }
      seen.add(key);
    }
  }

  #key(key: ParsedNode | null, at: number): Omit<YamlEntry, "value"> {
    const offset = key?.range[0] ?? at;
    if (!isScalar(key)) {
      this.#refuse("bad-file", offset, "a key is a list, a mapping, an alias or empty; write a name");
      return { key: "", place: this.#place(offset) };
    }
    const isPlain = key.type === "PLAIN";
    const text = isPlain ? key.source ?? String(key.value) : String(key.value);
    if (hasMarker(text)) {
      this.#refuse("bad-value", offset, "the name holds a character that is reserved (U+FDD0, U+FDD1)");
    }
    return { key: text, place: this.#place(isPlain ? offset : offset + 1) };
  }

  #value(scalar: Scalar.Parsed, offset: number): YamlScalar["value"] {
    const { value, source = "", type } = scalar;
    if (type === "PLAIN" && /^[-+]?0[0-9]+$/.test(source)) {
      this.#refuse(
        "bad-value",
        offset,
        `${source} has a leading zero; quote it ("${source}"), YAML drops the zero`,
      );
    }
    if (typeof value === "number" && (!Number.isFinite(value) || Math.abs(value) > Number.MAX_SAFE_INTEGER)) {
      this.#refuse(
        "bad-value",
        offset,
        `${source} cannot be passed on as this number; quote it ("${source}")`,
      );
    }
    if (typeof value === "string" && hasMarker(value)) {
      this.#refuse("bad-value", offset, "the text holds a character that is reserved (U+FDD0, U+FDD1)");
    }
    if (value === null || ["boolean", "number", "string"].includes(typeof value)) {
      return value as YamlScalar["value"];
    }
    this.#refuse("bad-value", offset, "the value is of a type that JSON does not have");
    return null;
  }

  #refuse(code: NanostateCode, offset: number, reason: string): void {
    this.#findings.push({ severity: "error", code, place: this.#place(offset), reason });
  }

  #place(offset: number): Place {
    const { line, col } = this.#lines.linePos(offset);
    return { file: this.file, line: Math.max(line, 1), column: Math.max(col, 1) };
  }
}

/** Without places. */
export function plainJson(node: YamlNode): Json {
  if (node.kind === "scalar") return node.value;
  if (node.kind === "list") return node.items.map(plainJson);
  return Object.fromEntries(node.entries.map(({ key, value }) => [key, plainJson(value)]));
}
