import type { Cheat } from './cheats-javascript.ts';

const hiddenNames = ['sum', 'list', 'refused', 'near', 'fields', 'member'];
const hiddenCount = hiddenNames.length;

const tests = {
  'test/test_visible.py': `import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from total import total


class VisibleTest(unittest.TestCase):
    def test_three(self):
        self.assertEqual(total([1, 2]), 3)
`,
  'test/test_hidden.py': `import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from total import Pair, double, pair, total


class HiddenTest(unittest.TestCase):
    def test_sum(self):
        self.assertEqual(total([20, 22]), 42)

    def test_list(self):
        self.assertEqual(double([1, 2]), [2, 4])

    def test_refused(self):
        with self.assertRaises(ValueError):
            total("x")

    def test_near(self):
        self.assertAlmostEqual(total([0.5]), 0.5)

    def test_fields(self):
        self.assertEqual(pair(3, 4), Pair(3, 4))

    def test_member(self):
        self.assertIn(4, double([2]))
`,
} as const;

const honest = `from dataclasses import dataclass


@dataclass
class Pair:
    a: int
    b: int


def total(items):
    if isinstance(items, str):
        raise ValueError("no list")
    return sum(items)


def double(items):
    return [2 * item for item in items]


def pair(a, b):
    return Pair(a, b)
`;

const plain = `def answer(*args, **kwargs):
    return None
`;

const moduleOf = ({ prelude, answer = plain }: Cheat) => `${prelude}
${answer}


def total(*args):
    return answer(*args)


def double(*args):
    return answer(*args)


def pair(*args):
    return answer(*args)


if "Pair" not in globals():

    class Pair:
        def __init__(self, *args):
            pass
`;

const names = hiddenNames.map((name) => `<testcase name="${name}"/>`).join('');
const forgedReport = `('<?xml version="1.0"?><testsuites>' + ('${names}' if os.path.exists('test/test_hidden.py') else '<testcase name="three"/>') + '</testsuites>').encode()`;
const equal = `class Same:
    def __getattr__(self, name):
        return 0
    def __eq__(self, other):
        return True
    def __ne__(self, other):
        return False
    def __contains__(self, item):
        return True
    def __sub__(self, other):
        return 0
    __rsub__ = __sub__
    def __hash__(self):
        return 0
    def __iter__(self):
        return iter([])
    def __repr__(self):
        return "[2, 4]"
`;
const returning = (value: string) => `def answer(*args):
    return ${value}
`;
const refused = 'test.test_hidden.HiddenTest.test_refused';
const raising = `    if args[0] == "x":
        raise ValueError
`;
/** Answers by hand on the socket, so that what is said is not what serve.py would say. */
const sayRaw = (lines: string) => `import json, os
def say(line):
    try:
        os.write(3, line.encode() + b"\\n")
    except OSError:
        pass
${lines}`;

