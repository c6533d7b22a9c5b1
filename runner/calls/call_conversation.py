"""One side's half of the calls between tests and submission: a JSON message a line on descriptor 3.

`{id, op, name, values, objects}` asks, `{id, values, isError, isPromise, objects}` answers; while one side waits for an answer, the other may
ask in turn (functions of a test). The tests' numbers are positive, the submission's negative.
"""

import json
import os

from call_plain import MessageError
from call_values import Values

DESCRIPTOR = 3
MAX_MESSAGE_BYTES = 16 * 1024 * 1024


class Lines:
    """The lines of the descriptor."""

    def __init__(self):
        self.chunks = []
        self.length = 0

    def next(self):
        """None at the end."""
        while True:
            last = self.chunks[-1] if self.chunks else b""
            end = last.find(b"\n")
            if end >= 0:
                line = b"".join([*self.chunks[:-1], last[:end]])
                rest = last[end + 1 :]
                self.chunks = [rest] if rest else []
                self.length = len(rest)
                return line
            if self.length > MAX_MESSAGE_BYTES:
                raise MessageError("a message of more than 16 MB")
            chunk = os.read(DESCRIPTOR, 65536)
            if not chunk:
                return None
            self.chunks.append(chunk)
            self.length += len(chunk)


def parse(line):
    message = json.loads(line)
    if not isinstance(message, dict):
        raise MessageError("no message")
    return message


class Conversation:
    """`answer(message, values)` does what the other side asks and returns `(value, is_promise)`; what it raises goes back."""

    def __init__(self, sign, answer):
        self.sign = sign
        self.answer = answer
        self.count = 0
        self.answering = 0
        self.lines = Lines()
        self.values = Values(sign, self.ask)
        # Why nothing more can be said; None while all is well.
        self.broken_by = None

    def ask(self, op, name, values):
        """Asks the other side and waits; raises what it raised."""
        if self.broken_by is not None:
            raise RuntimeError(self.broken_by)
        if self.sign < 0 and self.answering == 0:
            raise RuntimeError("a function of the tests can only be called while a test waits")
        packed = self.values.pack(values)
        self.count += 1
        number = self.sign * self.count
        self.send({"id": number, "op": op, "name": name, **packed})
        message, value = self.await_answer(number, op)
        if message.get("isPromise") is True:
            return _settled(value, message.get("isError") is True)
        if message.get("isError") is True:
            raise _raisable(value)
        return value

    def serve(self):
        """Answers what the other side asks until it is gone."""
        while (line := self.lines.next()) is not None:
            self.reply(parse(line))

    def await_answer(self, number, op):
        try:
            while True:
                line = self.lines.next()
                if line is None:
                    raise MessageError("it has ended")
                message = parse(line)
                if "op" in message:
                    self.reply(message)
                elif message.get("id") != number:
                    raise MessageError("it answered what was not asked")
                else:
                    is_new_object = op == "new" and message.get("isError") is not True
                    return message, self.values.unpack(message, is_new_object)[0]
        except Exception as error:
            self.break_off(error)
            raise RuntimeError(self.broken_by) from error

    def reply(self, message):
        values = self.values.unpack(message)
        result = {"id": message.get("id")}
        self.answering += 1
        try:
            value, result["isPromise"] = self.answer(message, values)
        except BaseException as error:
            value, result["isError"] = error, True
        finally:
            self.answering -= 1
        try:
            packed = self.values.pack([value])
        except BaseException as error:
            result["isError"] = True
            packed = self.values.pack([error])
        self.send({**result, **packed})

    def send(self, message):
        try:
            rest = memoryview(json.dumps(message).encode() + b"\n")
            while rest:
                rest = rest[os.write(DESCRIPTOR, rest) :]
        except OSError as error:
            self.break_off(error)
            raise RuntimeError(self.broken_by) from error

    def break_off(self, error):
        if self.broken_by is None:
            self.broken_by = f"The submission's process cannot be asked any more: {error}"


def _raisable(value):
    return value if isinstance(value, BaseException) else MessageError("no exception")


async def _settled(value, is_error):
    if is_error:
        raise _raisable(value)
    return value
