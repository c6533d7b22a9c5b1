"""One side's memory of the objects that crossed between a test and the submission.

Plain values cross by value (call_plain.py). Every other object gets a number, and its content (`objects` of a message) crosses when it
first does and whenever it has changed since: a list that the other side changes is changed here, too, and the same object is the same
again. Functions and methods stay where they are; here they are called there. Nothing that arrives is evaluated.
"""

import collections
import enum
import json
import types

from call_classes import Classes, describe_class, fields_of, is_named_tuple
from call_plain import EXCEPTIONS, READERS, MessageError, UncarriedError, pack_plain, pack_primitive

# Of the objects that crossed before, so many of the latest are looked at again for changes with every message.
WATCHED_OBJECTS = 256
MAX_WALKED_OBJECTS = 2000
MAPPINGS = {kind.__name__: kind for kind in (dict, collections.OrderedDict, collections.defaultdict, collections.Counter)}
MAPPING_NAMES = {kind: name for name, kind in MAPPINGS.items()}
SEQUENCES = {"list": list, "deque": collections.deque}
UNCARRIED = (types.ModuleType, types.FrameType, types.CodeType, types.TracebackType, types.CoroutineType)
# Members of sets and keys are compared when they are put in: by then all else has to be there.
FILLED_LAST = ("dict", "set")


