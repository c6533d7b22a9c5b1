"""The submission's classes as the tests' side has them: classes of the same names whose methods are called over there.

What decides a test is never asked of the submission: `==` of dataclasses, named tuples and enumerations compares what is here, other
objects are only equal to themselves, and operators are refused. Dataclasses without code of their own are made here, so that the
submission does not hear of an expected value by its being made.
"""

import collections
import dataclasses
import enum
import functools
import keyword
import os
import traceback
import types

from call_plain import EXCEPTIONS, MessageError, UncarriedError, pack_primitive

CARRIED = frozenset(
    "__len__ __iter__ __next__ __reversed__ __getitem__ __setitem__ __delitem__ __call__ __str__ __repr__ __format__ __enter__ __exit__ "
    "__aiter__ __anext__ __aenter__ __aexit__".split()
)
REFUSED = frozenset(
    "__eq__ __lt__ __le__ __gt__ __ge__ __bool__ __add__ __radd__ __sub__ __rsub__ __mul__ __rmul__ __matmul__ __truediv__ __rtruediv__ "
    "__floordiv__ __mod__ __divmod__ __pow__ __and__ __or__ __xor__ __neg__ __pos__ __abs__ __invert__ __round__ __int__ __float__ "
    "__index__".split()
)
FACTORIES = {kind.__name__: kind for kind in (dict, list, set)}
# Bases that say nothing about what an object can do.
SILENT_MODULES = ("typing", "abc", "enum")
METHODS = (types.FunctionType, types.MethodDescriptorType, types.WrapperDescriptorType, functools.partialmethod)
ENUMS = {name: getattr(enum, name) for name in ("IntEnum", "StrEnum", "IntFlag", "Flag", "Enum") if hasattr(enum, name)}
OF_SYSTEM_ERRORS = ("errno", "strerror", "filename")
MAX_TRACE_LENGTH = 1500


def is_named_tuple(kind):
    return issubclass(kind, tuple) and kind is not tuple and hasattr(kind, "_fields")


def fields_of(value, refer):
    """Attributes of an object, in its dictionary and in its slots. What cannot cross stays where it is."""
    names = dict.fromkeys(getattr(value, "__dict__", ()))
    for kind in type(value).__mro__:
        slots = vars(kind).get("__slots__", ())
        names.update(dict.fromkeys([slots] if isinstance(slots, str) else slots))
    if isinstance(value, OSError):
        names.update(dict.fromkeys(OF_SYSTEM_ERRORS))
    fields = []
    for name in names:
        if name.startswith("__"):
            continue
        try:
            fields.append([name, refer(object.__getattribute__(value, name))])
        except (AttributeError, UncarriedError):
            continue
    return fields


def describe_class(kind, refer):
    """Name, module, bases, members and shape of a class of the submission."""
    bases, members = [], {}
    for base in kind.__bases__:
        if EXCEPTIONS.get(base.__name__) is base:
            bases.append(base.__name__)
        elif base.__module__ == "builtins" and base is not object:
            members.update(_members_of(base))
        elif base is not object and base.__module__ not in SILENT_MODULES:
            bases.append(refer(base))
    members.update(_members_of(kind))
    listed = [[name, *member] for name, member in members.items()]
    return [kind.__name__, str(kind.__module__), bases, listed, _shape_of(kind, refer)]


def _members_of(kind):
    members = {}
    for name, member in vars(kind).items():
        is_special = name.startswith("__") and name.endswith("__")
        if name in REFUSED:
            members[name] = ["refused", None]
        elif is_special and name not in CARRIED:
            continue
        elif isinstance(member, (classmethod, staticmethod)):
            members[name] = ["class", None]
        elif isinstance(member, METHODS) or (callable(member) and not isinstance(member, type) and not is_special):
            members[name] = ["method", None]
        elif isinstance(member, (property, functools.cached_property)):
            members[name] = ["property", None]
        elif pack_primitive(member):
            members[name] = ["value", member]
    return members


def _shape_of(kind, refer):
    if issubclass(kind, enum.Enum):
        base = next(name for name, candidate in ENUMS.items() if issubclass(kind, candidate))
        mixin = "str" if base == "Enum" and issubclass(kind, str) else "int" if base == "Enum" and issubclass(kind, int) else ""
        return ["enum", base, mixin, [[name, refer(member._value_)] for name, member in kind.__members__.items()]]
    if is_named_tuple(kind):
        return ["named", list(kind._fields), [refer(value) for value in kind._field_defaults.values()]]
    if not dataclasses.is_dataclass(kind) or not _is_plain_dataclass(kind):
        return None
    own = vars(kind).get("__annotations__", {})
    fields = [
        [field.name, field.init, field.kw_only, *_default_of(field, refer)]
        for field in dataclasses.fields(kind)
        if field.name in own and "__dataclass_fields__" in vars(kind)
    ]
    return ["dataclass", fields, kind.__dataclass_params__.frozen, kind.__dataclass_params__.unsafe_hash]


