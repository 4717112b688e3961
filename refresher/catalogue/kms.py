"""Known failures of Cloud KMS: its message, why it happens, what to do; the first match counts."""

from __future__ import annotations

from refresher.catalogue.entries import UNKNOWN_REMEDY
from refresher.catalogue.entry import SHARED, Entry, recognise

_ROLES = "https://docs.cloud.google.com/kms/docs/reference/permissions-and-roles"
_STATES = "https://docs.cloud.google.com/kms/docs/key-states"
_GRANT = "grant {caller} roles/cloudkms.signerVerifier on {key}"

KMS_ENTRIES = (
    Entry(
        name="K1",
        status=403,
        text="cloudkms.cryptoKeyVersions",
        cause="the caller may not sign with the key or read its public half, or the key does not exist",
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
        remedy="enable it (gcloud kms keys versions enable), or set signer.kms to an enabled version of the key",
        source=_STATES,
    ),
    Entry(
        name="K4",
        status=400,
        text="is not enabled, current state is",
        cause="the key version is destroyed, or not created yet",
        remedy="upload the JWKS of an enabled version of the key (refresher keys jwks), then set signer.kms to it",
        source=_STATES,
    ),
    Entry(
        name="K5",
        status=404,
        text="",
        cause="the key or its version does not exist",
        remedy="check signer.kms letter by letter: {key}",
        source=_ROLES,
    ),
    *SHARED,
    Entry(
        name="K6",
        status=403,
        text="",
        cause="the caller lacks a permission, or a service perimeter blocks the call",
        remedy=f"{_GRANT}, and allow cloudkms.googleapis.com in a service perimeter's ingress rules",
        source=_ROLES,
    ),
    Entry(
        name="K7",
        status=400,
        text="",
        cause="the key is of another purpose or algorithm",
        remedy="set signer.kms to a version of a key for asymmetric signing with the algorithm EC_SIGN_P256_SHA256",
        source="https://docs.cloud.google.com/kms/docs/algorithms",
    ),
)


def find_remedy(status: int, text: str, *, key: str, caller: str) -> str:
    """Return what fixes an error of Cloud KMS; for an unknown error, where to look.

    Args:
        status: The HTTP status.
        text: Google's message.
        key: Resource name of the key, without a version.
        caller: The principal that asked, as the remedy names it.
    """
    entry = recognise(KMS_ENTRIES, status, text)
    return UNKNOWN_REMEDY if entry is None else entry.remedy.format(key=key, caller=caller)
