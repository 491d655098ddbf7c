import assert from "node:assert/strict";
import { algorithmsFrom } from "./ssh_algorithms.ts";
import { SshConfigError } from "./ssh_config.ts";

Deno.test("algorithmsFrom() keeps of ours what is listed, in that order, and nothing else", () => {
  assert.deepEqual(macs("umac-64@openssh.com,hmac-sha2-512,hmac-sha1,hmac-sha2-256"), [
    "hmac-sha2-512",
    "hmac-sha2-256",
  ]);
  assert.deepEqual(macs("-*-etm@openssh.com"), ["hmac-sha2-256", "hmac-sha2-512"]);
  assert.equal(macs("^hmac-sha2-512,hmac-sha2-512")[0], "hmac-sha2-512");
  assert.equal(macs("^hmac-sha2-512").length, 4);
  assert.deepEqual(macs("+hmac-sha1,hmac-md5"), macs(null));
  const certificates = { args: ["*-cert-v01@openssh.com"], place: "f:4" };
  assert.throws(
    () => algorithmsFrom(new Map([["hostkeyalgorithms", certificates]])),
    /^SshConfigError: f:4: .* certificates only/,
  );
  assert.throws(
    () => macs("hmac-md5"),
    (error) => error instanceof SshConfigError && /^f:3: macs leaves none/.test(error.message),
  );
});

Deno.test("algorithmsFrom() offers nothing with SHA-1 or CBC", () => {
  const all = Object.values(algorithmsFrom(new Map())).flat();
  assert.deepEqual(all.filter((name) => /sha1|cbc|^ssh-rsa|md5/.test(name)), []);
});

function macs(text: string | null): string[] {
  return algorithmsFrom(new Map(text === null ? [] : [["macs", { args: [text], place: "f:3" }]])).macs;
}
