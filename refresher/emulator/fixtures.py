"""The pytest plugin: the fixture `google_emulator`, an emulator of its own for each test that asks for one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from refresher.emulator.testing import Scenario


@pytest.fixture
def google_emulator() -> Iterator[Scenario]:
    """Give a running local Google, empty and of this test alone."""
    from refresher.emulator.testing import emulator  # noqa: PLC0415 - a plugin must not slow down who does not use it

    with emulator() as scenario:
        yield scenario
