import assert from "node:assert/strict";
import { collectionPaths, findAnsible } from "./installed.ts";
import { ModuleError } from "./library.ts";
import { ansibleFiles, memoryFiles } from "./testing_files.ts";

const release = (version: string) => ({ "release.py": `__version__ = '${version}'\n__author__ = 'A'\n` });
const SITE = "lib/python3.11/site-packages/ansible";
const files = memoryFiles({
  ...ansibleFiles(`/venv/${SITE}`),
  ...ansibleFiles(`/active/${SITE}`),
  ...ansibleFiles("/usr/lib/python3/dist-packages/ansible", release("2.9.27")),
  ...ansibleFiles(`/home/ann/.local/${SITE}`, release("2.14.2")),
  ...ansibleFiles(`/opt/pipx/venvs/ansible-core/${SITE}`, release("2.14.10")),
  "/usr/local/lib/python3.11/dist-packages/ansible/release.py": "broken",
});
const denied = (): never => {
  throw new Error("EACCES");
};
const env = { HOME: "/home/ann" };

Deno.test("findAnsible() takes what is named: an environment, its packages, or the package", () => {
  for (const named of ["/venv", "/venv/lib/python3.11/site-packages", `/venv/${SITE}`]) {
    assert.equal(findAnsible({ named, env, files }), `/venv/${SITE}`);
  }
  assert.equal(findAnsible({ env: { ...env, SALAR_ANSIBLE: "/venv" }, files }), `/venv/${SITE}`);
  assert.throws(
    () => findAnsible({ named: "/nowhere", env, files }),
    (error) =>
      error instanceof ModuleError && /^Cannot find ansible at \/nowhere: .*; name a/.test(error.message),
  );
});

Deno.test("findAnsible() prefers the active environment, then the newest version; numbers compare as numbers", () => {
  assert.equal(findAnsible({ env: { ...env, VIRTUAL_ENV: "/active" }, files }), `/active/${SITE}`);
  assert.equal(
    findAnsible({ env: { ...env, VIRTUAL_ENV: "/empty" }, files }),
    `/opt/pipx/venvs/ansible-core/${SITE}`,
  );
  assert.equal(findAnsible({ env, files: memoryFiles({}) }), null);
  const closed = {
    ...files,
    list: (folder: string) => folder.startsWith("/opt") ? denied() : files.list(folder),
  };
  assert.equal(findAnsible({ env, files: closed }), `/home/ann/.local/${SITE}`);
});

Deno.test("collectionPaths() are those that are set, or the usual ones, and then those beside the package", () => {
  assert.deepEqual(collectionPaths("/v/site-packages/ansible", env), [
    "/home/ann/.ansible/collections",
    "/usr/share/ansible/collections",
    "/v/site-packages",
  ]);
  assert.deepEqual(collectionPaths(null, { ...env, ANSIBLE_COLLECTIONS_PATH: "/x:~/y:" }), [
    "/x",
    "/home/ann/y",
  ]);
});
