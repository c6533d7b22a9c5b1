import collections
import datetime
import decimal
import fractions
import math
import pathlib
import sys
import unittest
import uuid
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "src"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import shapes
import shop.cart
from half import half
from shapes import *  # noqa: F403
from shapes import Box, Checked, Color, Crate, Entry, Key, Point, Right, ShapeError, Size, Stack, echo, fail


class ValueTest(unittest.TestCase):
    def test_values(self):
        utc = datetime.timezone.utc
        for value in (
            *(1, -0.0, math.inf, 2**80, -(2**70), "x\0\ud800", b"ab", None, True, (1, [2, {3}]), {1: 2, (1, 2): "x"}, {1, 2}),
            *(datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1, 2, tzinfo=utc), datetime.time(1), datetime.timedelta(1, 2, 3)),
            *(decimal.Decimal("1.10"), fractions.Fraction(1, 3), 1j, range(3), uuid.UUID(int=5), pathlib.PurePosixPath("a/b")),
            *(frozenset([1]), collections.Counter("aab"), collections.OrderedDict(a=1), collections.deque([1]), int, ...),
        ):
            self.assertEqual(echo(value), value)
            self.assertIs(type(echo(value)), type(value))
        self.assertTrue(math.isnan(echo(math.nan)))

    def test_the_same_object_is_the_same_again(self):
        items = [1]
        self.assertIs(echo(items), items)
        self.assertIs(shapes.registry, shapes.registry)

    def test_what_is_changed(self):
        items = [3, 1]
        shapes.sort_in_place(items)
        self.assertEqual(items, [1, 3])
        shapes.registry["a"].append(2)
        shapes.register("b")
        self.assertEqual(shapes.registry, {"a": [1, 2], "b": []})
        shapes.call()
        self.assertEqual(shapes.calls, 1)

    def test_packages(self):
        self.assertEqual(shop.cart.double(2), 4)
        self.assertIs(shop.Box, Box)

    def test_what_cannot_cross_is_refused_in_plain_words(self):
        class Mine:
            pass

        with self.assertRaisesRegex(Exception, "shared-process"):
            echo(Mine())
        with self.assertRaisesRegex(Exception, "shared-process"):

            class Extended(Stack):
                pass

        with self.assertRaises(ImportError):
            from shapes import math  # noqa: F401
        with self.assertRaisesRegex(Exception, "shared-process"):
            import subprocess

            subprocess.run(["true"])


class ClassTest(unittest.TestCase):
    def test_dataclasses_are_compared_by_their_fields(self):
        box = Box("b").add(1).add("x")
        self.assertEqual(box.items, [1, "x"])
        self.assertEqual(box.size, 2)
        self.assertEqual(box, Box("b", [1, "x"]))
        self.assertNotEqual(box, Box("c", [1, "x"]))
        self.assertEqual(Box.empty(), Box("empty"))
        self.assertEqual(Box.unit(), "cm")
        self.assertEqual(repr(Box("q")), "Box(name='q', items=[])")
        crate = Crate("c", weight=2.0)
        self.assertIsInstance(crate, Box)
        self.assertEqual(echo(crate), crate)
        self.assertEqual(echo([Key("a")]), [Key("a")])
        self.assertEqual(len(echo({Key("a"), Key("b"), Key("a")})), 2)
        with self.assertRaises(AttributeError):
            Key("a").text = "b"
        with self.assertRaises(TypeError):
            Box()

    def test_a_dataclass_with_code_of_its_own_is_made_there(self):
        self.assertEqual(Checked(3).count, 3)
        with self.assertRaises(ShapeError) as caught:
            Checked(-1)
        self.assertEqual(caught.exception.code, 3)

    def test_enumerations_and_named_tuples(self):
        self.assertIs(echo(Color.RED), Color.RED)
        self.assertEqual(Color("blue"), Color.BLUE)
        self.assertEqual(Color.RED.shout(), "RED")
        self.assertEqual(echo(Size.LARGE), 2)
        self.assertEqual(echo(Right.READ | Right.WRITE), Right.READ | Right.WRITE)
        self.assertEqual(echo(Point(3, 4)), (3, 4))
        self.assertEqual(Point(3, 4).norm(), 5)
        self.assertEqual(Point(1), Point(1, 0))
        self.assertEqual(echo(Entry(1, 2)).value, 2)

    def test_what_an_object_holds_is_asked_for(self):
        stack = Stack()
        stack.push(1)
        stack.push({"a": 1})
        self.assertEqual(len(stack), 2)
        self.assertEqual(list(stack), [1, {"a": 1}])
        self.assertEqual(stack[1], {"a": 1})
        self.assertEqual(str(stack), "stack")
        self.assertEqual((Stack.limit, Stack.names, stack.limit), (3, ["a"], 3))

    def test_what_decides_a_test_is_not_asked_for(self):
        stack = Stack()
        self.assertNotIn(9, stack)
        self.assertNotEqual(stack, 5)
        with self.assertRaisesRegex(Exception, "shared-process"):
            stack == Stack()  # noqa: B015
        with self.assertRaisesRegex(Exception, "shared-process"):
            stack - 1  # noqa: B018
        with self.assertRaises(AssertionError), stack:
            self.assertEqual(1, 2)


class CallTest(unittest.TestCase):
    def test_exceptions(self):
        with self.assertRaisesRegex(ShapeError, "^shape$") as caught:
            fail()
        self.assertEqual((caught.exception.code, caught.exception.args), (7, ("shape",)))
        self.assertIsInstance(caught.exception, RuntimeError)
        with self.assertRaises(KeyError):
            fail("key")
        with self.assertRaises(FileNotFoundError) as caught:
            fail("file")
        self.assertEqual(caught.exception.filename, "/nowhere")
        with self.assertRaises(SystemExit) as caught:
            fail("exit")
        self.assertEqual(caught.exception.code, 3)
        with self.assertRaises(TypeError):
            echo(1, 2)
        with self.assertRaises(AttributeError):
            shapes.nothing  # noqa: B018

    def test_an_interrupt_does_not_end_the_tests(self):
        with self.assertRaises(BaseException) as caught:  # noqa: B017
            fail("interrupt")
        self.assertNotIsInstance(caught.exception, KeyboardInterrupt)

    def test_generators(self):
        self.assertEqual(list(shapes.count_to(3)), [0, 1, 2])
        talk = shapes.talk()
        self.assertEqual(next(talk), 1)
        self.assertEqual(talk.send("heard"), "heard")
        self.assertRaises(StopIteration, next, talk)

    def test_functions_of_a_test(self):
        self.assertEqual(shapes.twice(half, [4]), [1.0])
        three = mock.Mock(return_value=3)
        self.assertEqual(shapes.twice(three, [1]), [3])
        self.assertEqual(three.call_count, 2)

        def refuse(value):
            raise KeyError("mine")

        with self.assertRaises(KeyError):
            shapes.twice(refuse, [1])

    def test_closures(self):
        count_on = shapes.create_counter()
        count_on()
        self.assertEqual(count_on(), 2)


class LaterTest(unittest.IsolatedAsyncioTestCase):
    async def test_coroutines(self):
        self.assertEqual(await shapes.later(2), 4)
        with self.assertRaises(ShapeError):
            await shapes.later(-1)
