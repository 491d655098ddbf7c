import assert from "node:assert/strict";
import { interpreterOf, moduleKind, pythonSource } from "./module_kind.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

const KINDS: [kind: string, source: string][] = [
  ["binary", "\x7fELF from ansible.module_utils.basic import x"],
  ["python", "from ansible.module_utils.basic import AnsibleModule"],
  ["python", "import ansible.module_utils.basic"],
  ["python", "from ansible_collections.ns.coll.plugins.module_utils.x import y"],
  ["python", "from ..module_utils import x"],
  ["python", "#<<INCLUDE_ANSIBLE_MODULE_COMMON>>"],
  ["python", "# WANT_JSON\nfrom ansible.module_utils.basic import AnsibleModule"],
  ["powershell", "#Requires -Module Ansible.ModuleUtils.Legacy\n# WANT_JSON"],
  ["powershell", "#AnsibleRequires -CSharpUtil Ansible.Basic"],
  ["json-args", "#!/bin/sh\nargs='<<INCLUDE_ANSIBLE_MODULE_JSON_ARGS>>' # WANT_JSON"],
  ["want-json", "#!/usr/bin/perl\n# WANT_JSON"],
  ["old", "#!/bin/sh\n. $1\n"],
  ["old", "from ansible.module_utils\nimport x"],
  ["old", "# héllo"],
];

Deno.test("moduleKind() takes the first kind that matches, in the engine's order", () => {
  for (const [kind, source] of KINDS) assert.equal(moduleKind(bytes(source)), kind, source);
});

Deno.test("moduleKind() looks for bytes outside of text in the first 1024 only", () => {
  assert.equal(moduleKind(bytes(`#!/bin/sh\n${"#".repeat(1013)}\0`)), "binary");
  assert.equal(moduleKind(bytes(`#!/bin/sh\n${"#".repeat(1014)}\0`)), "old");
});

Deno.test("interpreterOf() gives what follows #!, and nothing without", () => {
  assert.equal(interpreterOf(bytes("#! /usr/bin/env perl \r\nx")), "/usr/bin/env perl");
  assert.equal(interpreterOf(bytes("#!/bin/sh")), "/bin/sh");
  assert.equal(interpreterOf(bytes("#!\n")), null);
  assert.equal(interpreterOf(bytes("\n#!/bin/sh\n")), null);
});

Deno.test("pythonSource() replaces the include of old modules and keeps every other byte", () => {
  const source = Uint8Array.of(0xff, ...bytes("\n#<<INCLUDE_ANSIBLE_MODULE_COMMON>>\nmain()\n"));
  const expected = Uint8Array.of(0xff, ...bytes("\nfrom ansible.module_utils.basic import *\nmain()\n"));
  assert.deepEqual(Uint8Array.from(pythonSource(source)), expected);
});
