import assert from "node:assert/strict";
import { UyuniFault } from "../../lib/uyuni/faults.ts";
import { XmlRpcDate, XmlRpcDouble } from "../../lib/uyuni/xmlrpc.ts";
import { type Argument, choose, LoggedIn, overload, type ParamType } from "./overloads.ts";
import type { User } from "./sessions.ts";

const USER: User = {
  id: 1,
  org_id: 1,
  login: "admin",
  login_uc: "ADMIN",
  password: "x",
  read_only: "N",
  created: 0,
  modified: 0,
};

/** What a method with these overloads is called with: the chosen types, then the arguments. */
async function chosen(
  overloads: readonly (readonly ParamType[])[],
  args: readonly Argument[],
): Promise<unknown[]> {
  const methods = overloads.map((params) => overload(params, () => Promise.resolve(null)));
  const named = { method: "m", javaClass: "C", overloads: methods };
  const { overload: its, args: values } = await choose(
    named,
    args,
    (id) => Promise.resolve(id === 1 ? USER : null),
  );
  return [its.params.join(), ...values];
}

function rejectsParameter(promise: Promise<unknown>, words: RegExp): Promise<void> {
  return assert.rejects(
    promise,
    (error) => error instanceof UyuniFault && error.kind === "bad-parameter" && words.test(error.text),
  );
}

Deno.test("choose() takes the overload whose types fit, whatever the order", async () => {
  const both: ParamType[][] = [["string"], ["int"], ["list"], ["map"], ["boolean"], ["date"], ["user"]];
  const date = new XmlRpcDate("20260101T00:00:00");
  for (const order of [both, both.toReversed()]) {
    assert.deepEqual(await chosen(order, [5]), ["int", 5]);
    assert.deepEqual(await chosen(order, ["5"]), ["string", "5"]);
    assert.deepEqual(await chosen(order, [[5]]), ["list", [5]]);
    assert.deepEqual(await chosen(order, [{ a: 5 }]), ["map", { a: 5 }]);
    assert.deepEqual(await chosen(order, [false]), ["boolean", false]);
    assert.deepEqual(await chosen(order, [date]), ["date", date]);
    assert.deepEqual(await chosen(order, [new LoggedIn(USER)]), ["user", USER]);
  }
});

Deno.test("choose() converts as Uyuni's translator does", async () => {
  const date = new XmlRpcDate("20260101T00:00:00");
  const converted: [ParamType, Argument, unknown][] = [
    ["string", 5, "5"],
    ["string", 5n, "5"],
    ["string", true, "true"],
    ["string", new XmlRpcDouble(2), "2.0"],
    ["string", date, date.text],
    ["string", [1, "a"], "[1, a]"],
    ["string", { a: 1, b: [2] }, "{a=1, b=[2]}"],
    ["boolean", 1, true],
    ["boolean", 2, false],
    ["boolean", "Y", true],
    ["boolean", "no", false],
    ["int", 5_000_000_000n, 705_032_704],
    ["list", 5, [5]],
    ["user", 1, USER],
  ];
  for (const [type, have, want] of converted) assert.deepEqual(await chosen([[type]], [have]), [type, want]);
});

Deno.test("choose() refuses what no conversion fits, and what fits twice", async () => {
  await rejectsParameter(chosen([["int"]], ["5"]), /for class java.lang.String to class java.lang.Integer/);
  await rejectsParameter(chosen([["user"]], ["text"]), /to interface com.redhat.rhn.domain.user.User/);
  await rejectsParameter(chosen([["user"]], [2]), /java.lang.Integer/);
  await rejectsParameter(chosen([["date"]], [5]), /java.util.Date/);
  await rejectsParameter(chosen([["string"]], [new Uint8Array(1)]), /class \[B/);
  await rejectsParameter(chosen([["string"], ["boolean"]], [5]), /more than one method candidate/);
});
