import assert from "node:assert/strict";
import { runHosts } from "./hosts.ts";
import { farm, options } from "./testing.ts";
import { wireShape } from "./wire_shape.ts";

Deno.test("wireShape() is the prototype's result: groups, modules, the host, commands by name; codes roll up", async () => {
  const files = {
    "s.st":
      "id: s\ndescription: Small\nstate:\n  a:\n    - shell: [{one: x}, {two: y}]\n    - ansible.ping:\n  b:\n    - ansible.ping:\n",
  };
  const { start } = farm(() => ({
    answer: ({ kind }, _run, name) => {
      if (kind === "module") return { result: { ping: "pong" } };
      return name === "one" ? { rc: 0, stdout: "out" } : { rc: 3, stderr: "err" };
    },
  }));
  const { hosts: [host] } = await runHosts(start, options(files));
  assert.ok(host !== undefined);
  const json = { ping: "pong", failed: false, changed: false };
  const module = (Errcode: number, Errmsg: string, Json: unknown) => ({
    Module: "ansible.builtin.ping",
    Errcode,
    Errmsg,
    Response: [{
      Host: "h",
      Response: { "ansible.builtin.ping": { Stdout: "", Stderr: "", Errmsg, Errcode, Json } },
    }],
  });
  assert.deepEqual(wireShape(host), {
    Id: "s",
    Description: "Small",
    Groups: [
      {
        GroupId: "a",
        Errcode: 1,
        Errmsg: "exit code 3",
        Response: [
          {
            Module: "shell",
            Errcode: 1,
            Errmsg: "exit code 3",
            Response: [{
              Host: "h",
              Response: {
                one: { Stdout: "out", Stderr: "", Errmsg: "", Errcode: 0, Json: null },
                two: { Stdout: "", Stderr: "err", Errmsg: "exit code 3", Errcode: 1, Json: null },
              },
            }],
          },
          module(2, "an earlier step failed", null),
        ],
      },
      { GroupId: "b", Errcode: 0, Errmsg: "", Response: [module(0, "", json)] },
    ],
  });
});
