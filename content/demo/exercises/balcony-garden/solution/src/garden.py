"""What to water today."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

ENOUGH_RAIN_MM = 5
"""Rain of one day that spares the can."""

PLACES = ("balcony", "indoor")


@dataclass(frozen=True)
class Plant:
    """One plant of the file."""

    name: str
    every_days: int
    last_watered: date
    place: str
    """``balcony`` or ``indoor``"""


def parse_plants(text: str) -> list[Plant]:
    """Read the plants from the text of the file; raise ``ValueError`` for a line that is wrong."""
    plants = []
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.strip()
        if content == "" or content.startswith("#"):
            continue
        try:
            plants.append(_parse_plant(content))
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error
    return plants


def _parse_plant(content: str) -> Plant:
    """Read one line that is neither empty nor a comment."""
    fields = [field.strip() for field in content.split("|")]
    if len(fields) != 4:
        raise ValueError(f"expected 4 fields, found {len(fields)}")
    name, days, last_watered, place = fields
    if name == "":
        raise ValueError("the name is missing")
    every_days = int(days)
    if every_days < 1:
        raise ValueError(f"{every_days} is not a number of days between waterings")
    if place not in PLACES:
        raise ValueError(f"{place!r} is not a place; use one of {', '.join(PLACES)}")
    return Plant(name, every_days, datetime.strptime(last_watered, "%Y-%m-%d").date(), place)


def _last_water(plant: Plant, today: date, rain: Mapping[date, float]) -> date:
    """Find the last day on which the plant got water, from the can or from the sky."""
    if plant.place != "balcony":
        return plant.last_watered
    # `rain` also holds the forecast: what has not fallen yet waters nothing.
    rainy_days = (day for day, mm in rain.items() if mm >= ENOUGH_RAIN_MM and day <= today)
    return max(plant.last_watered, max(rainy_days, default=plant.last_watered))


def days_late(plant: Plant, today: date, rain: Mapping[date, float]) -> int:
    """Count the days since the plant was due: 0 on the day itself, negative before it."""
    due = _last_water(plant, today, rain) + timedelta(days=plant.every_days)
    return (today - due).days


def _lateness(days: int) -> str:
    """Say how late a plant is."""
    if days == 0:
        return "today"
    return "1 day late" if days == 1 else f"{days} days late"


def watering_list(
    plants: Iterable[Plant], today: date, rain: Mapping[date, float]
) -> list[str]:
    """Say which plants are due and how late they are, the longest waiting first."""
    waiting = [(days_late(plant, today, rain), plant.name) for plant in plants]
    due = [(late, name) for late, name in waiting if late >= 0]
    due.sort(key=lambda entry: (-entry[0], entry[1].casefold()))
    return [f"{name} ({_lateness(late)})" for late, name in due]
