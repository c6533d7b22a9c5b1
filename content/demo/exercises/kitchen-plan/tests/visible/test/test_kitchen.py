import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from planner import Slot, schedule, timetable
from recipe import RecipeError, Step, parse_recipe

PASTA = """\
# pasta for six
chop onions: 10
boil water: 8; uses hob
make sauce: 25; after chop onions; uses hob
serve: 3; after make sauce, boil water
"""

PASTA_STEPS = [
    Step("chop onions", 10),
    Step("boil water", 8, uses="hob"),
    Step("make sauce", 25, after=("chop onions",), uses="hob"),
    Step("serve", 3, after=("make sauce", "boil water")),
]


class KitchenTest(unittest.TestCase):
    def test_parse_reads_the_recipe_of_the_statement(self):
        self.assertEqual(parse_recipe(PASTA), PASTA_STEPS)

    def test_parse_refuses_minutes_that_are_no_number(self):
        with self.assertRaisesRegex(RecipeError, r"^line 2:"):
            parse_recipe("chop onions: 10\nboil water: long")

    def test_parse_refuses_an_unknown_step(self):
        with self.assertRaisesRegex(RecipeError, r"^line 1:"):
            parse_recipe("serve: 3; after make sauce\nboil water: 8")

    def test_steps_that_wait_for_nothing_begin_together(self):
        salad, bread = Step("wash salad", 5), Step("cut bread", 4)
        self.assertEqual(schedule([salad, bread]), [Slot(salad, 0, 5), Slot(bread, 0, 4)])

    def test_a_step_begins_when_the_last_it_waits_for_has_ended(self):
        self.assertEqual(
            [(slot.step.name, slot.start, slot.end) for slot in schedule(PASTA_STEPS)],
            [
                ("chop onions", 0, 10),
                ("boil water", 0, 8),
                ("make sauce", 10, 35),
                ("serve", 35, 38),
            ],
        )

    def test_equipment_is_used_by_one_step_at_a_time(self):
        steps = [Step("bread", 30, uses="oven"), Step("pie", 45, uses="oven")]
        self.assertEqual([slot.start for slot in schedule(steps)], [0, 30])

    def test_a_circle_is_refused(self):
        with self.assertRaises(RecipeError) as caught:
            schedule([Step("egg", 5, after=("hen",)), Step("hen", 5, after=("egg",))])
        self.assertEqual(sorted(caught.exception.steps), ["egg", "hen"])

    def test_the_timetable_ends_when_dinner_is_ready(self):
        self.assertEqual(
            timetable(PASTA_STEPS, "19:30"),
            [
                "18:52 chop onions",
                "18:52 boil water (hob)",
                "19:02 make sauce (hob)",
                "19:27 serve",
            ],
        )


if __name__ == "__main__":
    unittest.main()
