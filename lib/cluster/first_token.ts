/**
 * The first administrator's token: somebody must be able to make the others. Written to a file that only its owner can
 * read, and kept as its hash in the store like any other.
 */
import { API_TOKEN_MS_MAX } from "../limits.ts";
import type { Disk, Scope } from "../seams.ts";
import { mintToken, parseToken, secretMatches, TOKEN_RANDOM_BYTES } from "../secure/token.ts";
import type { Store } from "../store/store.ts";
import { apiTokens } from "./records.ts";

/** Leaves a token alone that the store still knows; makes another one when it has expired, or was never there. */
export async function ensureAdminToken(
  scope: Scope,
  { store, disk, path }: { store: Store; disk: Disk; path: string },
): Promise<void> {
  const kept = parseToken(new TextDecoder().decode(await disk.read(path) ?? new Uint8Array()).trim());
  const nowMs = scope.nowMs();
  if (kept !== null) {
    const known = await store.read(scope, (tx) => apiTokens.get(tx, kept.id));
    if (known !== null && known.expiresAtMs > nowMs && secretMatches(kept.secret, known.secretHash)) return;
  }
  const { id, secretHash, token } = mintToken(scope.random.bytes(TOKEN_RANDOM_BYTES));
  // The file first: a token that is in no file is lost, one that is in no store is only made again.
  await disk.replace(path, new TextEncoder().encode(token.reveal() + "\n"), { mode: 0o600 });
  await store.write(scope, (tx) => {
    const record = { v: 1 as const, id, secretHash, role: "admin" as const, name: "first administrator" };
    apiTokens.put(tx, { ...record, createdAtMs: nowMs, expiresAtMs: nowMs + API_TOKEN_MS_MAX }, id);
    return Promise.resolve();
  });
}
