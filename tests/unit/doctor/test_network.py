"""What a container's clients connect to: STS or the container's proxy, and why nothing can be tried."""

import pytest

from refresher.doctor.network import Route, find_route

STS = "https://192.0.2.1:9"
DIRECT = Route(addresses=(("192.0.2.1", 9),))


@pytest.mark.parametrize(
    ("sts", "variables", "route"),
    [
        (None, {}, Route(reason="this command is offline")),
        (STS, {}, DIRECT),
        ("https://192.0.2.1", {}, Route(addresses=(("192.0.2.1", 443),))),
        (
            "http://127.0.0.1:8080",
            {},
            Route(reason="the address of STS, 127.0.0.1, is this machine's own"),
        ),
        (
            "https://sts.invalid",
            {},
            Route(reason="this machine can't resolve the name of STS (sts.invalid)"),
        ),
        (
            STS,
            {"HTTPS_PROXY": "http://u:secret@127.0.0.1:3128"},
            Route(addresses=(("127.0.0.1", 3128),), proxy="127.0.0.1:3128"),
        ),
        (
            STS,
            {"HTTPS_PROXY": "10.0.0.1:1", "https_proxy": "10.0.0.2:2"},
            Route(addresses=(("10.0.0.2", 2),), proxy="10.0.0.2:2"),
        ),
        (STS, {"HTTPS_PROXY": "http://10.0.0.1:1", "NO_PROXY": "192.0.2.1"}, DIRECT),
        ("http://192.0.2.1:9", {"HTTPS_PROXY": "http://10.0.0.1:1"}, DIRECT),
        (
            STS,
            {"HTTPS_PROXY": "http://egress.invalid:1"},
            Route(
                reason="this machine can't resolve the name of the container's proxy egress.invalid:1 (egress.invalid)",
                proxy="egress.invalid:1",
            ),
        ),
        (
            STS,
            {"HTTPS_PROXY": "socks5://u:secret@10.0.0.1:1"},
            Route(reason="in the container, HTTPS_PROXY does not name an HTTP proxy (10.0.0.1:1)"),
        ),
    ],
)
def test_route_of_a_container(sts: str | None, variables: dict[str, str], route: Route) -> None:
    """Clients connect to their proxy if they have one, and to STS otherwise; no credentials are shown."""
    assert find_route(sts, variables, is_own_network=True) == route


def test_loopback_is_tried_from_this_machines_network() -> None:
    """A container with the host's network reaches what listens on the host's loopback."""
    found = find_route("http://127.0.0.1:8080", {}, is_own_network=False)

    assert found == Route(addresses=(("127.0.0.1", 8080),))
