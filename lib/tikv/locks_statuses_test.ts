import assert from "node:assert/strict";
import { STATUS_CACHE_MAX } from "./limits.ts";
import { Statuses } from "./locks_statuses.ts";

Deno.test("Statuses remembers what is settled, and forgets the oldest", () => {
  const statuses = new Statuses();
  for (let at = 1n; at <= STATUS_CACHE_MAX; at++) statuses.add(at, at + 1n);
  assert.equal(statuses.get(1n), 2n);
  statuses.add(0n, 0n);
  assert.equal(statuses.get(1n), undefined);
  assert.equal(statuses.get(0n), 0n);
  assert.equal(statuses.get(2n), 3n);
});

Deno.test("Statuses.add() takes the same again and refuses another", () => {
  const statuses = new Statuses();
  statuses.add(1n, 5n);
  statuses.add(1n, 5n);
  assert.throws(() => statuses.add(1n, 0n), { code: "corrupt" });
  assert.throws(() => statuses.add(1n, 6n), { code: "corrupt" });
});
