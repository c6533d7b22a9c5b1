"""Plans a recipe: what begins when."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from recipe import RecipeError, Step

MINUTES_PER_DAY = 24 * 60


@dataclass(frozen=True)
class Slot:
    """When a step is done, in minutes from the beginning of the work."""

    step: Step
    start: int
    end: int


def schedule(steps: Sequence[Step]) -> list[Slot]:
    """Plan all steps by the rule of the kitchen; raise ``RecipeError`` for a circle.

    Steps are known by their index here, because the order of ``steps`` decides who comes first.
    """
    followers: dict[str, list[int]] = {step.name: [] for step in steps}
    missing = [len(set(step.after)) for step in steps]
    for index, step in enumerate(steps):
        for name in set(step.after):
            followers[name].append(index)

    slots: list[Slot] = []
    ready = [index for index, count in enumerate(missing) if count == 0]
    running: list[tuple[int, int]] = []  # a heap of (end, index)
    occupied: set[str] = set()
    now = 0
    while True:
        waiting = []
        for index in sorted(ready):
            step = steps[index]
            if step.uses in occupied:
                waiting.append(index)
                continue
            if step.uses is not None:
                occupied.add(step.uses)
            slots.append(Slot(step, now, now + step.minutes))
            heappush(running, (now + step.minutes, index))
        ready = waiting

        # A step still waiting for equipment waits for one that is running, so nothing is lost here.
        if not running:
            break
        now = running[0][0]
        while running and running[0][0] == now:
            _, index = heappop(running)
            occupied.discard(steps[index].uses)
            for follower in followers[steps[index].name]:
                missing[follower] -= 1
                if missing[follower] == 0:
                    ready.append(follower)

    if len(slots) < len(steps):
        planned = {slot.step.name for slot in slots}
        circle = _find_circle({step.name: step for step in steps}, planned)
        raise RecipeError(f"these steps wait for each other: {', '.join(circle)}", circle)
    return slots


def _find_circle(steps: Mapping[str, Step], planned: set[str]) -> list[str]:
    """Find steps that wait for each other, given those that could be planned."""
    path: dict[str, int] = {}
    name = next(name for name in steps if name not in planned)
    # Every step that could not be planned waits for another such step, so this path must come back.
    while name not in path:
        path[name] = len(path)
        name = next(before for before in steps[name].after if before not in planned)
    return list(path)[path[name] :]


def _time_of_day(minutes: int) -> str:
    """Write minutes since midnight, of this day or another, as a time of day."""
    hours, rest = divmod(minutes % MINUTES_PER_DAY, 60)
    return f"{hours:02}:{rest:02}"


def timetable(steps: Sequence[Step], ready_at: str) -> list[str]:
    """Say at what time of day each step begins, so that the last one ends at ``ready_at``."""
    slots = schedule(steps)
    hours, minutes = ready_at.split(":")
    begin = int(hours) * 60 + int(minutes) - max((slot.end for slot in slots), default=0)
    return [
        f"{_time_of_day(begin + slot.start)} {slot.step.name}"
        + (f" ({slot.step.uses})" if slot.step.uses else "")
        for slot in slots
    ]
