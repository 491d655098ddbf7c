import assert from "node:assert/strict";
import fc from "fast-check";
import { JOIN_TOKEN_PARTS } from "../limits.ts";
import { realScope } from "../mesh/real_scope.ts";
import type { Scope } from "../seams.ts";
import { openSqliteStore } from "../store/sqlite.ts";
import { entries } from "../store/record.ts";
import type { Store, Write } from "../store/store.ts";
import { removeJoinToken, takeUse, usesLeft } from "./join_tokens.ts";
import { keys } from "./keys.ts";
import { joinTokens } from "./records.ts";
import type { JoinToken } from "./types.ts";

const AT_ONCE = 16;

/** Runs the test with a store that holds a token of so many uses. */
async function withToken(
  uses: number,
  test: (parts: { store: Store; scope: Scope; token: JoinToken }) => Promise<void>,
): Promise<void> {
  const scope = realScope({ name: "test" });
  const store = openSqliteStore({ path: ":memory:" });
  const token: JoinToken = {
    v: 1,
    id: "A".repeat(16),
    secretHash: "0".repeat(64),
    kind: "system",
    zone: "z",
    uses,
    expiresAtMs: 1,
    machineId: null,
    maker: "test",
    run: null,
  };
  try {
    await store.write(scope, (tx) => Promise.resolve(joinTokens.put(tx, token, token.id)));
    await test({ store, scope, token });
  } finally {
    await store.close();
  }
}

/** So many at once try to take a use; how many got one. */
async function takenBy(
  callers: number,
  { store, scope, token }: { store: Store; scope: Scope; token: JoinToken },
): Promise<number> {
  const take = (tx: Write) => takeUse({ tx, draw: (below) => scope.random.below(below) }, token);
  const got = await Promise.all(Array.from({ length: callers }, () => store.write(scope, take)));
  return got.filter(Boolean).length;
}

Deno.test("takeUse() gives as many uses as the token has, whoever comes at once, and not one more", async () => {
  const uses = fc.oneof(
    fc.integer({ min: 1, max: 40 }),
    fc.integer({ min: JOIN_TOKEN_PARTS - 2, max: JOIN_TOKEN_PARTS + 2 }),
    fc.integer({ min: 2 * JOIN_TOKEN_PARTS, max: 2 * JOIN_TOKEN_PARTS + 40 }),
  );
  await fc.assert(
    fc.asyncProperty(uses, fc.integer({ min: 1, max: AT_ONCE }), async (uses, atOnce) => {
      await withToken(uses, async (parts) => {
        const left = () => parts.store.read(parts.scope, (tx) => usesLeft(tx, parts.token));
        let taken = 0;
        for (let round = 0; round <= uses / atOnce; round++) {
          taken += await takenBy(atOnce, parts);
          assert.equal(await left(), uses - taken);
        }
        assert.equal(taken, uses);
        assert.equal(await takenBy(atOnce, parts), 0);
      });
    }),
    { numRuns: 40 },
  );
});

Deno.test("removeJoinToken() takes its counts along, and meets whoever uses the token meanwhile", async () => {
  await withToken(3, async ({ store, scope, token }) => {
    await takenBy(2, { store, scope, token });
    let rounds = 0;
    const found = await store.write(scope, async (tx) => {
      const known = await joinTokens.get(tx, token.id);
      await takeUse({ tx, draw: () => 0 }, token);
      if (++rounds === 1) await store.write(scope, (other) => removeJoinToken(other, token.id));
      return known;
    });
    assert.deepEqual([rounds, found], [2, null], "the use saw the token, then that it is gone");
  });
  await withToken(3, async ({ store, scope, token }) => {
    await takenBy(2, { store, scope, token });
    await store.write(scope, (tx) => removeJoinToken(tx, token.id));
    const rest = await store.read(scope, (tx) => Array.fromAsync(entries(tx, keys.joinUses(token.id))));
    assert.deepEqual(rest, []);
  });
});
