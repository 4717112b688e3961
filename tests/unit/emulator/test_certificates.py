from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from refresher.emulator.certificates import make_certificates

if TYPE_CHECKING:
    from pathlib import Path


def test_certificates_are_kept(tmp_path: Path) -> None:
    """A second start finds the authority of the first, which clients trust already."""
    made = make_certificates(tmp_path)
    before = made.ca_file.read_bytes()

    assert make_certificates(tmp_path).ca_file.read_bytes() == before


@pytest.mark.parametrize("damage", ["", "rubbish", "delete"])
@pytest.mark.parametrize("name", ["ca.pem", "server.pem", "server.key"])
def test_certificates_that_are_not_whole_are_made_anew(tmp_path: Path, name: str, damage: str) -> None:
    """One file missing or damaged, as by a crash, means new ones that belong together."""
    make_certificates(tmp_path)
    if damage == "delete":
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(damage)

    made = make_certificates(tmp_path)

    server = x509.load_pem_x509_certificate(made.certificate_file.read_bytes())
    server.verify_directly_issued_by(x509.load_pem_x509_certificate(made.ca_file.read_bytes()))


def test_files_of_two_makings_are_not_mixed(tmp_path: Path) -> None:
    """A key or authority of another making is noticed."""
    one, other = tmp_path / "one", tmp_path / "other"
    for place in (one, other):
        place.mkdir()
        make_certificates(place)
    (one / "server.key").write_bytes((other / "server.key").read_bytes())
    before = (one / "ca.pem").read_bytes()

    assert make_certificates(one).ca_file.read_bytes() != before


@pytest.mark.parametrize(("days", "is_kept"), [(300, True), (336, False), (400, False), (-30, False)])
def test_certificates_are_made_anew_in_time(tmp_path: Path, days: int, is_kept: bool) -> None:  # noqa: FBT001 - a column
    """A month before its end a certificate is too old to begin with, and one of the future is none."""
    now = datetime.now(UTC)
    before = make_certificates(tmp_path, now).ca_file.read_bytes()

    after = make_certificates(tmp_path, now + timedelta(days=days)).ca_file.read_bytes()

    assert (before == after) is is_kept
