/** What this room's tests share: keys from fixed seeds, and the reason an action is refused. */
import assert from "node:assert/strict";
import { TrustError, type TrustReason } from "./errors.ts";
import { type Identity, identityFromSeed } from "./keys.ts";

export function seeded(byte: number): Identity {
  return identityFromSeed(new Uint8Array(32).fill(byte));
}

export function refuses(reason: TrustReason, action: () => unknown): void {
  assert.throws(action, (error) => {
    assert.ok(error instanceof TrustError, `expected a TrustError, got ${error}`);
    assert.equal(error.reason, reason, error.message);
    return true;
  });
}
