"""Subject tokens of a Kubernetes service account, by the TokenRequest API: the `kubernetes` supplier.

https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/. The daemon asks with the
token of its own pod, read again each time since the kubelet replaces it, for the account in the identity's subject. A
projected volume needs none of this: that is a `file`.
"""

import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from refresher.errors import SupplyError
from refresher.files import explain_failure, read_regular
from refresher.settings.fields import ApiServer, Choice
from refresher.settings.values import AbsolutePath, RequestedLifetime
from refresher.suppliers.interface import FetchingSettings, Supplier, SupplierContext, Workshop, read_token
from refresher.tokens import MAXIMUM_SIZE, SubjectToken

if TYPE_CHECKING:
    from refresher.google.call import Transport

_MOUNTED = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where a pod has its own token and its cluster's authority."""

_REMEDIES = {
    401: "check what renews {token_file}: it has expired, or is for a different cluster",
    403: "allow the daemon's account to create serviceaccounts/token of {account} (RBAC)",
    404: "create the service account {account}, or correct the identity's subject",
    422: "allow the daemon tokens of {account} for this audience in the cluster's admission policies",
}
_SUBJECT = re.compile(r"system:serviceaccount:(?P<namespace>[a-z0-9-]{1,63}):(?P<name>[a-z0-9.-]{1,253})")


class KubernetesSettings(FetchingSettings):
    """Tokens of Kubernetes service accounts, requested by the daemon's own (TokenRequest API)."""

    kind: Annotated[Literal["kubernetes"], Choice()] = Field(
        description="Issued by a cluster for the service account in the identity's subject."
    )
    api_server: ApiServer = Field(
        default="https://kubernetes.default.svc",
        description="Origin of the API server. Default: https://kubernetes.default.svc.",
    )
    ca_file: AbsolutePath = Field(
        default=f"{_MOUNTED}/ca.crt",
        validate_default=True,
        description="Certificates to trust the API server by; a change takes effect at once. Default: the pod's own.",
    )
    token_file: AbsolutePath = Field(
        default=f"{_MOUNTED}/token",
        validate_default=True,
        description="The token that the daemon asks with. Default: the pod's own.",
    )
    lifetime: RequestedLifetime = Field(
        default="1h",
        validate_default=True,
        description="Lifetime of each subject token, 10m to 24h; the API server may shorten it. Default: 1h.",
    )

    needs_subject: ClassVar[bool] = True

    def build(self, workshop: Workshop) -> Supplier:
        # a pool of its own: the cluster's authority is to be trusted for nothing else
        is_secure = self.api_server.startswith("https:")
        own = workshop.trust(self.ca_file, "the supplier's ca_file") if is_secure else workshop.transport()
        return KubernetesSupplier(self, own)


class KubernetesSupplier:
    """Requests tokens of service accounts, over a transport that trusts the cluster's authority; thread-safe."""

    def __init__(self, settings: KubernetesSettings, transport: "Transport") -> None:
        self._settings = settings
        self._transport = transport

    def supply(self, context: SupplierContext, now: datetime) -> SubjectToken:
        """Request a token; a `SupplyError` may also show that the subject is not an account, or a token is missing."""
        from refresher.google.call import Call

        account = _SUBJECT.fullmatch(context.subject or "")
        if account is None:
            problem = f"the subject of identity {context.identity} is not a Kubernetes service account"
            raise SupplyError(problem, "set it to system:serviceaccount:NAMESPACE:NAME")
        namespace, name, api_server = account["namespace"], account["name"], self._settings.api_server
        facts = {"account": f"{namespace}/{name}", "token_file": self._settings.token_file}
        seconds = int(self._settings.lifetime.total_seconds())
        call = Call(
            asked=f"a token of {namespace}/{name} from the API server",
            url=f"{api_server}/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token",
            bearer=_read_own_token(self._settings.token_file),
            document={
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "spec": {"audiences": [context.audience], "expirationSeconds": seconds},
            },
            accepted=(200, 201),
            service="other",
            explain=lambda status, _text: _REMEDIES.get(status, "check the log of the API server").format(**facts),
            reach=f"make {api_server} reachable for the daemon's pod, with its authority in the supplier's ca_file",
            verify="check that this address really is the cluster's API server (proxy, DNS)",
        )
        status = call.fetch_document(self._transport).get("status")
        token = call.read_text(status if isinstance(status, dict) else {}, "token")
        return read_token(token, f"{call.asked} failed: the response has no JWT", call.verify)


def _read_own_token(path: Path) -> str:
    try:
        text = read_regular(path, most=MAXIMUM_SIZE)[0].decode("ascii").strip()
    except (OSError, ValueError) as error:
        problem = f"the daemon's own token {path} {explain_failure(error)}"
        raise SupplyError(problem, "run it in a pod with automountServiceAccountToken, or set token_file") from None
    if not text or not text.isprintable():
        raise SupplyError(f"{path} holds no token", "check what mounts it")
    return text
