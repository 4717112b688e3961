"""The `external_account` ADC document of one target: where a client finds its subject token and whom it acts as.

The document is the one that `gcloud iam workload-identity-pools create-cred-config` writes for a file source, key for
key and in its order, with `credential_source.format` always present (OpenDAL needs it) and never a null
(google-cloud-cpp aborts on one, Java before 1.35 throws). It holds no secret. Nothing is read or written here;
`refresher.publishing` does that.
"""

import json
from datetime import timedelta
from typing import Any

from refresher.resources import Endpoints, WorkloadIdentityProvider
from refresher.tokens import JWT_TYPE


def adc_document(
    *,
    provider: WorkloadIdentityProvider,
    token_path: str,
    service_account: str | None,
    lifetime: timedelta | None,
    quota_project: str | None,
    endpoints: Endpoints,
    subject_token_type: str = JWT_TYPE,
) -> dict[str, Any]:
    """Return the document of a service account, given by e-mail or unique id; for None, of direct resource access.

    The token's path is absolute, as the container sees it; the lifetime is that of impersonated access tokens, 600 s to
    43,200 s in whole seconds, None for Google's (1 h). The quota project is billed instead of the account's own.
    """
    document: dict[str, Any] = {
        "universe_domain": endpoints.universe_domain,
        "type": "external_account",
        "audience": provider.sts_audience,
        "subject_token_type": subject_token_type,
        "token_url": endpoints.token_url,
        "credential_source": {"file": token_path, "format": {"type": "text"}},
    }
    if service_account is None:
        document["token_info_url"] = endpoints.token_info_url
    else:
        document["service_account_impersonation_url"] = endpoints.impersonation_url(service_account)
        if lifetime is not None:
            document["service_account_impersonation"] = {"token_lifetime_seconds": int(lifetime.total_seconds())}
    if quota_project is not None:
        document["quota_project_id"] = quota_project
    return document


def render(document: dict[str, Any]) -> bytes:
    """Return the document's bytes, equal for equal documents, without a trailing newline (as gcloud writes it)."""
    return json.dumps(document, indent=2).encode()
