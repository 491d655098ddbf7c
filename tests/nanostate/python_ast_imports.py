"""Prints the imports of Python files as Python's own parser sees them: one line of JSON for each file.

stdin: paths, one a line. A file that this Python does not read is `null`. Each import is
[level, from, [names], whether it stands at the top level].
"""
import ast
import json
import sys
import warnings

warnings.simplefilter("ignore")


def imports(tree):
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield node, [0, None, [alias.name for alias in node.names], id(node) in top]
        elif isinstance(node, ast.ImportFrom):
            yield node, [node.level, node.module or "", [alias.name for alias in node.names], id(node) in top]


for line in sys.stdin:
    path = line.rstrip("\n")
    try:
        with open(path, "rb") as file:
            tree = ast.parse(file.read())
    except (SyntaxError, ValueError):
        print("null")
        continue
    in_order = sorted(imports(tree), key=lambda found: (found[0].lineno, found[0].col_offset))
    print(json.dumps([found for _, found in in_order]))
