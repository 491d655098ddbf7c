import assert from "node:assert/strict";
import { readInventory } from "./state_inventory.ts";

Deno.test("readInventory() joins what holds for all, for groups and for a host; the nearest word comes first", () => {
  const [one, two] = readInventory(
    "hosts.yaml",
    `user: all
become: true
params: {a: 1, b: 1, c: 1}
environment: {LANG: C}
groups:
  g1: {user: g1, params: {b: 2, c: 2}}
  g2: {params: {c: 3}, become: false}
hosts:
  one: {groups: [g1, g2], become: postgres, params: {d: [1, {x: null}]}}
  two:
`,
  );
  assert.deepEqual(one, {
    name: "one",
    address: "one",
    port: null,
    user: "g1",
    become: "postgres",
    groups: ["g1", "g2"],
    params: { a: 1, b: 2, c: 3, d: [1, { x: null }] },
    environment: { LANG: "C" },
  });
  assert.deepEqual([two?.user, two?.become, two?.params], ["all", "root", { a: 1, b: 1, c: 1 }]);
});

for (
  const [text, why] of [
    ["hosts: {a: {adress: x}}", /hosts\.a: .*adress/],
    ["hosts: {a: {port: 70000}}", /hosts\.a\.port/],
    ["hosts: {a: {groups: [g]}}", /hosts\.a: there is no group "g"/],
    ["hosts: {a b: }", /letters, digits/],
    ["hosts:\n  a:\n  a:\n", /unique/i],
    ["[web-1]\nweb-1 ansible_host=x", /hosts\.yaml/],
    ["groups: {}", /hosts/],
  ] as const
) {
  Deno.test(`readInventory() refuses ${JSON.stringify(text)} by name`, () => {
    assert.throws(() => readInventory("hosts.yaml", text), why);
  });
}
