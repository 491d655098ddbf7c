import assert from "node:assert/strict";
import { bootCommand } from "./boot.ts";

const BOOT = { nonce: "0123456789abcdef", sourceBytes: 12_345, python: null, become: null };
const BOOTS = [BOOT, { ...BOOT, become: { user: "ann", asks: false } }, {
  ...BOOT,
  become: { user: "ann", asks: true },
}];

Deno.test("bootCommand() is one line that every login shell reads alike", () => {
  for (const boot of BOOTS) {
    const command = bootCommand(boot);
    assert.match(command, /^exec \/bin\/sh -c '[^'\\!\n]+'( sh '[^'\\!\n]+')?$/);
    // Old csh takes no word of 1024 characters.
    for (const word of command.split("'")) assert.ok(word.length < 1024, `${word.length} characters`);
  }
});

Deno.test("bootCommand() has no sign in it that a shell could repeat", () => {
  for (const boot of BOOTS) assert.doesNotMatch(bootCommand(boot), /nanostate:0/);
});

Deno.test("bootCommand() starts in bash and dash; other shells are logins of the hosts in tests/nanostate", async () => {
  for (const shell of ["bash", "dash"]) {
    const args = ["-c", bootCommand({ ...BOOT, python: "/nowhere" })];
    const { stdout } = await new Deno.Command(shell, { args, stdin: "null" }).output();
    assert.equal(new TextDecoder().decode(stdout), `nanostate:${BOOT.nonce}:sh.\n`, shell);
  }
});

Deno.test("bootCommand() refuses names that would need quotes", () => {
  for (const word of ["a b", "$(id)", "-u", "", "a'b", "a\nb"]) {
    assert.throws(() => bootCommand({ ...BOOT, python: word }), RangeError);
    assert.throws(() => bootCommand({ ...BOOT, become: { user: word, asks: false } }), RangeError);
  }
});
