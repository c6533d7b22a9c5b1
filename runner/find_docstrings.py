"""`python3 find_docstrings.py LIST`: reads Python files and writes what they document to descriptor 3; LIST is a JSON array of their paths.

A JSON object: `things`, an array of `{file, line, name, isDocumented}` of the modules' functions, classes and their methods but for those
whose names begin with an underscore, and `hasOverview`, whether a module has a docstring of its own. Nothing of the files is run.
"""

import ast
import json
import os
import sys
from pathlib import Path

REPORT_DESCRIPTOR = 3
MAX_THINGS = 500
MAX_NAME_LENGTH = 200
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def definitions(body, prefix=''):
    """Yields the public definitions of a module or class, with their names as others write them."""
    for node in body:
        if not isinstance(node, DEFINITIONS) or node.name.startswith('_'):
            continue
        name = prefix + node.name
        # Called by its own module, not by others.
        if name == 'main':
            continue
        yield name, node
        if isinstance(node, ast.ClassDef):
            yield from definitions(node.body, f'{name}.')


def read(path):
    """Returns whether the module has a docstring, and the things that it defines."""
    try:
        module = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        # The linter says more about it.
        return False, [{'file': str(path), 'line': 1, 'name': 'What cannot be read', 'isDocumented': False}]
    things = [
        {
            'file': str(path),
            'line': node.lineno,
            'name': name[:MAX_NAME_LENGTH],
            'isDocumented': bool((ast.get_docstring(node) or '').strip()),
        }
        for name, node in definitions(module.body)
    ]
    return bool((ast.get_docstring(module) or '').strip()), things


def main():
    """Reads all files in the order of their names."""
    sys.setrecursionlimit(2000)
    paths = json.loads(Path(sys.argv[1]).read_text(encoding='utf-8'))
    modules = [read(Path(path)) for path in sorted(paths)]
    things = [thing for _, found in modules for thing in found]
    report = {'things': things[:MAX_THINGS], 'hasOverview': any(has_docstring for has_docstring, _ in modules)}
    with os.fdopen(REPORT_DESCRIPTOR, 'w', encoding='utf-8') as channel:
        json.dump(report, channel)


main()
