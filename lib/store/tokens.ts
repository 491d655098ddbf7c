/** The names and results of transactions that must not commit twice (T4 of `store.ts`). Shared by every adapter. */
import { SalarError } from "../errors.ts";
import { STORE_TOKEN_CHARS_MAX, STORE_VALUE_BYTES_MAX } from "../limits.ts";
import { utf8Bytes } from "./keys.ts";

/** Refuses with `bad-input` what cannot be a token. */
export function checkToken(token: string): void {
  if (token.length >= 1 && token.length <= STORE_TOKEN_CHARS_MAX && token.isWellFormed()) return;
  throw new SalarError(
    "bad-input",
    `Cannot use token: it has ${token.length} characters, must have 1 … ${STORE_TOKEN_CHARS_MAX}`,
  );
}

/** JSON of a transaction's result, null for none. @throws {SalarError} `too-large` */
export function encodeResult(result: unknown): string | null {
  if (result === undefined) return null;
  const json = JSON.stringify(result);
  const bytes = utf8Bytes(json);
  if (bytes <= STORE_VALUE_BYTES_MAX) return json;
  throw new SalarError(
    "too-large",
    `Cannot keep result of a token: ${bytes} bytes, at most ${STORE_VALUE_BYTES_MAX}`,
  );
}

/** The type is that of the transaction which used the token first; T4 says that it is the same one. */
export function decodeResult<T>(json: string | null): T {
  return (json === null ? undefined : JSON.parse(json)) as T;
}
