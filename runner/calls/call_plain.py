"""Values without an identity worth keeping, as JSON lists that begin with a tag, and back. Both sides of a test of two processes use it."""

import base64
import builtins
import datetime
import decimal
import fractions
import math
import pathlib
import uuid


class UncarriedError(Exception):
    """A value, or a use of one, that this kind of test cannot carry."""

    def __init__(self, what):
        super().__init__(
            f"{what} cannot cross between tests and submission; an exercise that needs it is tested in one process "
            "(testStyle shared-process)"
        )


class MessageError(Exception):
    """A message that no honest other side sends."""


SMALL = 2**53
SINGLETONS = {"Ellipsis": Ellipsis, "NotImplemented": NotImplemented}
TYPES = {kind.__name__: kind for kind in (bool, bytes, complex, dict, float, frozenset, int, list, object, set, str, tuple)}
PATHS = {kind.__name__: kind for kind in (pathlib.PosixPath, pathlib.PurePosixPath)}
TIMES = {kind.__name__: kind for kind in (datetime.date, datetime.datetime, datetime.time)}
# An interrupt would end the tests themselves.
EXCEPTIONS = {
    name: kind
    for name, kind in vars(builtins).items()
    if isinstance(kind, type) and issubclass(kind, BaseException) and name not in ("KeyboardInterrupt", "GeneratorExit")
}


def pack_plain(value, refer):
    """The value as a tagged list; None where it is not of a plain type. Types count exactly: a subclass may answer as it likes."""
    kind = type(value)
    if kind is int:
        return ["int", hex(value)]
    if kind is float:
        return ["float", repr(value)]
    if kind is complex:
        return ["complex", repr(value.real), repr(value.imag)]
    if kind in (bytes, bytearray):
        return [kind.__name__, base64.b64encode(value).decode()]
    if kind in (tuple, frozenset):
        return [kind.__name__, [refer(item) for item in value]]
    if kind is range:
        return ["range", *(refer(part) for part in (value.start, value.stop, value.step))]
    if kind is slice:
        return ["slice", *(refer(part) for part in (value.start, value.stop, value.step))]
    if kind is decimal.Decimal:
        return ["decimal", str(value)]
    if kind is fractions.Fraction:
        return ["fraction", hex(value.numerator), hex(value.denominator)]
    if kind is datetime.timedelta:
        return ["timedelta", value.days, value.seconds, value.microseconds]
    if kind is datetime.timezone:
        return ["timezone", refer(value.utcoffset(None))]
    if kind in TIMES.values():
        return ["time", kind.__name__, value.isoformat(), getattr(value, "fold", 0)]
    if kind is uuid.UUID:
        return ["uuid", str(value)]
    if kind in PATHS.values():
        return ["path", kind.__name__, str(value)]
    if isinstance(value, type) and TYPES.get(value.__name__) is value:
        return ["type", value.__name__]
    for name, single in SINGLETONS.items():
        if value is single:
            return ["singleton", name]
    return None


def _fraction(numerator, denominator):
    return fractions.Fraction(int(numerator, 16), int(denominator, 16))


def _time(kind, text, fold):
    made = TIMES[kind].fromisoformat(text)
    return made.replace(fold=1) if fold == 1 else made


READERS = {
    "int": lambda read, text: int(text, 16),
    "float": lambda read, text: float(text),
    "complex": lambda read, real, imaginary: complex(float(real), float(imaginary)),
    "bytes": lambda read, text: base64.b64decode(text),
    "bytearray": lambda read, text: bytearray(base64.b64decode(text)),
    "tuple": lambda read, items: tuple(read(item) for item in items),
    "frozenset": lambda read, items: frozenset(read(item) for item in items),
    "range": lambda read, *parts: range(*(read(part) for part in parts)),
    "slice": lambda read, *parts: slice(*(read(part) for part in parts)),
    "decimal": lambda read, text: decimal.Decimal(text),
    "fraction": lambda read, *parts: _fraction(*parts),
    "timedelta": lambda read, *parts: datetime.timedelta(*parts),
    "timezone": lambda read, offset: datetime.timezone(read(offset)),
    "time": lambda read, *parts: _time(*parts),
    "uuid": lambda read, text: uuid.UUID(text),
    "path": lambda read, kind, text: PATHS[kind](text),
    "type": lambda read, name: TYPES[name],
    "singleton": lambda read, name: SINGLETONS[name],
}


def pack_primitive(value):
    """Whether JSON has the value as it is."""
    kind = type(value)
    if value is None or kind in (bool, str):
        return True
    return (kind is int and -SMALL < value < SMALL) or (kind is float and math.isfinite(value))
