/** Columns as values: a title and how a field of the API's answer is shown under it. */
import { at, isObject, type Json, numberAt, textAt } from "./json.ts";
import type { Cell, Tone } from "./table.ts";
import { timeText } from "./times.ts";

/** What a cell may know besides its item. */
export interface Look {
  nowMs: number;
  utc: boolean;
  /** The node's name; the first digits of its fingerprint when it is not known any more. */
  nodeName(fp: string): string;
}

export interface Column {
  title: string;
  right?: boolean;
  /** The cell needs the names of nodes. */
  named?: boolean;
  cell(item: Json, look: Look): Cell;
}

const FP_SHOWN = 12;

export function shortFp(fp: string): string {
  return fp.slice(0, FP_SHOWN);
}

export function text(title: string, path: string): Column {
  return { title, cell: (item) => ({ text: textAt(item, path) }) };
}

export function number(title: string, path: string): Column {
  return { title, right: true, cell: (item) => ({ text: textAt(item, path) }) };
}

export function yesNo(title: string, path: string): Column {
  return { title, cell: (item) => ({ text: at(item, path) === true ? "yes" : "no" }) };
}

export function fingerprint(title: string, path: string): Column {
  return { title, cell: (item) => ({ text: shortFp(textAt(item, path)), tone: "dim" }) };
}

export function time(title: string, path: string): Column {
  return {
    title,
    cell(item, look) {
      const atMs = at(item, path);
      return { text: typeof atMs === "number" ? timeText(atMs, look) : "-" };
    },
  };
}

export function node(title: string, path: string): Column {
  return {
    title,
    named: true,
    cell(item, { nodeName }) {
      const fp = at(item, path);
      return typeof fp === "string" ? { text: nodeName(fp) } : { text: "-" };
    },
  };
}

/** Part of a whole: `12/100`. */
export function ratio(title: string, part: string, whole: string): Column {
  return {
    title,
    right: true,
    cell: (item) => ({ text: `${numberAt(item, part)}/${numberAt(item, whole)}` }),
  };
}

/** A map as `accepted 4, lost 1`. */
export function entries(title: string, path: string): Column {
  return {
    title,
    cell(item) {
      const map = at(item, path);
      const pairs = isObject(map) ? Object.entries(map) : [];
      return { text: pairs.map(([key, value]) => `${key} ${String(value)}`).join(", ") || "-" };
    },
  };
}

/** Text with `node:<fp>` in it, which reads better with the node's name. */
export function subject(title: string, path: string): Column {
  return {
    title,
    named: true,
    cell: (item, { nodeName }) => ({
      text: textAt(item, path).replace(/^node:([0-9a-f]{64})$/, (_all, fp: string) => `node:${nodeName(fp)}`)
        .replace(/^system:([0-9a-f]{64})$/, (_all, fp: string) => `system:${shortFp(fp)}`),
    }),
  };
}

const TONES: Readonly<Record<string, Tone>> = {
  accepted: "good",
  bound: "good",
  there: "good",
  done: "good",
  staging: "busy",
  draining: "busy",
  moving: "busy",
  planning: "busy",
  running: "busy",
  preparing: "busy",
  switching: "busy",
  settling: "busy",
  cancelling: "busy",
  failed: "bad",
  lost: "bad",
  orphan: "bad",
  back: "bad",
  cancelled: "bad",
};

export function state(title = "STATE", path = "state"): Column {
  return {
    title,
    cell(item) {
      const text = textAt(item, path);
      const tone = TONES[text];
      return tone === undefined ? { text } : { text, tone };
    },
  };
}
