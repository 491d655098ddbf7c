import assert from "node:assert/strict";
import { fetchTarget } from "./fetch.ts";

Deno.test("fetchTarget() keeps hosts and folders apart below dest", () => {
  assert.equal(fetchTarget({ dest: "got/" }, "web-1", "/etc/./motd"), "got/web-1/etc/motd");
});

Deno.test("fetchTarget() of a flat one is dest, or the file's name in it", () => {
  assert.equal(fetchTarget({ dest: "/srv/motd", flat: "yes" }, "web-1", "/etc/motd"), "/srv/motd");
  assert.equal(fetchTarget({ dest: "/srv/", flat: true }, "web-1", "/etc/motd"), "/srv/motd");
});

Deno.test("fetchTarget() refuses what would leave dest", () => {
  for (
    const [host, path] of [["web-1", "/etc/../../x"], ["..", "/x"], ["a/b", "/x"], [
      "web-1",
      "/a\0b",
    ]] as const
  ) {
    assert.throws(() => fetchTarget({ dest: "got" }, host, path), /would leave dest/, `${host} ${path}`);
  }
  assert.throws(() => fetchTarget({ dest: "got/", flat: true }, "web-1", "/etc/.."), /would leave dest/);
});

Deno.test("fetchTarget() wants a dest", () => {
  assert.throws(() => fetchTarget({}, "web-1", "/x"), /src and dest are required/);
});
