"""Attribute mapping: from a verified assertion to `google.subject`.

The only mapping so far is Google's own default for OIDC, `google.subject=assertion.sub`, with its limit of 127 bytes
(https://docs.cloud.google.com/iam/docs/workload-identity-federation#mapping). Expressions and conditions are not
evaluated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from refresher.emulator.errors import sts_refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

LARGEST_SUBJECT = 127


def subject_of(assertion: Mapping[str, object]) -> str:
    """Give `google.subject`.

    Raises:
        Refusal: E14 if the claim has no value, E3 if it is too long.
    """
    subject = assertion.get("sub")
    if not isinstance(subject, str) or not subject:
        raise sts_refusal("E14")
    if len(subject.encode("utf-8", "surrogatepass")) > LARGEST_SUBJECT:
        raise sts_refusal("E3")
    return subject
