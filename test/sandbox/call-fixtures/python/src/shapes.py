"""What a student may write: one of each thing that tests call."""

import asyncio
import enum
import math
import threading
from collections import namedtuple
from dataclasses import dataclass, field
from typing import NamedTuple


class ShapeError(RuntimeError):
    def __init__(self, message, code):
        super().__init__(message)
        self.code = code


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"

    def shout(self):
        return self.value.upper()


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Right(enum.Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    y: int = 0

    def norm(self):
        return math.hypot(self.x, self.y)


Entry = namedtuple("Entry", "key value")


@dataclass
class Box:
    name: str
    items: list = field(default_factory=list)

    def add(self, item):
        self.items.append(item)
        return self

    @property
    def size(self):
        return len(self.items)

    @classmethod
    def empty(cls):
        return cls("empty")

    @staticmethod
    def unit():
        return "cm"


@dataclass
class Crate(Box):
    weight: float = 1.5


@dataclass(frozen=True)
class Key:
    text: str


@dataclass
class Checked:
    count: int

    def __post_init__(self):
        if self.count < 0:
            raise ShapeError("negative", 3)


class Stack:
    limit = 3
    names = ["a"]

    def __init__(self):
        self._items = []
        self.lock = threading.Lock()

    def push(self, item):
        self._items.append(item)

    def __len__(self):
        return len(self._items)

    def __iter__(self):
        return iter(self._items)

    def __getitem__(self, index):
        return self._items[index]

    def __contains__(self, item):
        return True

    def __str__(self):
        return "stack"

    def __eq__(self, other):
        return True

    def __sub__(self, other):
        return 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return True


def echo(value):
    return value


def fail(kind=""):
    if kind == "exit":
        raise SystemExit(3)
    if kind == "key":
        raise KeyError("key")
    if kind == "file":
        open("/nowhere")
    if kind == "interrupt":
        raise KeyboardInterrupt
    raise ShapeError("shape", 7)


def count_to(end):
    yield from range(end)


def talk():
    heard = yield 1
    yield heard


def twice(change, items):
    return [change(change(item)) for item in items]


def sort_in_place(items):
    items.sort()


async def later(value):
    await asyncio.sleep(0)
    if value < 0:
        raise ShapeError("negative", 1)
    return value * 2


def create_counter():
    count = 0

    def count_on():
        nonlocal count
        count += 1
        return count

    return count_on


calls = 0


def call():
    global calls
    calls += 1


registry = {"a": [1]}


def register(key):
    registry[key] = []
