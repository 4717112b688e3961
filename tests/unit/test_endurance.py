"""What the endurance run shows of its samples."""

import random

from tests.bench.endurance import fit_slope

SECONDS = [5.0 * number for number in range(600)]


def test_growth_is_found_when_samples_vary() -> None:
    """Two units an hour are found among noise of the same size, and the interval does not reach zero."""
    chance = random.Random(1)  # noqa: S311 - noise
    slope = fit_slope(SECONDS, [60 + 2 * at / 3600 + chance.uniform(-1, 1) for at in SECONDS])

    assert abs(slope.hourly - 2) < slope.margin * 2
    assert slope.least > 1


def test_noise_is_no_growth_when_nothing_grows() -> None:
    """Samples that only vary have an interval around zero."""
    chance = random.Random(1)  # noqa: S311 - noise
    slope = fit_slope(SECONDS, [60 + chance.uniform(-1, 1) for _ in SECONDS])

    assert abs(slope.hourly) < slope.margin * 2
    assert slope.margin < 1
