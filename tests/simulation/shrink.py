"""Find a smaller schedule of faults with which a seed still fails: delta debugging over the faults.

The schedule of a seed is thinned out, never changed: each fault draws its details from a source of its own.
"""

from collections.abc import Callable, Sequence


def shrink(numbers: Sequence[int], fails: Callable[[Sequence[int]], bool]) -> list[int]:
    """Return faults of which none can be left out.

    Args:
        numbers: The faults with which the run fails, in their order.
        fails: Runs with some of them, and returns whether that fails too.
    """
    kept, size = list(numbers), max(len(numbers) // 2, 1)
    if not kept or fails([]):
        return []
    while True:
        start, is_smaller = 0, False
        while start < len(kept):
            rest = kept[:start] + kept[start + size :]
            if len(rest) < len(kept) and fails(rest):
                kept, is_smaller = rest, True
            else:
                start += size
        if size == 1 and not is_smaller:
            return kept
        size = max(size // 2, 1)