def _is_plain_dataclass(kind):
    """Whether making one runs no code of the submission, so that one can as well be made here."""
    parameters = kind.__dataclass_params__
    known = dataclasses.fields(kind)
    return (
        parameters.init
        and parameters.eq
        and not hasattr(kind, "__post_init__")
        and kind.__new__ is object.__new__
        and len(known) == len(kind.__dataclass_fields__)
        and all(
            field.default_factory is dataclasses.MISSING or FACTORIES.get(getattr(field.default_factory, "__name__", "")) is field.default_factory
            for field in known
        )
        and all(dataclasses.is_dataclass(base) or base is object or base.__module__ in SILENT_MODULES for base in kind.__mro__)
    )


def _default_of(field, refer):
    if field.default is not dataclasses.MISSING:
        return ["value", refer(field.default)]
    if field.default_factory is not dataclasses.MISSING:
        return ["factory", field.default_factory.__name__]
    return ["none", None]


def _identifier(name):
    """Names end up in the text of functions that dataclasses makes: nothing else may."""
    if type(name) is not str or not name.isidentifier() or keyword.iskeyword(name) or name.startswith("__"):
        raise MessageError("no name of a field")
    return name


def _check_member(name, kind):
    """The other half may be anything: what Python calls by itself is carried only where it decides nothing."""
    is_special = type(name) is str and name.startswith("__") and name.endswith("__")
    if type(name) is not str or (is_special and kind != "refused" and (kind != "method" or name not in CARRIED)):
        raise MessageError("no member of a class")


