"""`python3 serve.py`: the submission's half of a test of two processes, in the submission's own process and as its user.

Loads modules of the work folder and calls them as the tests ask. Nothing that is said here is trusted by the other half.
"""

import importlib
import inspect
import os
import sys

from call_conversation import Conversation
from call_plain import UncarriedError

loop = None


def load(name, folders):
    for folder in reversed(folders):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    module = importlib.import_module(name)
    names = getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]
    return tuple(name for name in names if not is_imported(getattr(module, name, None)))


def is_imported(value):
    """Whether a module has it from Python's library: tests get that from there themselves."""
    owner = str(getattr(value, "__module__", "")).partition(".")[0]
    return inspect.ismodule(value) or (callable(value) and owner in sys.stdlib_module_names)


def export(module, name):
    value = getattr(sys.modules[module], name)
    if is_imported(value):
        raise AttributeError(f"module {module!r} only imports {name!r}")
    return value


def act(op, name, values):
    subject, *rest = values
    if op == "load":
        return load(name, subject)
    if op == "export":
        return export(subject, name)
    if op in ("call", "new"):
        return subject(*rest[0], **dict(rest[1]))
    if op == "method":
        is_special = name.startswith("__") and not isinstance(subject, type)
        method = getattr(type(subject), name).__get__(subject) if is_special else getattr(subject, name)
        return method(*rest[0], **dict(rest[1]))
    if op == "get":
        return getattr(subject, name)
    if op == "set":
        return setattr(subject, name, rest[0])
    raise UncarriedError(f"the operation {op}")


async def settle(awaitable):
    return await awaitable


def answer(message, values):
    global loop
    value = act(message["op"], message["name"], values)
    if not inspect.isawaitable(value):
        return value, False
    import asyncio

    loop = loop or asyncio.new_event_loop()
    return loop.run_until_complete(settle(value)), True


if __name__ == "__main__":
    # The work folder instead of this file's; only now, so that no file of the submission stands in for a module imported above.
    sys.path[0] = os.getcwd()
    os.set_inheritable(3, False)
    Conversation(-1, answer).serve()
