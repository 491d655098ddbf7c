/** Own modules of each kind that is a script: through `ansible -m`, and through the library and the agent. */
import assert from "node:assert/strict";
import type { AgentRun } from "../../lib/nanostate/agent/protocol.ts";
import { startAgent } from "../../lib/nanostate/agent/session.ts";
import type { JsonObject } from "../../lib/nanostate/json.ts";
import { moduleLibrary } from "../../lib/nanostate/modules/module_library.ts";
import { tidied } from "../../lib/nanostate/modules/tidy.ts";
import { localTransport } from "../../lib/nanostate/transport/local.ts";
import { type Ansible, ANSIBLE_VERSIONS, ensureAnsible } from "../parts/ansible.ts";
import { run } from "../parts/command.ts";

const MODULES = {
  "want_json.sh": `#!/bin/sh
# WANT_JSON
printf '{"changed": true, "given": %s}' "$(cat "$1")"
`,
  "json_args.sh": `#!/bin/sh
cat <<'END'
{"changed": false, "given": <<INCLUDE_ANSIBLE_MODULE_JSON_ARGS>>}
END
`,
  "old_words.sh": `#!/bin/sh
. "$1"
printf 'noise before\\n{"changed": true, "given": {"text": "%s", "number": "%s"}}\\n' \\
  "$(printf %s "$text" | sed 's/"/\\\\"/g')" "$number"
`,
  "old_fails.py": `#!/usr/bin/python
print('{"failed": true, "msg": "as it shall", "rc": 3}')
`,
  "own_python.py": `#!/usr/bin/python
from ansible.module_utils.basic import AnsibleModule
module = AnsibleModule(dict(text=dict(type="str"), number=dict(type="int")), supports_check_mode=True)
module.exit_json(changed=True, given=module.params, check=module.check_mode)
`,
  "old_include.py": `#!/usr/bin/python
#<<INCLUDE_ANSIBLE_MODULE_COMMON>>
module = AnsibleModule(dict(text=dict(type="str"), number=dict(type="int")))
module.fail_json(msg="as it shall", given=module.params)
`,
};
const ARGS = { text: 'two words, "quoted" — ü', number: 7 };

for (const version of ANSIBLE_VERSIONS) {
  Deno.test(`own modules of every kind give under ${version} what ansible -m gives`, async () => {
    const ansible = await ensureAnsible(version);
    const root = await Deno.makeTempDir();
    try {
      await Deno.mkdir(`${root}/modules`);
      for (const [file, text] of Object.entries(MODULES)) {
        await Deno.writeTextFile(`${root}/modules/${file}`, text);
      }
      const names = Object.keys(MODULES).map((file) => file.replace(/\.\w+$/, ""));
      const ours = await throughAgent(names, root, ansible);
      for (const [index, name] of names.entries()) {
        const theirs = await throughAnsible(name, root, ansible);
        assert.deepEqual(withoutInternal(ours[index] ?? {}), withoutInternal(tidied(theirs)), name);
      }
    } finally {
      await Deno.remove(root, { recursive: true });
    }
  });
}

async function throughAgent(names: readonly string[], root: string, ansible: Ansible): Promise<JsonObject[]> {
  const library = moduleLibrary({ roots: [root], collections: [], ansible: ansible.package });
  const modules = names.map((name) => `ansible.builtin.${name}`);
  const session = await startAgent(localTransport(), { become: null, signal: AbortSignal.timeout(60_000) });
  try {
    const bundle = await library.bundle(modules, await session.info);
    const plan: AgentRun = {
      groups: modules.map((module, index) => ({
        steps: [{ id: `all/${index}`, kind: "module", module, args: ARGS, action: null }],
      })),
      check: false,
      diff: false,
      onFailure: "go-on",
      stepMs: 30_000,
      environment: {},
      modules: bundle.modules,
      ansible: bundle.ansible,
    };
    const results: JsonObject[] = [];
    const blobs = (hash: string) =>
      Promise.resolve(bundle.blobs.get(hash) ?? assert.fail(`no ${hash} in the bundle`));
    for await (const event of session.run(plan, blobs)) {
      if (event.type === "result" && event.result.kind === "module") {
        results.push(tidied(event.result.result));
      }
    }
    return results;
  } finally {
    await session.close();
  }
}

async function throughAnsible(name: string, root: string, { python, ansible }: Ansible): Promise<JsonObject> {
  const args = [
    "localhost",
    "-i",
    "localhost,",
    "-c",
    "local",
    "-e",
    `ansible_python_interpreter=${python}`,
    "-M",
    `${root}/modules`,
    "-m",
    name,
  ];
  const options = { okCodes: [0, 2], env: { ANSIBLE_LOCALHOST_WARNING: "false", ANSIBLE_NOCOLOR: "1" } };
  const { stdout } = await run(python, [ansible, ...args, "-a", JSON.stringify(ARGS)], options);
  // Its own word for `failed` stands before the result.
  return {
    ...JSON.parse(stdout.slice(stdout.indexOf("=> ") + 3)),
    failed: /^\S+ \| FAILED! =>/m.test(stdout),
  };
}

/** What the engine hands to each module besides its arguments differs: we send less of it. */
function withoutInternal(result: JsonObject): JsonObject {
  return JSON.parse(JSON.stringify(result), (key, value) => key.startsWith("_ansible_") ? undefined : value);
}
