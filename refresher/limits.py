"""Limits of Google that we check before Google does, each with its source. Nothing else decides them."""

from datetime import timedelta

LONGEST_SUBJECT = 127
"""Bytes of UTF-8 of the mapped `google.subject` (Google: workload identity federation, quotas and limits)."""

LONGEST_SUBJECT_TOKEN_LIFE = timedelta(hours=24)
"""From `iat`; STS refuses a subject token that is older, whatever its `exp` (Google: STS reference, `token`)."""

LONGEST_SIGNED_JWT_LIFE = timedelta(hours=12)
"""Google's `signJwt` refuses a later `exp` (Google: IAM Credentials reference, `signJwt`)."""

SHORTEST_ACCESS_TOKEN_LIFE = timedelta(seconds=600)
"""The least `token_lifetime_seconds` of an ADC document (Google: AIP-4117)."""

USUAL_ACCESS_TOKEN_LIFE = timedelta(hours=1)
"""Of an access token of IAM Credentials, unless another one is asked for (IAM Credentials reference)."""

LONGEST_ACCESS_TOKEN_LIFE = timedelta(hours=12)
"""Of an impersonated access token; more than an hour needs an organization policy (IAM: short-lived credentials)."""

MOST_PUBLISHED_KEYS = 8
"""Keys of one uploaded JWKS (Google: workload identity pool providers, `jwksJson`)."""
