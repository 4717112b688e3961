from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from refresher.emulator.certificates import make_certificates

if TYPE_CHECKING:
    from pathlib import Path


def test_certificates_are_reused(tmp_path: Path) -> None:
    """A second start uses the authority of the first, which clients trust already."""
    made = make_certificates(tmp_path)
    before = made.ca_file.read_bytes()

    assert make_certificates(tmp_path).ca_file.read_bytes() == before


@pytest.mark.parametrize("damage", ["", "rubbish", "delete"])
@pytest.mark.parametrize("name", ["ca.pem", "server.pem", "server.key"])
def test_certificates_are_replaced_when_one_is_damaged(tmp_path: Path, name: str, damage: str) -> None:
    """If one file is missing or damaged, as after a crash, all are replaced."""
    make_certificates(tmp_path)
    if damage == "delete":
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(damage)

    made = make_certificates(tmp_path)

    server = x509.load_pem_x509_certificate(made.certificate_file.read_bytes())
    server.verify_directly_issued_by(x509.load_pem_x509_certificate(made.ca_file.read_bytes()))


def test_certificates_are_replaced_when_they_do_not_match(tmp_path: Path) -> None:
    """A key or an authority of another set is detected."""
    one, other = tmp_path / "one", tmp_path / "other"
    for place in (one, other):
        place.mkdir()
        make_certificates(place)
    (one / "server.key").write_bytes((other / "server.key").read_bytes())
    before = (one / "ca.pem").read_bytes()

    assert make_certificates(one).ca_file.read_bytes() != before


@pytest.mark.parametrize(("days", "is_kept"), [(300, True), (336, False), (400, False), (-30, False)])
def test_certificates_are_replaced_a_month_before_they_expire(tmp_path: Path, days: int, is_kept: bool) -> None:  # noqa: FBT001 - a column
    """A start replaces a certificate that expires within a month, and one that is not valid yet."""
    now = datetime.now(UTC)
    before = make_certificates(tmp_path, now).ca_file.read_bytes()

    after = make_certificates(tmp_path, now + timedelta(days=days)).ca_file.read_bytes()

    assert (before == after) is is_kept