class Classes:
    """Makes the classes, and objects of them; `ask(operation, name, values)` calls the other side."""

    def __init__(self, ask):
        self.ask = ask
        # Shapes of the classes that were made here.
        self.shapes = {}
        outer = self

        class Remote(type):
            """Of all classes that were made here."""

            def __new__(cls, name, bases, namespace):
                raise UncarriedError("a class of the tests that extends one of the submission")

            def __call__(cls, *args, **kwargs):
                if outer.shapes[cls][0] == "dataclass":
                    return type.__call__(cls, *args, **kwargs)
                return ask("new", "", [cls, args, tuple(kwargs.items())])

            def __getattr__(cls, name):
                return outer.missing(cls, name)

        self.remote = Remote

    def is_remote(self, kind):
        return kind in self.shapes

    def missing(self, subject, name):
        """An attribute that did not cross with its object. Private ones are looked for by the standard library, in every class."""
        if name.startswith("_"):
            raise AttributeError(name)
        return self.ask("get", name, [subject])

    def make(self, content, read):
        name, module, bases, members, shape = content
        kind = shape[0] if shape else ""
        if kind == "enum":
            made = self.make_enum(name, shape, read)
        elif kind == "named":
            defaults = [read(value) for value in shape[2]]
            made = collections.namedtuple(_identifier(name), [_identifier(field) for field in shape[1]], defaults=defaults)
        else:
            made = self.make_plain(name, bases, shape, read)
        made.__module__ = str(module)
        fields = set(shape[1]) if kind == "named" else {field[0] for field in shape[1]} if kind == "dataclass" else set()
        for member_name, member_kind, value in members:
            _check_member(member_name, member_kind)
            # A field's default stands where its value is looked for.
            if member_name in fields or (kind == "named" and member_name.startswith("_")):
                continue
            member = self.member_of(member_name, member_kind, value, made, kind)
            if member is not None:
                type.__setattr__(made, member_name, member)
        self.shapes[made] = shape or [""]
        return made

    def make_enum(self, name, shape, read):
        _, base, mixin, members = shape
        values = [(_identifier(member), read(value)) for member, value in members]
        mixins = {"str": {"type": str}, "int": {"type": int}}
        return ENUMS[base](str(name), values, **mixins.get(mixin, {}))

    def make_plain(self, name, bases, shape, read):
        parents = tuple(EXCEPTIONS[base] if isinstance(base, str) else read(base) for base in bases) or (object,)
        if not all(parent is object or parent in self.shapes or issubclass(parent, BaseException) for parent in parents):
            raise MessageError("no base of a class")
        namespace = {"__getattr__": lambda subject, missing: self.missing(subject, missing)}
        if not shape:
            return type.__new__(self.remote, str(name), parents, namespace)
        _, fields, is_frozen, has_hash = shape
        # Or the standard library looks for one.
        namespace["__doc__"] = str(name)
        namespace["__annotations__"] = {_identifier(field[0]): object for field in fields}
        for field_name, is_init, is_keyword, default_kind, default in fields:
            given = {}
            if default_kind == "value":
                given["default"] = read(default)
            elif default_kind == "factory":
                given["default_factory"] = FACTORIES[default]
            namespace[field_name] = dataclasses.field(init=is_init is True, kw_only=is_keyword is True, **given)
        made = type.__new__(self.remote, str(name), parents, namespace)
        return dataclasses.dataclass(made, frozen=is_frozen is True, unsafe_hash=has_hash is True)

    def member_of(self, name, kind, value, made, shape):
        ask = self.ask
        if kind == "value":
            return value if shape != "enum" else None
        if kind == "class":
            return classmethod(lambda cls, *args, **kwargs: ask("method", name, [made, args, tuple(kwargs.items())]))
        if kind == "property":
            return property(lambda subject: ask("get", name, [subject]), lambda subject, given: ask("set", name, [subject, given]))
        if kind == "refused":
            is_made_here = shape in ("enum", "named") or (shape == "dataclass" and name == "__eq__")
            return None if is_made_here else self.refused(name, made)
        if name == "__exit__":
            # What a test finds wrong within a `with` is not for the submission to forgive.
            def leave(subject, error_type, error, trace):
                forgiven = ask("method", name, [subject, (error_type and object, error and str(error), None), ()])
                return forgiven is True and not isinstance(error, AssertionError)

            return leave

        def method(subject, *args, **kwargs):
            return ask("method", name, [subject, args, tuple(kwargs.items())])

        method.__name__ = name
        return method

    def refused(self, name, made):
        def refuse(subject, *others):
            if name == "__eq__" and (subject is others[0] or type(others[0]) is not made):
                return subject is others[0]
            raise UncarriedError(f"{name} of {made.__name__}, which would let the submission decide,")

        return refuse

    def make_function(self, name):
        ask = self.ask

        def called(*args, **kwargs):
            return ask("call", "", [called, args, tuple(kwargs.items())])

        called.__name__ = str(name)
        return called

    def new_object(self, kind, sign):
        if sign > 0 and (kind not in self.shapes or self.shapes[kind][0] in ("enum", "named") or issubclass(kind, BaseException)):
            raise MessageError("no class of an object")
        return object.__new__(kind)

    def fill_object(self, target, fields, *, is_first):
        shape = self.shapes.get(type(target))
        if shape is not None and shape[0] == "dataclass" and shape[2] is True and not is_first:
            return
        for name, value in fields.items():
            if not name.startswith("__"):
                object.__setattr__(target, name, value)
        for name in [name for name in getattr(target, "__dict__", ()) if name not in fields]:
            object.__delattr__(target, name)

    def new_exception(self, kind):
        if isinstance(kind, str):
            kind = EXCEPTIONS.get(kind, Exception)
        elif kind not in self.shapes or not issubclass(kind, BaseException):
            raise MessageError("no class of an exception")
        try:
            return _standard_base(kind).__new__(kind)
        except TypeError:
            # A group of exceptions, which has to hold some.
            return Exception()

    def fill_exception(self, target, args, fields, trace):
        try:
            _standard_base(type(target)).__init__(target, *args)
        except Exception:
            pass
        target.args = tuple(args)
        for name in OF_SYSTEM_ERRORS if isinstance(target, OSError) else ():
            setattr(target, name, fields.pop(name, None))
        target.__dict__.clear()
        target.__dict__.update((name, value) for name, value in fields.items() if not name.startswith("__"))
        if trace and hasattr(BaseException, "add_note"):
            BaseException.add_note(target, trace)

    def trace_of(self, error):
        """Where in the submission an exception came from."""
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(os.getcwd() + "/")]
        lines = traceback.format_list(frames)
        return "".join(lines)[-MAX_TRACE_LENGTH:]

    def member(self, kind, value):
        if not isinstance(kind, enum.EnumMeta):
            raise MessageError("no enumeration")
        return kind(value)

    def named_tuple(self, kind, items):
        if not is_named_tuple(kind) or len(items) != len(kind._fields):
            raise MessageError("no named tuple")
        return tuple.__new__(kind, items)


def _standard_base(kind):
    return next(base for base in kind.__mro__ if EXCEPTIONS.get(base.__name__) is base)
