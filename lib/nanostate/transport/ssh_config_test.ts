import assert from "node:assert/strict";
import fc from "fast-check";
import { parseSshConfig, settingsFor, SshConfigError } from "./ssh_config.ts";

const CONFIG = String.raw`
# for all of ours
Host web-* !web-9
    User deploy
    IdentityFile ~/.ssh/ours
    port=2222

Host "web-1"
  HostName 10.0.0.1   # inside
  User nobody
  IdentityFile "/keys/with blank"

Match host 10.0.0.* user deploy
  ConnectTimeout 7
Match originalhost web-2,web-3 !localuser root
  ConnectTimeout 8
Match all
  ServerAliveInterval 30
`;

Deno.test("settingsFor() takes the first value of the blocks that hold, and all keys", () => {
  const one = settings("web-1");
  assert.deepEqual(one, {
    user: ["deploy"],
    identityfile: ["~/.ssh/ours", "/keys/with blank"],
    port: ["2222"],
    hostname: ["10.0.0.1"],
    connecttimeout: ["7"],
    serveraliveinterval: ["30"],
  });
  assert.deepEqual(settings("web-3")["connecttimeout"], ["8"]);
  assert.equal(settings("web-3", "root")["connecttimeout"], undefined);
  assert.deepEqual(settings("web-9"), { serveraliveinterval: ["30"] });
});

Deno.test("settingsFor() applies an Include only where its block holds, and ends blocks of the file with it", () => {
  const lines = parseSshConfig("Host a\nInclude x\nPort 1\nUser outer", "main");
  const include = lines.find(({ keyword }) => keyword === "include");
  assert.ok(include);
  include.included = parseSshConfig("User inner\nHost b\nPort 2", "x");
  const found = (host: string) => settingsFor(lines, { originalHost: host, localUser: "ann" });
  assert.equal(found("a").get("user")?.args[0], "inner");
  assert.equal(found("a").get("port")?.place, "main:3");
  assert.equal(found("b").size, 0);
});

Deno.test("settingsFor() refuses what leads another way or trusts otherwise, and names the line", () => {
  const refuses = (line: string, message: RegExp) => {
    const run = () =>
      settingsFor(parseSshConfig(`Host *\n${line}`, "f"), { originalHost: "a", localUser: "ann" });
    assert.throws(run, (error) => error instanceof SshConfigError && message.test(error.message));
  };
  refuses("ProxyCommand nc %h %p", /f:2: proxycommand is not supported: use ProxyJump/);
  refuses("RevokedHostKeys /etc/ssh/revoked", /f:2: revokedhostkeys .*@revoked/);
  refuses("CanonicalizeHostname yes", /f:2: canonicalizehostname/);
  refuses('Match exec "test -f /x"', /f:2: Match exec is not supported/);
  refuses("Match host", /f:2: Match host has no pattern/);
  const passes =
    "Host *\nProxyCommand none\nGSSAPIAuthentication yes\nForwardAgent yes\nCanonicalizeHostname no";
  assert.equal(settingsFor(parseSshConfig(passes, "f"), { originalHost: "a", localUser: "b" }).size, 4);
});

Deno.test("settingsFor() does not look into what does not hold for the host", () => {
  const lines = parseSshConfig("Host other\nProxyCommand nc %h %p\nHost *\nPort 5", "f");
  assert.equal(settingsFor(lines, { originalHost: "a", localUser: "b" }).get("port")?.args[0], "5");
});

Deno.test("parseSshConfig() names a line that is not whole", () => {
  assert.throws(() => parseSshConfig("Port 1\nUser", "f"), /f:2: "User" has no value/);
  assert.throws(() => parseSshConfig('User "ann', "f"), /f:1: a " does not end/);
});

Deno.test("parseSshConfig() and settingsFor() read any text, or say what is wrong with it", () => {
  const word = fc.constantFrom(
    "Host",
    "Match",
    "all",
    "!a",
    "*",
    "user",
    '"',
    "'",
    "\\",
    "=",
    " ",
    "\n",
    "#",
    "a,b",
  );
  const anything = fc.oneof(fc.string(), fc.array(word, { maxLength: 30 }).map((words) => words.join(" ")));
  fc.assert(fc.property(anything, (text) => {
    try {
      settingsFor(parseSshConfig(text, "f"), { originalHost: "a", localUser: "b" });
    } catch (error) {
      assert.ok(error instanceof SshConfigError, String(error));
    }
  }));
});

function settings(originalHost: string, localUser = "ann"): Record<string, string[]> {
  const found = settingsFor(parseSshConfig(CONFIG, "f"), { originalHost, localUser });
  return Object.fromEntries([...found].map(([keyword, { args }]) => [keyword, args]));
}
