import assert from "node:assert/strict";
import { fetchResult, fetchTarget } from "./fetch.ts";

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

Deno.test("fetchResult() names the file when nothing changed, the host's checksum when something did", () => {
  const said = { file: "/etc/motd", checksum: "a", md5sum: "b" };
  assert.deepEqual(fetchResult(said, "/got", false), { changed: false, dest: "/got", ...said });
  assert.deepEqual(fetchResult(said, "/got", true), {
    changed: true,
    dest: "/got",
    checksum: "a",
    md5sum: "b",
    remote_checksum: "a",
    remote_md5sum: null,
  });
});
