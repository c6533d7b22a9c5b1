"""What to water today."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date


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
    raise NotImplementedError("parse_plants is not written yet")


def days_late(plant: Plant, today: date, rain: Mapping[date, float]) -> int:
    """Count the days since the plant was due: 0 on the day itself, negative before it."""
    raise NotImplementedError("days_late is not written yet")


def watering_list(
    plants: Iterable[Plant], today: date, rain: Mapping[date, float]
) -> list[str]:
    """Say which plants are due and how late they are, the longest waiting first."""
    raise NotImplementedError("watering_list is not written yet")
