/** Modules of collections: relative imports, packages, redirects and optional imports, against Ansible's own packer. */
import assert from "node:assert/strict";
import { moduleLibrary } from "../../lib/nanostate/modules/module_library.ts";
import { ANSIBLE_VERSIONS, ensureAnsible } from "../parts/ansible.ts";
import { run } from "../parts/command.ts";
import oracle from "./engine_files.py" with { type: "text" };

const LINUX = { system: "Linux", machine: "x86_64" };
const FILES: Record<string, string> = {
  "one/plugins/modules/uses.py": `#!/usr/bin/python
from ..module_utils.helper import (
    thing,  # a comment, with a comma
    other)
from ansible_collections.ns.one.plugins.module_utils import sub
import ansible_collections.ns.one.plugins.module_utils.moved as moved
from ansible_collections.ns.one.plugins.module_utils.gone.deeper import x
from ansible.module_utils.basic import AnsibleModule
try:
    from ansible_collections.ns.absent.plugins.module_utils.y import z
    from ..module_utils.optional_and_missing import z
except ImportError:
    pass
text = """
from ..module_utils.text import not_an_import
"""
`,
  "one/plugins/module_utils/helper.py": `from .sub.deep import d
from ansible.module_utils.six.moves.urllib.parse import quote
thing = other = d
`,
  "one/plugins/module_utils/sub/__init__.py": "from . import deep\nfrom ..beside import b\n",
  "one/plugins/module_utils/sub/deep.py": "d = 1\n",
  "one/plugins/module_utils/beside.py": "def b():\n    from .late import l\n    return l\n",
  "one/plugins/module_utils/late.py":
    "import os; from ansible.module_utils.common.text import converters\nl = 1\n",
  "one/meta/runtime.yml": `plugin_routing:
  module_utils:
    moved: {redirect: ns.two.target}
    gone.deeper: {redirect: ansible_collections.ns.two.plugins.module_utils.target}
`,
  "two/plugins/module_utils/target.py": "x = 1\n",
};

for (const version of ANSIBLE_VERSIONS) {
  Deno.test(`a collection's module is bundled for ${version} as Ansible's packer packs it`, async () => {
    const { python, package: folder } = await ensureAnsible(version);
    const root = await Deno.makeTempDir();
    try {
      const collection = `${root}/ansible_collections/ns`;
      for (const [path, text] of Object.entries(FILES)) {
        await Deno.mkdir(`${collection}/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
        await Deno.writeTextFile(`${collection}/${path}`, text);
      }
      const bundle = await moduleLibrary({ roots: [], collections: [root], ansible: folder })
        .bundle(["ns.one.uses"], LINUX);
      assert.deepEqual(bundle.modules, {
        "ns.one.uses": { kind: "python", entry: "ansible_collections.ns.one.plugins.modules.uses" },
      });
      const archive = `${root}/payload.zip`;
      await Deno.writeFile(archive, bundle.blobs.get(bundle.ansible?.payload ?? "") ?? new Uint8Array());

      const env = { ANSIBLE_COLLECTIONS_PATH: root };
      const engine = await run(python, ["-c", oracle, `uses=${collection}/one/plugins/modules/uses.py`], {
        env,
      });
      const names = await run(python, [
        "-c",
        "import json, sys, zipfile; print(json.dumps(zipfile.ZipFile(sys.argv[1]).namelist()))",
        archive,
      ]);
      assert.deepEqual(JSON.parse(names.stdout), Object.keys(JSON.parse(engine.stdout).uses).sort());

      // The redirects work: the module's imports are imported from the archive alone.
      const script = `import sys; sys.path[:0] = [sys.argv[1]]
from ansible_collections.ns.one.plugins.modules import uses
print(uses.moved.x, uses.x, uses.thing, uses.AnsibleModule.__name__)`;
      assert.equal((await run(python, ["-I", "-S", "-c", script, archive])).stdout, "1 1 1 AnsibleModule\n");
    } finally {
      await Deno.remove(root, { recursive: true });
    }
  });
}
