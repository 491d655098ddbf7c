/**
 * The one line that starts an agent, whatever the login shell is (sh, bash, zsh, csh, fish), and the signs it gives.
 *
 * B1. Between the outer quotes there is no quote, backslash or exclamation mark: all of these shells read it alike.
 * B2. Signs are put together over there: a shell that prints the commands it is given prints no sign.
 * B3. A Python that cannot be used (too old, or a wrapper with nothing behind it) ends with 127, and the next is tried.
 *     Where there is none `sh` takes over: it passes over what was sent for Python and reads a script instead.
 */
import { PYTHON_MIN } from "./protocol.ts";

/** What is seen of a start, in this order, as far as it comes to it. */
export type Sign =
  /** sudo is about to be asked. */
  | "become"
  /** sudo waits for a password. */
  | "password"
  /** The shell of the user it shall be: what is sent now is for the agent. Only given when `password` may come. */
  | "ready"
  | "python"
  | "sh";

export interface Boot {
  /** Unguessable by chance: letters and digits. */
  nonce: string;
  /** Of the compressed source that is sent first. */
  sourceBytes: number;
  /** Instead of looking for one. */
  python: string | null;
  /** `asks` when a password can be given. */
  become: { user: string; asks: boolean } | null;
}

/** Newest first. Behind a name with a number stands that version; the others are told by themselves (B3). */
const PYTHONS = [
  ...[14, 13, 12, 11, 10, 9, 8, 7, 6].map((minor) => `python3.${minor}`),
  "python3",
  "/usr/libexec/platform-python",
  "python",
];

/** What every sign begins with; then comes its word, and a full stop. */
export function signStart(nonce: string): string {
  return `nanostate:${nonce}:`;
}

/** @throws {RangeError} a user or Python that cannot be named in a command */
export function bootCommand({ nonce, sourceBytes, python, become }: Boot): string {
  const candidates = python === null ? PYTHONS : [plainWord(python, "Python")];
  const ready = become?.asks ? "echo nanostate:$n:ready.; " : "";
  const start = `n=${nonce}; ${ready}` +
    `for p in ${candidates.join(" ")}; do command -v $p >/dev/null 2>&1 || continue; ` +
    `$p -c "${pythonBoot(sourceBytes)}" $n; r=$?; [ $r -eq 127 ] || exit $r; done; ` +
    `echo nanostate:$n:sh.; while IFS= read -r l; do [ "$l" = $n ] && break; done; ` +
    `read -r k && eval "$(dd bs=1 count=$k 2>/dev/null)"`;
  if (become === null) return `exec /bin/sh -c '${start}'`;
  const user = plainWord(become.user, "user");
  const ask = become.asks ? "-S -p nanostate:$n:password." : "-n";
  // What sudo says is read with what it starts. Who is that user already needs no sudo.
  const sudo = `n=${nonce}; echo nanostate:$n:become.; ` +
    `[ "$(id -un)" = ${user} ] && exec /bin/sh -c "$1"; ` +
    `exec sudo -H ${ask} -u ${user} -- /bin/sh -c "$1" 2>&1`;
  return `exec /bin/sh -c '${sudo}' sh '${start}'`;
}

/**
 * Reads the source, unpacks it and runs it. The folder it stands in is not where modules are looked for; nothing is read
 * ahead, for what follows is the agent's.
 */
function pythonBoot(sourceBytes: number): string {
  const [major, minor] = PYTHON_MIN;
  return [
    `import sys`,
    `sys.version_info<(${major},${minor}) and sys.exit(127)`,
    `sys.path[:]=filter(None,sys.path)`,
    `import io,zlib`,
    `exec(zlib.decompress(io.BufferedReader(io.FileIO(0,closefd=False),1).read(${sourceBytes})))`,
  ].join(";");
}

/** Names are few and plain; anything else is refused rather than quoted for five shells. */
function plainWord(word: string, what: string): string {
  if (/^[\w/.@+-]+$/.test(word) && !word.startsWith("-")) return word;
  throw new RangeError(
    `Cannot use ${JSON.stringify(word)} as a ${what}: letters, digits and _ / . @ + - only`,
  );
}
