"""The entries of Cloud KMS: what it says, what it means, and what mends it; the first match counts."""

from __future__ import annotations

from refresher.catalogue.entries import ENTRIES, UNKNOWN_REMEDY, recognise
from refresher.catalogue.entry import Entry

_ROLES = "https://docs.cloud.google.com/kms/docs/reference/permissions-and-roles"
_STATES = "https://docs.cloud.google.com/kms/docs/key-states"
_GRANT = "grant {caller} roles/cloudkms.signerVerifier on {key}"
_SHARED = ("I3", "I12", "I10", "quota", "E15")
"""What every service of Google's says and means alike."""

KMS_ENTRIES = (
    Entry(
        name="K1",
        status=403,
        text="cloudkms.cryptoKeyVersions",
        cause="the caller may not sign with the key or see its public half, or there is no such key",
        remedy=f"{_GRANT}, and check the key's name letter by letter",
        source=_ROLES,
    ),
    Entry(
        name="K2",
        status=403,
        text="has not been used in project",
        cause="the Cloud KMS API is not enabled in the project of the caller or of the key",
        remedy="enable cloudkms.googleapis.com in the project that the message names",
        source="https://docs.cloud.google.com/service-usage/docs/enable-disable",
    ),
    Entry(
        name="K3",
        status=400,
        text="current state is: DISABLED",
        cause="the key version is disabled",
        remedy="enable it (gcloud kms keys versions enable), or name an enabled version of the key in signer.kms",
        source=_STATES,
    ),
    Entry(
        name="K4",
        status=400,
        text="is not enabled, current state is",
        cause="the key version is destroyed, or not generated yet",
        remedy="name an enabled version of the key in signer.kms, once its JWKS is uploaded (refresher keys jwks)",
        source=_STATES,
    ),
    Entry(
        name="K5",
        status=404,
        text="",
        cause="there is no such key or version",
        remedy="check signer.kms letter by letter: {key}",
        source=_ROLES,
    ),
    *(entry for entry in ENTRIES if entry.name in _SHARED),
    Entry(
        name="K6",
        status=403,
        text="",
        cause="the caller lacks a permission, or a perimeter keeps the call out",
        remedy=f"{_GRANT}, and let a service perimeter pass cloudkms.googleapis.com",
        source=_ROLES,
    ),
    Entry(
        name="K7",
        status=400,
        text="",
        cause="the key is of another purpose or algorithm",
        remedy="name a version of a key for asymmetric signing with the algorithm EC_SIGN_P256_SHA256 in signer.kms",
        source="https://docs.cloud.google.com/kms/docs/algorithms",
    ),
)


def remedy_of(status: int, text: str, *, key: str, caller: str) -> str:
    """Give what mends an error of Cloud KMS; for an unknown error, where to look.

    Args:
        status: Of the answer.
        text: Google's words.
        key: Resource name of the key, without a version.
        caller: Who asked, as the remedy is to name it.
    """
    entry = recognise(status, text, KMS_ENTRIES)
    return UNKNOWN_REMEDY if entry is None else entry.remedy.format(key=key, caller=caller)