class Values:
    """`sign` is 1 for the tests' side, -1 for the submission's; `ask(operation, name, values)` calls the other side."""

    def __init__(self, sign, ask):
        self.sign = sign
        self.ask = ask
        self.count = 0
        self.objects = {}
        self.numbers = {}
        # What the other side knows of an object, as text.
        self.known = {}
        self.watched = {}
        # Changes that came with a new object and wait for the next answer.
        self.held_back = {}
        self.classes = Classes(ask)

    def pack(self, values):
        """Values as they cross, and the objects that the other side does not know as they are now."""
        order = []
        seen = set()

        def remember(value):
            if id(value) not in seen:
                seen.add(id(value))
                order.append(value)

        def refer(value):
            if pack_primitive(value):
                return value
            if isinstance(value, enum.Enum):
                return ["enum", refer(type(value)), refer(value._value_)]
            if is_named_tuple(type(value)):
                return ["named", refer(type(value)), [refer(item) for item in tuple.__iter__(value)]]
            packed = pack_plain(value, refer)
            if packed is not None:
                return packed
            self.check(value)
            number = self.number_of(value)
            remember(value)
            return ["@", number]

        packed = [refer(value) for value in values]
        changed = {}
        looked = 0
        # Grows while it is walked: what an object refers to comes after it.
        while looked < len(order):
            self.look(order[looked], refer, changed)
            looked += 1
        sent = list(order)
        for value in list(self.watched.values()):
            remember(value)
        while looked < min(len(order), len(sent) + MAX_WALKED_OBJECTS):
            self.look(order[looked], refer, changed)
            looked += 1
        for number, (_, text) in changed.items():
            self.known[number] = text
        for value in sent:
            self.watch(value)
        return {"values": packed, "objects": [[number, *content] for number, (content, _) in changed.items()]}

    def check(self, value):
        """Whether an object of this side can cross at all."""
        if isinstance(value, UNCARRIED):
            raise UncarriedError(f"a {type(value).__name__}")
        if self.sign < 0 or id(value) in self.numbers or callable(value) and not isinstance(value, type):
            return
        kind = type(value)
        is_known = kind in MAPPING_NAMES or kind in (list, set, collections.deque) or self.classes.is_remote(kind)
        if not is_known and not isinstance(value, BaseException):
            raise UncarriedError(f"an object of the tests' class {kind.__name__}")

    def look(self, value, refer, changed):
        number = self.number_of(value)
        content = self.describe(value, number, refer)
        if content is None:
            return
        text = json.dumps(content)
        if self.known.get(number) != text:
            changed[number] = (content, text)

    def describe(self, value, number, refer):
        """The content of an object as it crosses; None where this side has nothing to tell."""
        is_foreign = number * self.sign < 0
        kind = type(value)
        if isinstance(value, type):
            return None if is_foreign else ["class", *describe_class(value, refer)]
        for name, sequence in SEQUENCES.items():
            if kind is sequence:
                return [name, [refer(item) for item in value]]
        if kind in MAPPING_NAMES:
            return ["dict", MAPPING_NAMES[kind], [[refer(key), refer(item)] for key, item in value.items()]]
        if kind is set:
            return ["set", [refer(item) for item in value]]
        if isinstance(value, BaseException):
            trace = self.classes.trace_of(value) if self.sign < 0 else ""
            return ["exception", self.refer_exception(kind, refer), refer(value.args), fields_of(value, refer), trace]
        if self.is_function(value):
            return None if is_foreign else ["function", str(getattr(value, "__name__", ""))]
        return ["object", refer(kind), fields_of(value, refer)]

    def is_function(self, value):
        if self.sign > 0:
            return not self.classes.is_remote(type(value))
        return callable(value) and type(value).__module__ in ("builtins", "functools")

    def refer_exception(self, kind, refer):
        """A standard exception by its name; a class of the tests, which the submission cannot have, by its standard base."""
        if EXCEPTIONS.get(kind.__name__) is kind:
            return kind.__name__
        if self.sign < 0 or self.classes.is_remote(kind):
            return refer(kind)
        return next((base.__name__ for base in kind.__mro__ if EXCEPTIONS.get(base.__name__) is base), "Exception")

    def number_of(self, value):
        known = self.numbers.get(id(value))
        if known is not None:
            return known
        self.count += 1
        return self.remember(self.sign * self.count, value)

    def remember(self, number, value):
        # Kept for good: the id of an object that is gone may become another's.
        self.objects[number] = value
        self.numbers[id(value)] = number
        return number

    def is_own(self, value):
        """Whether an object came from here: only then may the other side have it called."""
        return self.numbers.get(id(value), 0) * self.sign > 0

    def watch(self, value):
        if isinstance(value, type):
            return
        self.watched.pop(id(value), None)
        self.watched[id(value)] = value
        while len(self.watched) > WATCHED_OBJECTS:
            del self.watched[next(iter(self.watched))]

    def unpack(self, message, is_new_object=False):
        """What arrived, as values of this side. Raises MessageError, or whatever a builtin raises at a malformed value.

        A test that makes an object of the submission mostly makes what it expects: that object is one that was never seen, and what was
        handed out before cannot be changed at its sight.
        """
        entries = {number: content for number, *content in message["objects"]}
        for number in entries:
            if type(number) is not int or number == 0:
                raise MessageError("no number of an object")
        entries, self.held_back = {**self.held_back, **entries}, {}
        if is_new_object:
            made = message["values"][0]
            if isinstance(made, list) and made[0] == "@" and made[1] in self.objects:
                raise MessageError("a class that hands out the same object again has to be tested in one process")
            handed_out = [number for number in entries if number in self.objects and number * self.sign < 0]
            self.held_back = {number: entries.pop(number) for number in handed_out}
        for number in list(entries):
            self.announce(number, entries)
        for is_last in (False, True):
            for number, (kind, *content) in entries.items():
                if (kind in FILLED_LAST) == is_last and kind not in ("class", "function"):
                    self.fill(number, kind, content)
                self.known[number] = json.dumps([kind, *content])
        return [self.read(value) for value in message["values"]]

    def announce(self, number, entries):
        """Makes what a new number stands for, still empty: objects may refer to each other in a circle. Classes are made whole."""
        if number in self.objects:
            return
        if number not in entries or number * self.sign > 0:
            raise MessageError("an object that was never sent")
        kind, *content = entries[number]

        def read(value):
            if isinstance(value, list) and value[0] == "@":
                self.announce(value[1], entries)
            return self.read(value, read)

        if kind == "class":
            entries[number] = ["pending"]
            made = self.classes.make(content, read)
            entries[number] = [kind, *content]
        elif kind == "function":
            made = self.classes.make_function(content[0])
        elif kind == "exception":
            made = self.classes.new_exception(content[0] if isinstance(content[0], str) else read(content[0]))
        elif kind == "object":
            made = self.classes.new_object(read(content[0]), self.sign)
        elif kind == "dict":
            made = MAPPINGS[content[0]]()
        elif kind == "set":
            made = set()
        elif kind in SEQUENCES:
            made = SEQUENCES[kind]()
        else:
            raise MessageError("no such kind of object")
        self.remember(number, made)
        self.watch(made)

    def fill(self, number, kind, content):
        target = self.objects[number]
        if kind in SEQUENCES and type(target) is SEQUENCES[kind]:
            items = [self.read(item) for item in content[0]]
            target.clear()
            target.extend(items)
        elif kind == "dict" and type(target) is MAPPINGS[content[0]]:
            items = [(self.read(key), self.read(item)) for key, item in content[1]]
            target.clear()
            for key, item in items:
                target[key] = item
        elif kind == "set" and type(target) is set:
            items = [self.read(item) for item in content[0]]
            target.clear()
            target.update(items)
        elif kind == "exception" and isinstance(target, BaseException):
            self.classes.fill_exception(target, self.read(content[1]), self.read_fields(content[2]), str(content[3]))
        elif kind == "object" and self.read(content[0]) is type(target):
            self.classes.fill_object(target, self.read_fields(content[1]), is_first=number not in self.known)
        else:
            raise MessageError("an object changed its kind")

    def read_fields(self, fields):
        return {str(name): self.read(value) for name, value in fields}

    def read(self, value, read=None):
        if value is None or type(value) in (bool, str, int, float):
            return value
        tag, *parts = value
        if tag == "@":
            if parts[0] not in self.objects:
                raise MessageError("an object that was never sent")
            return self.objects[parts[0]]
        inner = read or self.read
        if tag == "enum":
            return self.classes.member(inner(parts[0]), inner(parts[1]))
        if tag == "named":
            return self.classes.named_tuple(inner(parts[0]), [inner(item) for item in parts[1]])
        return READERS[tag](inner, *parts)
