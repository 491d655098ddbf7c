/**
 * Structured logs: a constant message and fields, one line per outcome, no secrets.
 *
 * L1. A line is one JSON object: `at` (ISO 8601, UTC), `level`, `message`, then the fields.
 * L2. A field that is a `Secret` prints `[secret]`; errors print code, message and (level error) stack.
 * An own 60 lines rather than a library, since the known ones keep their configuration in module state.
 */
import { isSalarError, messageOf } from "./errors.ts";

export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
export type LogLevel = typeof LOG_LEVELS[number];
export type LogFields = Record<string, unknown>;

export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A log that adds `fields` to every line. */
  with(fields: LogFields): Log;
}

export interface LogOptions {
  level: LogLevel;
  nowMs: () => number;
  /** Takes one line without its line end. */
  write: (line: string, level: LogLevel) => void;
}

export function createLog(options: LogOptions, bound: LogFields = {}): Log {
  const least = LOG_LEVELS.indexOf(options.level);
  const emit = (level: LogLevel) => (message: string, fields: LogFields = {}) => {
    if (LOG_LEVELS.indexOf(level) < least) return;
    const at = new Date(options.nowMs()).toISOString();
    const line = { at, level, message, ...bound, ...fields };
    options.write(JSON.stringify(line, (_key, value) => printable(value, level)), level);
  };
  return {
    debug: emit("debug"),
    info: emit("info"),
    warn: emit("warn"),
    error: emit("error"),
    with: (fields) => createLog(options, { ...bound, ...fields }),
  };
}

/** A log that keeps nothing, for tests and tools that print their own. */
export const silentLog: Log = createLog({ level: "error", nowMs: () => 0, write: () => {} });

function printable(value: unknown, level: LogLevel): unknown {
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Error) {
    return {
      ...(isSalarError(value) ? { code: value.code, detail: value.detail } : {}),
      message: value.message,
      ...(value.cause === undefined ? {} : { cause: messageOf(value.cause) }),
      ...(level === "error" ? { stack: value.stack } : {}),
    };
  }
  return value;
}
