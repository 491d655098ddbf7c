/** Odd places of import statements; tests/nanostate/modules_imports_test.ts compares whole libraries with Python. */
import assert from "node:assert/strict";
import { importsOf } from "./python_imports.ts";

/** `from a import b` → "a: b"; `import a` → "a"; an optional one in brackets. */
function shown(source: string): string[] {
  return importsOf(source).map(({ level, from, names, required }) => {
    const text = `${from === null ? "" : `${".".repeat(level)}${from}: `}${names.join(" ")}`;
    return required ? text : `(${text})`;
  });
}

const CASES: Record<string, [source: string, imports: string[]]> = {
  "plain ones": ["import a, b.c as d\nfrom e import f as g, h\n", ["a b.c", "e: f h"]],
  "relative ones": ["from . import a\nfrom ..b import c\nfrom ...  d . e import f", [
    ".: a",
    "..b: c",
    "...d.e: f",
  ]],
  "everything": ["from a import *", ["a: *"]],
  "brackets with comments and a last comma": ["from a import (  # b, c\n    d,\n    e as f,\n)\n", [
    "a: d e",
  ]],
  "a continued line": ["from a \\\n  import b, \\\r\n  c\n", ["a: b c"]],
  "several on a line": ["import a; import b;x = 1; from c import d", ["a", "b", "c: d"]],
  "in a block": ["try:\n    import a\nexcept ImportError:\n\timport b\nimport c", ["(a)", "(b)", "c"]],
  "in a block on its line": ["if x: import a; import b\nimport c", ["(a)", "(b)", "c"]],
  "a colon in brackets": ["x = {1: 2}; import a", ["a"]],
  "strings of all kinds": [`x = """\nimport a\n\\"""import b\n"""; y = r'\\'' + "\\"import c"\nimport d`, [
    "d",
  ]],
  "comments": ["# it's\nimport a  # import b\n", ["a"]],
  "names that begin alike": ["important = 1\nfrom_x = 2\nfrom importlib import reload\n", [
    "importlib: reload",
  ]],
  "other uses of from": ["raise A from b\nyield from c\n", []],
  "brackets over lines": ["f(\nimport_me,\n)\nimport a", ["a"]],
  "a form feed": ["\fimport a", ["a"]],
  "a text that does not end": ['import a\nx = "import b', ["a"]],
  "nothing": ["", []],
};

for (const [name, [source, imports]] of Object.entries(CASES)) {
  Deno.test(`importsOf() reads ${name}`, () => assert.deepEqual(shown(source), imports));
}
