import sys
import unittest
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from garden import Plant, days_late, parse_plants, watering_list

FILE = """\
# kitchen and balcony, spring
Basil   | 2 | 2026-05-01 | balcony

Fern    | 7 | 2026-04-28 | indoor
"""


class GardenTest(unittest.TestCase):
    def test_parse_reads_plants_and_skips_comments(self):
        self.assertEqual(
            parse_plants(FILE),
            [
                Plant("Basil", 2, date(2026, 5, 1), "balcony"),
                Plant("Fern", 7, date(2026, 4, 28), "indoor"),
            ],
        )

    def test_parse_refuses_a_line_with_three_fields(self):
        with self.assertRaisesRegex(ValueError, r"^line 1:"):
            parse_plants("Basil | 2 | 2026-05-01")

    def test_days_late_without_rain(self):
        basil = Plant("Basil", 2, date(2026, 5, 1), "balcony")
        self.assertEqual(days_late(basil, date(2026, 5, 4), {}), 1)
        self.assertEqual(days_late(basil, date(2026, 5, 3), {}), 0)
        self.assertEqual(days_late(basil, date(2026, 5, 2), {}), -1)

    def test_rain_waters_a_plant_on_the_balcony(self):
        basil = Plant("Basil", 2, date(2026, 5, 1), "balcony")
        self.assertEqual(days_late(basil, date(2026, 5, 4), {date(2026, 5, 3): 6.5}), -1)

    def test_rain_does_not_reach_a_plant_indoors(self):
        fern = Plant("Fern", 2, date(2026, 5, 1), "indoor")
        self.assertEqual(days_late(fern, date(2026, 5, 4), {date(2026, 5, 3): 6.5}), 1)

    def test_list_has_the_longest_waiting_first(self):
        plants = [
            Plant("Fern", 7, date(2026, 4, 28), "indoor"),
            Plant("Mint", 3, date(2026, 5, 1), "balcony"),
            Plant("Basil", 1, date(2026, 5, 1), "balcony"),
            Plant("Cactus", 30, date(2026, 5, 1), "indoor"),
        ]
        self.assertEqual(
            watering_list(plants, date(2026, 5, 5), {}),
            ["Basil (3 days late)", "Mint (1 day late)", "Fern (today)"],
        )


if __name__ == "__main__":
    unittest.main()
