"""An interpreter that has booted before there is a job: waits for the path and the arguments of its one program on descriptor 4, each
with a NUL between, then becomes that program. It is the same to the program as `python3 PATH ARGUMENT...`.
"""

import os
import sys

CONTROL = 4
MAX_MESSAGE_BYTES = 64 * 1024


def receive():
    os.write(CONTROL, b"r")
    message = os.read(CONTROL, MAX_MESSAGE_BYTES)
    os.close(CONTROL)
    if not message:  # The agent has gone.
        sys.exit(0)
    return [os.fsdecode(part) for part in message.split(b"\0")]


def new_main(path):
    """A `__main__` in which nothing is left of this file."""
    module = type(sys)("__main__")
    module.__dict__.update(__loader__=type(__loader__)("__main__", path), __builtins__=__builtins__, __annotations__={})
    module.__dict__.update(__file__=path, __cached__=None)
    sys.modules["__main__"] = module
    return module.__dict__


def main():
    sys.argv[:] = receive()
    path = os.path.join(os.getcwd(), sys.argv[0])
    sys.path[0] = os.path.dirname(os.path.realpath(path))
    try:
        with open(path, "rb") as file:
            source = file.read()
    except OSError as error:
        print(f"{sys.executable}: can't open file {path!r}: [Errno {error.errno}] {error.strerror}", file=sys.stderr)
        sys.exit(2)
    try:
        exec(compile(source, path, "exec"), new_main(path))
    except SystemExit:
        raise
    except BaseException as error:
        # Without the frame of this file.
        sys.excepthook(type(error), error.with_traceback(error.__traceback__.tb_next), error.__traceback__)
        sys.exit(1)


main()
