"""Recipes: steps that wait for each other and share the equipment of one kitchen."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One step of a recipe."""

    name: str
    minutes: int
    after: tuple[str, ...] = ()
    """names of the steps that must have ended before this one begins"""
    uses: str | None = None
    """the piece of equipment that it occupies"""


class RecipeError(ValueError):
    """A recipe that cannot be cooked; ``steps`` names the steps of a circle, where there is one."""

    def __init__(self, message: str, steps: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.steps = tuple(steps)


def parse_recipe(text: str) -> list[Step]:
    """Read the steps of a recipe; raise ``RecipeError`` for a line that is wrong."""
    steps: dict[str, Step] = {}
    lines: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.strip()
        if content == "" or content.startswith("#"):
            continue
        try:
            step = _parse_step(content)
        except ValueError as error:
            raise RecipeError(f"line {number}: {error}") from error
        if step.name in steps:
            raise RecipeError(f"line {number}: line {lines[step.name]} is also {step.name!r}")
        steps[step.name] = step
        lines[step.name] = number

    # Only now, because a step may wait for one that stands further down.
    for step in steps.values():
        for name in step.after:
            if name not in steps:
                raise RecipeError(f"line {lines[step.name]}: there is no step {name!r}")
    return list(steps.values())


def _parse_step(content: str) -> Step:
    """Read one line that is neither empty nor a comment."""
    head, *parts = content.split(";")
    name, colon, minutes = head.partition(":")
    if colon == "":
        raise ValueError("expected 'name: minutes'")
    details: dict[str, tuple[str, ...]] = {}
    for part in parts:
        keyword, _, names = part.strip().partition(" ")
        if keyword not in ("after", "uses"):
            raise ValueError(f"expected 'after' or 'uses', found {part.strip()!r}")
        if keyword in details:
            raise ValueError(f"{keyword!r} comes twice")
        details[keyword] = tuple(_parse_name(item) for item in names.split(","))
    equipment = details.get("uses", ())
    if len(equipment) > 1:
        raise ValueError("a step uses one piece of equipment")
    return Step(
        name=_parse_name(name),
        minutes=_parse_minutes(minutes),
        after=details.get("after", ()),
        uses=equipment[0] if equipment else None,
    )


def _parse_name(text: str) -> str:
    """Take the spaces off a name."""
    name = text.strip()
    if name == "":
        raise ValueError("a name is missing")
    return name


def _parse_minutes(text: str) -> int:
    """Read how long a step takes."""
    minutes = int(text)
    if minutes < 1:
        raise ValueError("a step takes at least 1 minute")
    return minutes
