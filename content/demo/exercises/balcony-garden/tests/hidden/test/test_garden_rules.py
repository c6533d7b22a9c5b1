import sys
import unittest
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from garden import Plant, days_late, parse_plants, watering_list

TODAY = date(2026, 5, 10)


def mint(last_watered: date) -> Plant:
    """A plant on the balcony that wants water every three days."""
    return Plant("Mint", 3, last_watered, "balcony")


class ParseRulesTest(unittest.TestCase):
    def assert_refused(self, line: str) -> None:
        with self.assertRaisesRegex(ValueError, r"^line 1:", msg=line):
            parse_plants(line)

    def test_line_numbers_count_skipped_lines(self):
        with self.assertRaisesRegex(ValueError, r"^line 4:"):
            parse_plants(
                "# mine\n\nBasil | 2 | 2026-05-01 | balcony\nFern | often | 2026-05-01 | indoor\n"
            )

    def test_indented_comments_and_blank_lines_are_skipped(self):
        self.assertEqual(parse_plants("  # later: buy thyme\n   \n\t\n"), [])

    def test_days_must_be_a_whole_number_of_at_least_one(self):
        for days in ("0", "-2", "1.5", "two", ""):
            self.assert_refused(f"Basil | {days} | 2026-05-01 | balcony")

    def test_the_date_must_be_a_real_day(self):
        for day in ("2026-02-30", "yesterday", "01.05.2026", ""):
            self.assert_refused(f"Basil | 2 | {day} | balcony")

    def test_name_place_and_number_of_fields_are_checked(self):
        self.assert_refused(" | 2 | 2026-05-01 | balcony")
        self.assert_refused("Basil | 2 | 2026-05-01 | cellar")
        self.assert_refused("Basil | 2 | 2026-05-01 | balcony | south")


class RainRulesTest(unittest.TestCase):
    def test_five_millimetres_are_enough_and_less_is_not(self):
        self.assertEqual(days_late(mint(date(2026, 5, 5)), TODAY, {date(2026, 5, 8): 5}), -1)
        self.assertEqual(days_late(mint(date(2026, 5, 5)), TODAY, {date(2026, 5, 8): 4.9}), 2)

    def test_rain_of_several_days_is_not_added_up(self):
        rain = {date(2026, 5, 7): 3.0, date(2026, 5, 8): 3.0}
        self.assertEqual(days_late(mint(date(2026, 5, 5)), TODAY, rain), 2)

    def test_the_forecast_does_not_count_but_today_does(self):
        rain = {date(2026, 5, 11): 20.0}
        self.assertEqual(days_late(mint(date(2026, 5, 5)), TODAY, rain), 2)
        self.assertEqual(days_late(mint(date(2026, 5, 5)), TODAY, {TODAY: 8.0, **rain}), -3)

    def test_rain_before_the_last_watering_changes_nothing(self):
        rain = {date(2026, 5, 1): 30.0}
        self.assertEqual(days_late(mint(date(2026, 5, 5)), TODAY, rain), 2)

    def test_the_latest_rain_counts_in_whatever_order_it_is_given(self):
        rain = {date(2026, 5, 9): 7.0, date(2026, 5, 6): 40.0, date(2026, 5, 10): 0.5}
        self.assertEqual(days_late(mint(date(2026, 5, 5)), TODAY, rain), -2)


class ListRulesTest(unittest.TestCase):
    def test_equally_late_plants_are_sorted_by_name_without_regard_to_case(self):
        plants = [
            Plant(name, 2, date(2026, 5, 7), "indoor") for name in ("thyme", "Sage", "aloe", "Fern")
        ]
        self.assertEqual(
            watering_list(plants, TODAY, {}),
            [
                "aloe (1 day late)",
                "Fern (1 day late)",
                "Sage (1 day late)",
                "thyme (1 day late)",
            ],
        )

    def test_rain_takes_only_the_balcony_off_the_list(self):
        plants = [mint(date(2026, 5, 5)), Plant("Fern", 3, date(2026, 5, 5), "indoor")]
        self.assertEqual(
            watering_list(plants, TODAY, {date(2026, 5, 9): 12.0}), ["Fern (2 days late)"]
        )

    def test_nothing_is_due(self):
        self.assertEqual(watering_list([], TODAY, {}), [])
        self.assertEqual(watering_list([mint(date(2026, 5, 9))], TODAY, {}), [])


if __name__ == "__main__":
    unittest.main()
