"""The pytest plugin with the fixture `google_emulator`: each test that uses it has its own emulator."""

from collections.abc import Iterator

import pytest

from refresher.emulator.testing import Scenario


@pytest.fixture
def google_emulator() -> Iterator[Scenario]:
    """Return a running local Google that is empty and belongs to this test only."""
    from refresher.emulator.testing import emulator  # noqa: PLC0415 - most tests do not need it

    with emulator() as scenario:
        yield scenario