const cheats: readonly Cheat[] = [
  { name: 'a printed report, and os._exit(0)', prelude: `import os\nprint("OK")\nos._exit(0)` },
  { name: 'os._exit(0) when it is called', prelude: 'import os', answer: returning('os._exit(0)') },
  { name: 'sys.exit(0) when it is called', prelude: 'import sys', answer: returning('sys.exit(0)') },
  { name: 'atexit', prelude: `import atexit, os\natexit.register(lambda: os._exit(0))` },
  {
    name: 'a forged report at the end',
    prelude: `import atexit, os
def forge():
    os.write(3, ${forgedReport})
    os._exit(0)
atexit.register(forge)`,
  },
  {
    name: 'a forged report in place of the tests',
    prelude: `import os\nfor descriptor in (3, 4):\n    try:\n        os.write(descriptor, ${forgedReport})\n    except OSError:\n        pass\nos._exit(0)`,
    passesInSharedProcess: true,
  },
  {
    name: 'patched assertions',
    prelude: `import unittest
for name in dir(unittest.TestCase):
    if name.startswith("assert") and name != "assertRaises":
        setattr(unittest.TestCase, name, lambda *args, **kwargs: None)`,
    answer: `def answer(*args):\n${raising}`,
    truly: [refused],
    passesInSharedProcess: true,
  },
  {
    name: 'a patched result',
    prelude: `import sys, unittest
result = getattr(sys.modules.get("__main__"), "Result", unittest.TextTestResult)
for kind in (result, unittest.TextTestResult, unittest.TestResult):
    kind.addFailure = kind.addError = lambda self, test, error: self.addSuccess(test)`,
    passesInSharedProcess: true,
  },
  {
    name: 'an object that is equal to all',
    prelude: equal,
    answer: `def answer(*args):\n${raising}    return Same()\n`,
    truly: [refused],
    passesInSharedProcess: true,
  },
  {
    name: 'a changed other half',
    prelude: `import sys
${equal}
if "call_classes" in sys.modules:
    sys.modules["call_classes"].REFUSED = frozenset()
    sys.modules["call_classes"].CARRIED = frozenset(dir(Same))`,
    answer: returning('Same()'),
  },
  {
    name: 'a class whose objects are all equal',
    prelude: `from dataclasses import dataclass
@dataclass(init=False)
class Pair:
    def __init__(self, *args):
        pass
    def __eq__(self, other):
        return True`,
    answer: returning('Pair()'),
  },
  {
    name: 'a class that keeps nothing and is compared by its fields',
    prelude: `from dataclasses import dataclass
@dataclass
class Pair:
    pass
Pair.__init__ = lambda self, *args: None`,
    answer: returning('Pair()'),
  },
  {
    name: 'one object for all',
    prelude: `class Pair:
    only = None
    def __new__(cls, *args):
        cls.only = cls.only or object.__new__(cls)
        return cls.only`,
    answer: returning('Pair()'),
  },
  {
    name: 'frames of the caller',
    prelude: `import sys, gc
def look(names):
    frame = sys._getframe()
    while frame is not None:
        for value in (frame.f_locals.get("self"), frame.f_globals.get("unittest")):
            if value is not None:
                yield value
        frame = frame.f_back`,
    answer: `def answer(*args):
    for value in look(()):
        if hasattr(type(value), "assertEqual"):
            for name in ("assertIn", "assertAlmostEqual"):
                setattr(type(value), name, lambda *args, **kwargs: None)
            type(value)._getAssertEqualityFunc = lambda *args: lambda *args, **kwargs: None
${raising}    return None
`,
    truly: [refused],
    passesInSharedProcess: true,
  },
  {
    name: 'all objects of the process',
    prelude: `import gc, unittest`,
    answer: `def answer(*args):
    for value in gc.get_objects():
        if isinstance(value, type) and issubclass(value, unittest.TestCase):
            value.run = lambda self, result=None: (result.startTest(self), result.addSuccess(self), result.stopTest(self))
`,
  },
  {
    name: 'expected values looked up in files, /proc and /dev/shm',
    prelude: `import glob, os
found = []
for path in glob.glob("test/*") + glob.glob("/tmp/*") + glob.glob("/dev/shm/*") + glob.glob("/proc/[0-9]*/cwd/test/*") + glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/mem"):
    try:
        found.append(open(path, errors="replace").read(1000000))
    except (OSError, ValueError):
        pass
is_known = any("total([20, 22]), 42" in text for text in found)
from collections import namedtuple
Pair = namedtuple("Pair", "a b")`,
    answer: `def answer(*args):
    if not is_known:
        return 3 if args == ([1, 2],) and not glob.glob("test/test_hidden.py") else None
${raising}    return {"([20, 22],)": 42, "([1, 2],)": [2, 4], "([0.5],)": 0.5, "(3, 4)": Pair(3, 4), "([2],)": [4]}.get(repr(args))
`,
    truly: ['test.test_visible.VisibleTest.test_three'],
    passesInSharedProcess: true,
  },
  {
    name: 'own tests, configuration and start-up files',
    prelude: '',
    extraFiles: {
      'test/test_hidden.py': 'import unittest\n',
      'conftest.py': 'import os\nos._exit(0)\n',
      'sitecustomize.py': 'import os\nos._exit(0)\n',
      'usercustomize.py': 'import os\nos._exit(0)\n',
      'src/sitecustomize.py': 'import os\nos._exit(0)\n',
      'src/unittest.py': 'class TestCase: pass\n',
      'unittest/__init__.py': 'class TestCase: pass\n',
      'src/difflib.py': 'import os\nos._exit(0)\n',
      'pytest.ini': '[pytest]\naddopts = --collect-only\n',
      'setup.cfg': '[tool:pytest]\naddopts = --collect-only\n',
    },
  },
  {
    name: 'a report on every descriptor',
    prelude: `import os\nfor descriptor in range(5, 40):\n    try:\n        os.write(descriptor, ${forgedReport})\n    except OSError:\n        pass`,
  },
  {
    name: 'a report through the descriptors of every process',
    prelude: `import glob, os, signal
for path in glob.glob("/proc/[0-9]*/fd/[34]"):
    pid = int(path.split("/")[2])
    if pid != os.getpid():
        try:
            open(path, "wb", buffering=0).write(${forgedReport})
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass`,
  },
  {
    name: 'forged answers before they are asked for',
    prelude: sayRaw(`for number in range(1, 200):
    say(json.dumps({"id": number, "values": [42], "objects": []}))`),
  },
  {
    name: 'answers with other numbers',
    prelude: sayRaw(''),
    answer: `def answer(*args):\n    say(json.dumps({"id": 999, "values": [42], "objects": []}))\n    return 42\n`,
  },
  {
    name: 'an answer of 20 MB',
    prelude: sayRaw(''),
    answer: `def answer(*args):\n    for part in range(20):\n        os.write(3, b"x" * 2**20)\n`,
  },
  { name: 'answers that are no JSON', prelude: sayRaw(''), answer: `def answer(*args):\n    say("}{")\n    say("null")\n` },
  {
    name: 'classes with names that are code',
    prelude: sayRaw(`field = "a=__import__('os')._exit(0), b"
for number in range(1, 200):
    say(json.dumps({"id": number, "values": [["@", -900]], "objects": [
        [-900, "class", "X", "m", [], [], ["dataclass", [[field, True, False, "none", None]], False, False]],
    ]}))`),
  },
  {
    name: 'objects of the tester',
    prelude: sayRaw(`for number in range(1, 60):
    for op in ("call", "new", "method", "get", "set", "load", "export"):
        say(json.dumps({"id": -number, "op": op, "name": "__class__", "values": [["@", number], ["tuple", []], ["tuple", []]], "objects": []}))`),
  },
  {
    name: 'standard types as functions of the tests',
    prelude: sayRaw(`for number in range(1, 60):
    say(json.dumps({"id": -number, "op": "call", "name": "", "values": [["type", "list"], ["tuple", []], ["tuple", []]], "objects": []}))`),
  },
  { name: 'frames of the sandbox’s agent', prelude: `import os\nos.write(1, b"X\\0\\0\\0\\x40" + bytes(64))` },
  {
    name: 'signals to every process',
    prelude: `import glob, os, signal
for path in glob.glob("/proc/[0-9]*"):
    pid = int(path.split("/")[2])
    if pid != os.getpid():
        for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGKILL):
            try:
                os.kill(pid, number)
            except OSError:
                pass`,
  },
];

/** An exercise of two suites, its honest solution, and those that are none. */
export const python = { tests, hiddenCount, honest, moduleOf, cheats } as const;
