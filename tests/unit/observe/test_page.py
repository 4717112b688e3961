import re
from datetime import timedelta
from html.parser import HTMLParser

import pytest

from refresher.catalogue.entries import compose_remedy, read_entries
from refresher.engine.exchanges import ExchangeState
from refresher.errors import SupplyError
from refresher.observe.page import ROWS, SECURITY_HEADERS
from tests.unit.observe.conftest import Fleet


class Reader(HTMLParser):
    """Collects elements and text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(fleet: Fleet, path: str = "/") -> Reader:
    """Return the page as a browser reads it."""
    reader = Reader()
    reader.feed(fleet.ask(path).body.decode())
    return reader


def list_names(fleet: Fleet, path: str = "/") -> list[str]:
    """Return the names of the rows of the page's table."""
    return re.findall(r"<tr><td><b>([^<]+)</b>", fleet.ask(path).body.decode())


def test_what_is_wrong_comes_first(fleet: Fleet) -> None:
    """The headline counts what is not ready, the findings come before the table, and failing targets lead it."""
    fleet.adopt("alice", "bob", "carol")
    (fleet.targets["carol"].directory.path / "token").unlink()
    fleet.look()
    page = fleet.ask("/").body.decode()

    assert "<h1>1 of 3 targets not ready</h1>" in page
    assert page.index("Containers fail: there is no token") < page.index("<h2>Targets</h2>")
    assert list_names(fleet) == ["carol", "alice", "bob"]


def test_longest_remedy_of_the_catalogue_is_shown_whole(fleet: Fleet) -> None:
    """With names as long as Google allows, no command at the end of a remedy is cut off."""
    pool = f"projects/123456789012/locations/global/workloadIdentityPools/{'w' * 32}"
    facts = {"provider": "p" * 63, "pool": pool, "resource": f"{pool}/providers/{'r' * 32}", "caller": "c" * 250}
    remedies = [compose_remedy(entry, "", **facts) for entry in read_entries()]
    longest = max(remedies, key=len).replace("`", "")
    fleet.adopt("alice")

    fleet.fail("alice", SupplyError("x", longest))

    assert len(longest) > 1000
    assert longest in "".join(read(fleet).text)


@pytest.mark.parametrize(
    ("names", "headline"),
    [(("alice", "bob"), "All 2 targets ready"), (("alice",), "All 1 target ready"), ((), "Ready: no targets yet")],
)
def test_healthy_fleet_is_calm(fleet: Fleet, names: tuple[str, ...], headline: str) -> None:
    """A fleet without findings has one good headline and nothing that is wrong."""
    fleet.adopt(*names, is_empty_fine=True)

    page = fleet.ask("/").body.decode()

    assert f"<h1>{headline}</h1>" in page
    assert "What is wrong" not in page


def test_everything_from_outside_is_escaped(fleet: Fleet) -> None:
    """Markup and control characters in messages and in the query are shown as text and run nothing."""
    fleet.adopt("alice")
    evil = "<script>alert(1)</script><img src=x onerror=y>\"'&\x1b[31m\u202e"
    fleet.fail("alice", SupplyError(evil, f"`{evil}`"))
    fleet.exchange("alice", ExchangeState.REFUSED, evil)

    found = read(fleet, "/?q=%22%3E%3Cscript%3E1&state=%22onload=%22&page=%3Cb%3E")

    tags = [tag for tag, _ in found.elements]
    assert (tags.count("script"), tags.count("img"), tags.count("b")) == (1, 0, 4)
    assert not [name for _, attributes in found.elements for name in attributes if name.startswith("on")]
    assert "\x1b" not in "".join(found.text)
    assert "\u202e" not in "".join(found.text)
    assert {"value": '"><script>1'}.items() <= next(a for tag, a in found.elements if tag == "input").items()


def test_page_needs_nothing_from_outside(fleet: Fleet) -> None:
    """No element names an address of another origin, no attribute is a style, and its policy allows nothing more."""
    fleet.adopt("alice")
    found = read(fleet)

    links = [
        value or "" for _, each in found.elements for name, value in each.items() if name in ("href", "src", "action")
    ]
    assert all(link.startswith(("?", "/")) and not link.startswith("//") for link in links)
    assert not any("style" in attributes for _, attributes in found.elements)
    policy = dict(SECURITY_HEADERS)["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert fleet.ask("/").headers == SECURITY_HEADERS


def test_targets_come_in_pages(fleet: Fleet) -> None:
    """Many targets are shown a page at a time; a page beyond the last is the last, nonsense is the first."""
    names = [f"t{number:03}" for number in range(2 * ROWS + 5)]
    fleet.adopt(*names, publish=False)

    assert list_names(fleet) == names[:ROWS]
    assert list_names(fleet, "/?page=2") == names[ROWS : 2 * ROWS]
    assert list_names(fleet, "/?page=3") == list_names(fleet, "/?page=999999") == names[2 * ROWS :]
    for nonsense in ("0", "-1", "x", "9" * 5000, "²"):
        assert list_names(fleet, f"/?page={nonsense}") == names[:ROWS]


def test_targets_are_searched_and_selected(fleet: Fleet) -> None:
    """A search finds parts of names and identities in any case; a state selects, and both stay in the links."""
    fleet.adopt("alice-train", "alice-serve", "bob")
    (fleet.targets["bob"].directory.path / "token").unlink()
    fleet.look()

    assert list_names(fleet, "/?q=ALICE-t") == ["alice-train"]
    assert list_names(fleet, "/?state=absent") == ["bob"]
    assert list_names(fleet, "/?q=alice&state=absent") == []
    assert "No target is like this" in fleet.ask("/?q=alice&state=absent").body.decode()
    assert 'href="?q=alice&amp;state=fresh"' in fleet.ask("/?q=alice").body.decode()


def test_expiry_is_a_bar(fleet: Fleet) -> None:
    """The bar of a token shows the share of its life that is left, and its colour the state."""
    fleet.adopt("alice")
    seen = []
    for minutes in (0, 15, 40, 10):
        fleet.clock.pass_(timedelta(minutes=minutes))
        fleet.look()
        seen += re.findall(r'<rect class="(\w+)" width="([0-9.]+)"', fleet.ask("/").body.decode())

    assert seen == [("good", "100.0"), ("good", "75.0"), ("warn", "8.3"), ("bad", "0.0")]


def test_page_of_many_findings_is_bounded(fleet: Fleet) -> None:
    """Findings and names beyond a number are counted, so that the page can be read."""
    names = [f"t{number}" for number in range(60)]
    fleet.adopt(*names, publish=False)
    for number, name in enumerate(names):
        fleet.fail(name, SupplyError(f"reason {number}", "fix it"))

    page = fleet.ask("/").body.decode()

    assert page.count("<article") == 30
    assert 'and 30 more: see <a href="/status.json">' in page
