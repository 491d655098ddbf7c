import assert from "node:assert/strict";
import fc from "fast-check";
import { confirming } from "./confirming.ts";

Deno.test("confirming() never passes a part that is under way, whatever order they end in", () => {
  /** A part, a mark so much further, or the end of one of the parts under way. */
  const step = fc.oneof(
    fc.constant({ add: true } as const),
    fc.nat(9).map((further) => ({ further })),
    fc.nat().map((end) => ({ end })),
  );
  fc.assert(fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
    const flow = confirming(100n);
    let marked = 100n;
    const underWay: { done: () => void; markedBefore: bigint }[] = [];
    let last = 100n;
    for (const now of steps) {
      if ("add" in now) underWay.push({ done: flow.add(), markedBefore: marked });
      else if ("further" in now) flow.mark(marked += BigInt(now.further));
      else underWay.splice(now.end % Math.max(1, underWay.length), 1).forEach(({ done }) => done());

      const limit = underWay.reduce(
        (least, { markedBefore }) => markedBefore < least ? markedBefore : least,
        marked,
      );
      assert.equal(flow.confirmed(), limit); // as far as allowed, and no further
      assert.equal(flow.outstanding(), underWay.length);
      assert(flow.confirmed() >= last);
      last = flow.confirmed();
    }
  }));
});

Deno.test("confirming() counts a part once and goes on over very many", () => {
  const flow = confirming(0n);
  const twice = flow.add();
  flow.add();
  twice();
  twice();
  assert.equal(flow.outstanding(), 1);
  const many = confirming(0n);
  for (let n = 1n; n <= 10_000n; n++) {
    const done = many.add();
    many.mark(n);
    done();
  }
  assert.equal(many.confirmed(), 10_000n);
});

Deno.test("confirming() does not fall for a mark that is behind", () => {
  const flow = confirming(10n);
  flow.mark(5n);
  assert.equal(flow.confirmed(), 10n);
});
