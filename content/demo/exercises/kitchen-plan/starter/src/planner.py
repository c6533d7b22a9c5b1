"""Plans a recipe: what begins when."""

from collections.abc import Sequence
from dataclasses import dataclass

from recipe import Step


@dataclass(frozen=True)
class Slot:
    """When a step is done, in minutes from the beginning of the work."""

    step: Step
    start: int
    end: int


def schedule(steps: Sequence[Step]) -> list[Slot]:
    """Plan all steps by the rule of the kitchen; raise ``RecipeError`` for a circle."""
    raise NotImplementedError("schedule is not written yet")


def timetable(steps: Sequence[Step], ready_at: str) -> list[str]:
    """Say at what time of day each step begins, so that the last one ends at ``ready_at``."""
    raise NotImplementedError("timetable is not written yet")
