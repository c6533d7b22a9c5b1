import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from planner import schedule, timetable
from recipe import RecipeError, Step, parse_recipe


def starts(steps: list[Step]) -> list[tuple[str, int]]:
    """What begins when, in the order of the plan."""
    return [(slot.step.name, slot.start) for slot in schedule(steps)]


class ParseRulesTest(unittest.TestCase):
    def assert_refused(self, line: str) -> None:
        with self.assertRaisesRegex(RecipeError, r"^line 1:", msg=line):
            parse_recipe(line)

    def test_parts_come_in_any_order_and_spaces_do_not_matter(self):
        self.assertEqual(
            parse_recipe(
                "  # soup\n\n bake :  40 ;uses  oven; after  mix dough ,preheat\n"
                "mix dough:5\npreheat: 9\n"
            ),
            [
                Step("bake", 40, after=("mix dough", "preheat"), uses="oven"),
                Step("mix dough", 5),
                Step("preheat", 9),
            ],
        )

    def test_lines_of_another_form_are_refused(self):
        for line in (
            "chop onions",
            ": 5",
            "chop: 5; before serve",
            "chop: 5;",
            "chop: 5; after",
            "chop: 5; uses",
        ):
            self.assert_refused(line)

    def test_parts_that_come_twice_or_hold_too_much_are_refused(self):
        for line in (
            "chop: 5; uses knife; uses board",
            "chop: 5; uses knife, board",
            "chop: 5; after a; after b",
            "chop: 5; after a,, b",
        ):
            self.assert_refused(line)

    def test_minutes_are_a_whole_number_of_at_least_one(self):
        for minutes in ("0", "-5", "2.5", "", "ten"):
            self.assert_refused(f"chop: {minutes}")

    def test_a_name_is_given_once(self):
        with self.assertRaisesRegex(RecipeError, r"^line 4:"):
            parse_recipe("# twice\nchop: 5\n\n chop : 6\n")

    def test_a_malformed_line_comes_before_an_unknown_step(self):
        with self.assertRaisesRegex(RecipeError, r"^line 2:"):
            parse_recipe("serve: 3; after cook\nwash: soon\n")

    def test_an_empty_recipe_has_no_steps(self):
        self.assertEqual(parse_recipe(""), [])
        self.assertEqual(parse_recipe("\n  # nothing yet\n"), [])


class ScheduleRulesTest(unittest.TestCase):
    def test_steps_may_stand_before_what_they_wait_for(self):
        steps = [Step("serve", 2, after=("cook",)), Step("cook", 7)]
        self.assertEqual(starts(steps), [("cook", 0), ("serve", 7)])

    def test_the_first_in_the_recipe_gets_the_equipment(self):
        steps = [
            Step("chop", 10),
            Step("fry", 5, after=("chop",), uses="hob"),
            Step("boil", 10, uses="hob"),
            Step("toast", 4, uses="hob"),
        ]
        self.assertEqual(starts(steps), [("chop", 0), ("boil", 0), ("fry", 10), ("toast", 15)])

    def test_free_equipment_does_not_wait_for_a_step_that_is_not_ready(self):
        steps = [
            Step("chop", 3),
            Step("fry", 5, after=("chop",), uses="hob"),
            Step("boil", 20, uses="hob"),
        ]
        self.assertEqual(starts(steps), [("chop", 0), ("boil", 0), ("fry", 20)])

    def test_different_equipment_is_used_at_the_same_time(self):
        steps = [
            Step("bread", 30, uses="oven"),
            Step("soup", 20, uses="hob"),
            Step("stew", 20, uses="hob"),
            Step("pie", 10, uses="oven"),
        ]
        self.assertEqual(starts(steps), [("bread", 0), ("soup", 0), ("stew", 20), ("pie", 30)])

    def test_steps_of_the_same_start_stand_in_the_order_of_the_recipe(self):
        steps = [
            Step("z", 1, after=("mix",)),
            Step("mix", 5),
            Step("a", 1, after=("mix",)),
            Step("rest", 5),
        ]
        self.assertEqual(starts(steps), [("mix", 0), ("rest", 0), ("z", 5), ("a", 5)])

    def test_steps_that_end_together_have_ended_before_the_next_begins(self):
        steps = [
            Step("chop", 10),
            Step("peel", 10),
            Step("fry", 5, after=("peel",), uses="hob"),
            Step("boil", 5, after=("chop",), uses="hob"),
        ]
        self.assertEqual(starts(steps), [("chop", 0), ("peel", 0), ("fry", 10), ("boil", 15)])

    def test_a_step_that_is_named_twice_in_after_is_waited_for_once(self):
        steps = [Step("chop", 3), Step("fry", 5, after=("chop", "chop"))]
        self.assertEqual(starts(steps), [("chop", 0), ("fry", 3)])

    def test_a_circle_has_only_the_steps_that_wait_for_each_other(self):
        steps = [
            Step("serve", 1, after=("c", "chop")),
            Step("chop", 5),
            Step("a", 1, after=("c",)),
            Step("b", 1, after=("chop", "a")),
            Step("c", 1, after=("b",)),
        ]
        with self.assertRaises(RecipeError) as caught:
            schedule(steps)
        self.assertEqual(sorted(caught.exception.steps), ["a", "b", "c"])

    def test_a_step_that_waits_for_itself_is_a_circle(self):
        with self.assertRaises(RecipeError) as caught:
            schedule([Step("chop", 5), Step("dream", 5, after=("dream",))])
        self.assertEqual(list(caught.exception.steps), ["dream"])

    def test_thousands_of_steps_are_planned(self):
        names = [f"step {number}" for number in range(2500)]
        waits = [(), *((name,) for name in names)]
        steps = [Step(name, 2, after=after) for name, after in zip(names, waits, strict=False)]
        plan = starts(steps[::-1])
        self.assertEqual(plan[-1], ("step 2499", 4998))
        self.assertEqual(len(plan), 2500)


class TimetableRulesTest(unittest.TestCase):
    def test_the_work_may_begin_on_the_evening_before(self):
        steps = [Step("proof dough", 480), Step("bake", 45, after=("proof dough",), uses="oven")]
        self.assertEqual(timetable(steps, "07:05"), ["22:20 proof dough", "06:20 bake (oven)"])

    def test_the_step_that_ends_last_need_not_be_the_last_to_begin(self):
        steps = [
            Step("roast", 90, uses="oven"),
            Step("toast", 5),
            Step("butter", 1, after=("toast",)),
        ]
        self.assertEqual(
            timetable(steps, "12:00"), ["10:30 roast (oven)", "10:30 toast", "10:35 butter"]
        )

    def test_no_steps_give_no_lines(self):
        self.assertEqual(timetable([], "19:30"), [])


if __name__ == "__main__":
    unittest.main()
