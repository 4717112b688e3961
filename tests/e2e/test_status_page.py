"""The status page in a real browser: it updates itself, runs nothing but its own script, and refuses to be framed."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from threading import Thread

import pytest

from refresher.engine.plan import Target
from refresher.observe.server import Server
from refresher.settings.values import TcpSocket
from tests.conftest import Need
from tests.fakes import FakeClock
from tests.program import until
from tests.unit.engine.conftest import clock, target_of
from tests.unit.observe.conftest import Fleet

__all__ = ["clock", "target_of"]

pytestmark = pytest.mark.slow

LATER = "--virtual-time-budget=2000000"
"""Makes the page's timers run for 2,000 s, as fast as its requests are answered; some answers are kept for a second."""


class VisitClock(FakeClock):
    """The clock of a server, which looks at it once for each answer."""

    visits = 0
    before_second: Callable[[], object] = bool

    def now(self) -> datetime:
        """Return the time last set; before the second answer something may happen."""
        self.visits += 1
        if self.visits == 2:
            self.before_second()
        return super().now()


class Site:
    """A fleet on a TCP port of the loopback, and a browser that visits it."""

    def __init__(self, fleet: Fleet, place: Path, need: Need) -> None:
        self.fleet = fleet
        self.place = place
        self._browser = need.tool("chromium", "apt-get install chromium")
        self._stack = ExitStack()
        self.origin = ""
        self.clock = VisitClock()

    def open(self) -> None:
        """Answer from now on."""
        survey = self._stack.enter_context(self.fleet.survey)
        addresses: list[str] = []
        address = TcpSocket("127.0.0.1", 0)
        server = Server(
            self.fleet.board, survey, self.clock, lambda: (address, None), self.fleet.bugs.append, addresses.append
        )
        self._stack.enter_context(server)
        self.origin = f"http://{until(lambda: addresses, what='an address')[0]}"

    def close(self) -> None:
        """Answer no longer."""
        self._stack.close()

    def browse(self, url: str, *options: str) -> tuple[str, str]:
        """Visit a page; return what its document is in the end, and what the browser complained about."""
        done = subprocess.run(
            [
                self._browser,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--enable-logging=stderr",
                f"--user-data-dir={self.place / 'profile'}",
                *(options or ["--dump-dom"]),
                url,
            ],
            capture_output=True,
            text=True,
            check=True,
            timeout=100,
        )
        complaints = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
        return done.stdout, "\n".join(complaints)


@pytest.fixture
def site(clock: FakeClock, target_of: Callable[..., Target], tmp_path: Path, need: Need) -> Iterator[Site]:
    """Return a site with two targets that are ready."""
    made = Site(Fleet(clock, target_of), tmp_path, need)
    made.fleet.adopt("alice", "bob")
    made.open()
    yield made
    made.close()
    assert made.fleet.bugs == []


def test_page_is_shown_without_a_complaint(site: Site) -> None:
    """A browser shows the page and refuses no part of it."""
    document, complaints = site.browse(site.origin)

    assert "All 2 targets ready" in document
    assert "#f6f7f9" in document
    assert complaints == ""


def test_page_updates_itself(site: Site) -> None:
    """What goes wrong after the page was opened is shown, and what was typed into the search stays."""

    def harm() -> None:
        (site.fleet.targets["alice"].directory.path / "token").unlink()
        site.fleet.survey.look("alice")

    site.clock.before_second = harm
    document, complaints = site.browse(f"{site.origin}/?q=a", LATER, "--dump-dom")

    assert "1 of 2 targets not ready" in document
    assert 'value="a"' in document
    assert complaints == ""


def test_page_shows_that_the_daemon_is_gone(site: Site) -> None:
    """A page that can't be updated any more states so, instead of showing what was."""
    visit: list[tuple[str, str]] = []
    visitor = Thread(target=lambda: visit.append(site.browse(site.origin, LATER, "--dump-dom")))
    visitor.start()
    until(lambda: site.clock.visits, what="the first visit")
    site.close()
    visitor.join()

    assert '<div id="lost" role="alert">' in visit[0][0]


def test_page_is_readable_without_a_script(site: Site) -> None:
    """Without its script the page is drawn just the same; it loads itself again."""
    page = site.fleet.ask("/").body.decode()
    bare, script, _ = page.partition("<script>")
    copy = site.place / "bare.html"
    copy.write_text(bare)
    pictures = []
    for name, url in (("whole", site.origin), ("bare", copy.as_uri())):
        path = site.place / f"{name}.png"
        site.browse(url, "--window-size=1000,700", f"--screenshot={path}")
        pictures.append(path.read_bytes())

    assert script
    assert '<noscript><meta http-equiv="refresh"' in bare
    assert len(pictures[0]) > 10_000
    assert pictures[0] == pictures[1]


def test_page_refuses_to_be_framed(site: Site) -> None:
    """A page of another origin can't show it in a frame."""
    frame = site.place / "frame.html"
    frame.write_text(f'<iframe src="{site.origin}/"></iframe>')

    _, complaints = site.browse(frame.as_uri())

    assert "frame-ancestors" in complaints or "X-Frame-Options" in complaints
