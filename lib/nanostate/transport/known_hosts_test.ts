import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import {
  hostNames,
  judgeKey,
  KnownHostsError,
  knownHostsLine,
  matchesHost,
  matchesHosts,
  parseKnownHosts,
} from "./known_hosts.ts";
import { type PublicKey, wireStrings } from "./ssh_key.ts";

const KEY = keyOf("ssh-ed25519", 1);
const OTHER = keyOf("ssh-ed25519", 2);
const RSA = keyOf("ssh-rsa", 3);

Deno.test("judgeKey() knows a host by name, pattern, port and hash, whatever the case", () => {
  const known = parseKnownHosts(
    [
      `web-1,10.0.0.1 ${text(KEY)} a comment`,
      `*.example.org,!bad.example.org ${text(KEY)}`,
      `[db]:2222 ${text(KEY)}`,
      knownHostsLine("[hidden]:2200", KEY, true),
    ].join("\n"),
    "f",
  );
  const kind = (host: string, port = 22) => judgeKey(known, hostNames(host, port), KEY).kind;
  assert.deepEqual(judgeKey(known, hostNames("WEB-1", 22), KEY), { kind: "known", place: "f:1" });
  assert.equal(kind("10.0.0.1"), "known");
  assert.equal(kind("a.example.org"), "known");
  assert.equal(kind("bad.example.org"), "unknown");
  assert.equal(kind("db", 2222), "known");
  assert.equal(kind("db"), "unknown");
  assert.deepEqual(judgeKey(known, hostNames("hidden", 2200), KEY), { kind: "known", place: "f:4" });
  assert.equal(kind("hidden"), "unknown");
});

Deno.test("judgeKey() takes the key of a host's usual port for another port, as OpenSSH does, but no change from it", () => {
  const known = parseKnownHosts(`web ${text(KEY)}`, "f");
  assert.equal(judgeKey(known, hostNames("web", 2222), KEY).kind, "known");
  assert.equal(judgeKey(known, hostNames("web", 2222), OTHER).kind, "unknown");
});

Deno.test("judgeKey() calls every key but the known ones changed, also one of another type", () => {
  const known = parseKnownHosts(`web ${text(KEY)}\nother ${text(OTHER)}\nweb ${text(RSA)}`, "f");
  assert.equal(judgeKey(known, ["web"], RSA).kind, "known");
  assert.deepEqual(judgeKey(known, ["web"], OTHER), { kind: "changed", places: ["f:1", "f:3"] });
  const onlyRsa = parseKnownHosts(`web ${text(RSA)}`, "f");
  assert.deepEqual(judgeKey(onlyRsa, ["web"], KEY), { kind: "changed", places: ["f:1"] });
});

Deno.test("judgeKey() refuses a revoked key whatever else is known of it", () => {
  const known = parseKnownHosts(`web ${text(KEY)}\n@revoked * ${text(KEY)}`, "f");
  assert.deepEqual(judgeKey(known, ["web"], KEY), { kind: "revoked", place: "f:2" });
});

Deno.test("parseKnownHosts() passes over what it cannot read, but not a line that revokes", () => {
  const lines = [
    "# a comment",
    "",
    "web 1024 35 1234567",
    "web ssh-ed25519 !!!",
    `@unknown web ${text(KEY)}`,
  ];
  assert.deepEqual(parseKnownHosts(lines.join("\n"), "f"), []);
  assert.deepEqual(
    parseKnownHosts(`web ssh-rsa ${KEY.blob.toString("base64")}`, "f"),
    [],
    "the types disagree",
  );
  assert.throws(() => parseKnownHosts("\n@revoked * ssh-ed25519 AAA", "f"), /^KnownHostsError: f:2: .*mend/);
});

Deno.test("parseKnownHosts() reads any text, and what knownHostsLine() writes", () => {
  const anything = fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom(..."@|,*! \n\tAas1=[]:") }));
  fc.assert(fc.property(anything, anything, (hosts, rest) => {
    try {
      parseKnownHosts(`${hosts}\n${hosts} ${text(KEY)} ${rest}`, "f").forEach((each) =>
        judgeKey([each], [rest], KEY)
      );
    } catch (error) {
      assert.ok(error instanceof KnownHostsError, String(error));
    }
  }));
  const name = fc.stringMatching(/^[a-z0-9.-]{1,20}$/);
  fc.assert(fc.property(name, fc.integer({ min: 1, max: 65_535 }), fc.boolean(), (host, port, hashed) => {
    const names = hostNames(host, port);
    const known = parseKnownHosts(knownHostsLine(names[0] ?? "", KEY, hashed), "f");
    assert.equal(judgeKey(known, names, KEY).kind, "known");
    assert.equal(judgeKey(known, hostNames(`${host}x`, port), KEY).kind, "unknown");
  }));
});

Deno.test("matchesHost() agrees with a regular expression, and stays quick on many stars", () => {
  const unit = fc.constantFrom("a", "B", ".", "*", "?");
  fc.assert(
    fc.property(fc.string({ unit, maxLength: 12 }), fc.string({ unit, maxLength: 12 }), (pattern, host) => {
      const source = pattern.replaceAll(".", "\\.").replaceAll("*", ".*").replaceAll("?", ".");
      assert.equal(matchesHost(pattern, host), new RegExp(`^${source}$`, "is").test(host));
    }),
  );
  assert.equal(matchesHost("*a".repeat(50) + "b", "a".repeat(5000)), false);
});

Deno.test("matchesHosts() wants one pattern and none that is negated", () => {
  assert.equal(matchesHosts("a*,!ab", "ac"), true);
  assert.equal(matchesHosts("a*,!ab", "ab"), false);
  assert.equal(matchesHosts("!ab", "ac"), false);
});

function keyOf(type: string, seed: number): PublicKey {
  return { type, blob: wireStrings(type, Buffer.alloc(32, seed)) };
}

function text({ type, blob }: PublicKey): string {
  return `${type} ${blob.toString("base64")}`;
}
