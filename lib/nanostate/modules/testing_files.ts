/** Files in memory, for tests of what reads libraries, and a small `ansible` package in them. */
import type { LibraryFiles } from "./library_files.ts";

/** @param files by absolute path */
export function memoryFiles(files: Readonly<Record<string, string | Uint8Array>>): LibraryFiles {
  const paths = Object.keys(files);
  return {
    read(path) {
      const content = Object.hasOwn(files, path) ? files[path] : undefined;
      return content === undefined
        ? null
        : content instanceof Uint8Array
        ? content
        : new TextEncoder().encode(content);
    },
    list(folder) {
      const below = paths.filter((path) => path.startsWith(`${folder.replace(/\/$/, "")}/`))
        .map((path) => path.slice(folder.replace(/\/$/, "").length + 1));
      if (below.length === 0) return null;
      const names = [...new Set(below.map((path) => path.split("/")[0] ?? ""))].sort();
      return names.map((name) => ({ name, isFolder: !below.includes(name) }));
    },
  };
}

/** The least that is an `ansible` package. @param files more of them, by their paths below `folder` */
export function ansibleFiles(
  folder: string,
  files: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const all: Record<string, string> = {
    "release.py": "__version__ = '2.14.18'\n__author__ = 'Ansible, Inc.'\n",
    "module_utils/basic.py":
      "_PY3_MIN = sys.version_info >= (3, 5)\nfrom ansible.module_utils.common import text\n",
    "module_utils/common/__init__.py": "",
    "module_utils/common/text.py": "",
    "module_utils/common/parameters.py":
      "PASS_VARS = {\n    'check_mode': ('check_mode', False),\n    'version': 1,\n}\n",
    "modules/ping.py": PYTHON_MODULE,
    ...files,
  };
  return Object.fromEntries(Object.entries(all).map(([path, text]) => [`${folder}/${path}`, text]));
}

export const PYTHON_MODULE = "#!/usr/bin/python\nfrom ansible.module_utils.basic import AnsibleModule\n";
