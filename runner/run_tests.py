"""`python3 run_tests.py FILE...`: runs unittest files by path and writes JUnit XML to descriptor 3.

The readable report goes to standard error. Exit code 1 where anything failed. One testcase per test method; a failing subTest fails
its test; a file that cannot be imported is one testcase with an error.
"""

import functools
import importlib.util
import os
import re
import sys
import time
import traceback
import unittest
from xml.sax.saxutils import escape, quoteattr

REPORT_DESCRIPTOR = 3
MAX_MESSAGE_LENGTH = 4000
# What XML 1.0 cannot hold: control characters, surrogates, the two non-characters.
FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def clean(text):
    """Fit for XML; of a long traceback the end is kept, which says what went wrong."""
    return FORBIDDEN.sub("", text[-MAX_MESSAGE_LENGTH:])


class Result(unittest.TextTestResult):
    """Keeps one outcome per test; the first problem of a test is the one that is told."""

    def __init__(self, *args, find_fault, **kwargs):
        super().__init__(*args, **kwargs)
        self.find_fault = find_fault
        self.outcomes = {}
        self.seconds = {}

    def startTest(self, test):
        super().startTest(test)
        self.seconds[test.id()] = -time.perf_counter()

    def stopTest(self, test):
        super().stopTest(test)
        self.seconds[test.id()] += time.perf_counter()

    def note(self, test, element, message=""):
        previous = self.outcomes.get(test.id())
        if previous is None or previous[0] == "passed":
            self.outcomes[test.id()] = (element, message)

    def note_passed(self, test):
        fault = self.find_fault()
        self.note(test, "passed" if fault is None else "error", fault or "")

    def addSuccess(self, test):
        super().addSuccess(test)
        self.note_passed(test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.note(test, "failure", self._exc_info_to_string(err, test))

    def addError(self, test, err):
        # Also comes for a failing setUpClass or setUpModule, with a stand-in as the test.
        super().addError(test, err)
        self.note(test, "error", self._exc_info_to_string(err, test))

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            parameters = subtest._subDescription()
            self.note(test, "failure", f"{parameters}\n{self._exc_info_to_string(err, test)}")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.note(test, "skipped", reason)

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        self.note_passed(test)

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.note(test, "failure", "unexpected success")


def load(path):
    """Tests of one file. Its module is named after its path, so files of the same name in two folders do not meet."""
    name = os.path.splitext(os.path.normpath(path))[0].replace("/", ".")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return unittest.defaultTestLoader.loadTestsFromModule(module)


def testcase(name, seconds, element, message):
    opening = f"<testcase name={quoteattr(clean(name))} time=\"{seconds:.4f}\">"
    if element == "passed":
        return f"{opening}</testcase>"
    return f"{opening}<{element}>{escape(clean(message))}</{element}></testcase>"


def run(paths, descriptor, find_fault=lambda: None):
    """Writes the report to `descriptor`. `find_fault` says, at the end of each test, why it cannot count as passed; None where it can."""
    cases = []
    suite = unittest.TestSuite()
    for path in paths:
        try:
            suite.addTest(load(path))
        except BaseException:  # Also SystemExit: a module that exits when imported must not end the run.
            message = traceback.format_exc()
            print(message, file=sys.stderr)
            cases.append(testcase(path, 0, "error", message))
    result_class = functools.partial(Result, find_fault=find_fault)
    result = unittest.TextTestRunner(stream=sys.stderr, verbosity=2, resultclass=result_class).run(suite)
    cases += [testcase(name, result.seconds.get(name, 0), *outcome) for name, outcome in result.outcomes.items()]
    is_successful = result.wasSuccessful() and not any("<error" in case for case in cases)
    with os.fdopen(descriptor, "w", encoding="utf-8") as report:
        report.write("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n" + "\n".join(cases) + "\n</testsuites>\n")
    return 0 if is_successful else 1


def main(paths):
    # Children must not hold the report open, nor write to it by accident.
    os.set_inheritable(REPORT_DESCRIPTOR, False)
    # The student's folder instead of this file's; only now, so that no file of a student stands in for a module imported above.
    sys.path[0] = os.getcwd()
    return run(paths, REPORT_DESCRIPTOR)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
