import assert from "node:assert/strict";
import fc from "fast-check";
import { fittingResult, isFitting } from "./run_results.ts";

Deno.test("fittingResult() leaves alone what fits", () => {
  const result = { Id: "a", Groups: [{ GroupId: "g", Errcode: 0 }] };
  assert.equal(fittingResult(result, 100), result);
});

Deno.test("fittingResult() keeps codes and names, and head and tail of long texts", () => {
  const Stdout = `begin${"x".repeat(50_000)}end`;
  const cut = fittingResult({ Id: "a", Groups: [{ GroupId: "g", Errcode: 1, Stdout }] }, 20_000);
  const text = JSON.stringify(cut);
  assert.match(text, /^\{"Id":"a","Groups":\[\{"GroupId":"g","Errcode":1,"Stdout":"beginx+ … x+end"\}\]\}$/);
  assert.ok(text.length > 16_000, "no more is cut than must be");
});

Deno.test("fittingResult() of anything fits, and has its id", () => {
  fc.assert(
    fc.property(fc.array(fc.jsonValue(), { maxLength: 200 }), fc.string({ unit: "binary" }), (Groups, Id) => {
      const fitted = fittingResult({ Id, Description: "d", Groups }, 2_000);
      assert.ok(isFitting(fitted, 2_000));
      assert.equal(typeof fitted["Id"], "string");
    }),
  );
});
