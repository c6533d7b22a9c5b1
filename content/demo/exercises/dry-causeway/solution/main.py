"""For how long a causeway is dry, from the readings of a tide gauge."""

import sys
from itertools import pairwise


def dry_part(level, first, second):
    """Begin and end of the time between two readings in which the causeway is dry; None where it never is."""
    (start, low), (end, high) = first, second
    if low > level and high > level:
        return None
    if low <= level and high <= level:
        return start, end
    crossing = start + (level - low) / (high - low) * (end - start)
    return (start, crossing) if low <= level else (crossing, end)


def dry_times(level, readings):
    """All minutes in which the causeway is dry, and those of the longest stretch."""
    total = longest = 0.0
    stretch_start = stretch_end = None
    for first, second in pairwise(readings):
        part = dry_part(level, first, second)
        if part is None:
            continue
        start, end = part
        total += end - start
        if stretch_end != start:
            stretch_start = start
        stretch_end = end
        longest = max(longest, stretch_end - stretch_start)
    return total, longest


def main():
    head, *lines = sys.stdin.read().splitlines()
    level, count = head.split()
    readings = []
    for line in lines[: int(count)]:
        minute, height = line.split()
        readings.append((int(minute), float(height)))
    for minutes in dry_times(float(level), readings):
        print(minutes)


main()
