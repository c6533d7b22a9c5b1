"""`python3 -I -S tester.py TEST... -- OWN...`: the tests' half of a test of two processes.

Runs unittest files of the work folder in this process and writes JUnit XML to descriptor 4. What they import is Python's own, or the
exercise's own where it is among OWN; every other module of the work folder is the submission's: it is loaded by the other half
(serve.py), and what is found in it here asks that half. Nothing of the submission is loaded here, so nothing of it can reach the report.
"""

import importlib.machinery
import importlib.util
import os
import sys
import types

FOLDER = os.path.dirname(os.path.abspath(__file__))
STANDARD = list(sys.path)
sys.path[:0] = [FOLDER, os.path.dirname(FOLDER)]

import run_tests
from call_conversation import Conversation
from call_plain import UncarriedError

sys.path[:] = STANDARD

REPORT_DESCRIPTOR = 4
WORK_FOLDER = os.getcwd()
# Of the exercise's dependency layer; the interpreter itself, isolated, takes no notice of it.
PACKAGES = os.environ.get("PYTHONPATH")
# Tests that start programs would start the submission as their own user.
STARTING = ("subprocess.Popen", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system", "pty.spawn")


def answer(message, values):
    """The submission may call what a test handed it, and nothing else."""
    called, args, kwargs = values
    if message["op"] != "call" or not callable(called) or isinstance(called, type) or not conversation.values.is_own(called):
        raise UncarriedError("what is no function of the tests")
    return called(*args, **dict(kwargs)), False


conversation = Conversation(1, answer)


def is_below(folder, path):
    return path.startswith(folder + os.sep)


def is_of_packages(path):
    return PACKAGES is not None and path is not None and (path == PACKAGES or is_below(PACKAGES, path))


def is_import_of_package():
    """Whether a package imports what is being looked for: one that is not there, which no file of the submission may stand in for."""
    frame = sys._getframe(1)
    own = (__file__, importlib.__file__)
    while frame is not None and (frame.f_code.co_filename in own or frame.f_code.co_filename.startswith("<frozen importlib")):
        frame = frame.f_back
    return frame is not None and is_of_packages(frame.f_code.co_filename)


class StandIn(types.ModuleType):
    """A module of the submission: what is looked for in it is asked for, each time anew."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return conversation.ask("export", name, [self.__name__])


class Finder:
    """Python's own modules first, then the exercise's packages; then, of the work folder, the exercise's own files and stand-ins for
    all others."""

    def __init__(self, own):
        self.own = own

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.stdlib_module_names:
            return importlib.machinery.PathFinder.find_spec(name, path if path is not None else STANDARD)
        found = self.find_package(name, [PACKAGES] if path is None else path)
        if found is not None or (path is None and is_import_of_package()):
            return found
        for folder in sys.path if path is None else path:
            found = self.find_in(os.path.abspath(folder), name)
            if found is not None:
                return found
        return None

    def find_package(self, name, path):
        folders = [folder for folder in path if is_of_packages(folder)]
        found = importlib.machinery.PathFinder.find_spec(name, folders) if folders else None
        if found is not None and found.submodule_search_locations is not None:
            # A folder without a start file would otherwise be looked for in the work folder, too.
            found.submodule_search_locations = list(found.submodule_search_locations)
        return found

    def find_in(self, folder, name):
        if folder != WORK_FOLDER and not is_below(WORK_FOLDER, folder):
            return None
        base = os.path.join(folder, name.rpartition(".")[2])
        if os.path.isfile(base + ".py"):
            if base + ".py" in self.own:
                return importlib.util.spec_from_file_location(name, base + ".py")
            return importlib.machinery.ModuleSpec(name, self)
        if not os.path.isdir(base):
            return None
        start = os.path.join(base, "__init__.py")
        if start in self.own:
            return importlib.util.spec_from_file_location(name, start, submodule_search_locations=[base])
        is_own = not os.path.isfile(start) and any(is_below(base, path) for path in self.own)
        spec = importlib.machinery.ModuleSpec(name, None if is_own else self, is_package=True)
        spec.submodule_search_locations = [base]
        return spec

    def create_module(self, spec):
        return StandIn(spec.name)

    def exec_module(self, module):
        inside = [path for path in map(os.path.abspath, sys.path) if path == WORK_FOLDER or is_below(WORK_FOLDER, path)]
        names = conversation.ask("load", module.__name__, [tuple(inside)])
        module.__all__ = [name for name in names if isinstance(name, str)]


def guard(own):
    """Keeps a test from running the submission here by mistake; the submission itself never gets this far."""

    def audit(event, args):
        if event in STARTING:
            raise UncarriedError("a program that a test starts")
        if event == "exec" and hasattr(args[0], "co_filename"):
            path = os.path.abspath(args[0].co_filename)
            if is_below(WORK_FOLDER, path) and os.path.isfile(path) and path not in own:
                raise UncarriedError(f"code of {path} that a test runs itself")

    sys.addaudithook(audit)


def main(args):
    split = args.index("--")
    files, own = args[:split], {os.path.abspath(path) for path in args[split + 1 :]}
    sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not importlib.machinery.PathFinder]
    sys.meta_path.append(Finder(own))
    sys.dont_write_bytecode = True
    guard(own)
    sys.path.insert(0, WORK_FOLDER)
    return run_tests.run(files, REPORT_DESCRIPTOR, find_fault=lambda: conversation.broken_by)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
