/**
 * Subjects and patterns: what is one, and which pattern takes which subject. Pure.
 *
 * A subject is tokens of [A-Za-z0-9_-] joined by dots; a pattern may hold `*` (exactly one token) anywhere and `>`
 * (one or more tokens) at its end. This is the part of NATS subjects that no other broker would read otherwise.
 */
import { SalarError } from "../errors.ts";
import { BUS_SUBJECT_CHARS_MAX } from "../limits.ts";

const SUBJECT = /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/;
const PATTERN = /^(([A-Za-z0-9_-]+|\*)(\.([A-Za-z0-9_-]+|\*))*(\.>)?|>)$/;

/** Throws `bad-input` unless `subject` names exactly one subject. `action` opens the message: `Cannot publish`. */
export function checkSubject(action: string, subject: string): void {
  check(action, "subject", SUBJECT, subject);
}

/** Throws `bad-input` unless `pattern` is a subject or a pattern. */
export function checkPattern(action: string, pattern: string): void {
  check(action, "pattern", PATTERN, pattern);
}

/** False for a pattern that takes the one subject which it spells. */
export function isPattern(pattern: string): boolean {
  return /[*>]/.test(pattern);
}

/** Whether a valid `pattern` takes a valid subject; made once, asked often. */
export function matcher(pattern: string): (subject: string) => boolean {
  if (!isPattern(pattern)) return (subject) => subject === pattern;
  const source = pattern.replaceAll(".", "\\.").replaceAll("*", "[^.]+").replace(/>$/, ".+");
  const shape = new RegExp(`^${source}$`);
  return (subject) => shape.test(subject);
}

/** True when some subject is taken by both valid patterns. */
export function overlap(left: string, right: string): boolean {
  const a = left.split(".");
  const b = right.split(".");
  for (let at = 0; at < Math.min(a.length, b.length); at++) {
    if (a[at] === ">" || b[at] === ">") return true;
    if (a[at] !== b[at] && a[at] !== "*" && b[at] !== "*") return false;
  }
  return a.length === b.length;
}

function check(action: string, field: string, shape: RegExp, value: string): void {
  const reason = value.length > BUS_SUBJECT_CHARS_MAX
    ? `longer than ${BUS_SUBJECT_CHARS_MAX} characters`
    : shape.test(value)
    ? null
    : field === "subject"
    ? "not tokens of [A-Za-z0-9_-] joined by dots"
    : "not tokens of [A-Za-z0-9_-], `*` or a final `>` joined by dots";
  if (reason === null) return;
  const shown = JSON.stringify(value.slice(0, 80));
  throw new SalarError("bad-input", `${action}: ${field} ${shown} is ${reason}`, {
    detail: { problems: [{ field, reason }] },
  });
}
