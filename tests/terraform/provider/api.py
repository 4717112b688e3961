"""The REST APIs as the real provider uses them: endpoint settings, bearer token, errors with its texts.

An endpoint that is not set is an error here: a test must never reach the internet.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

_OPENER = build_opener(ProxyHandler({}))
_SECONDS = 30
_MOST_POLLS = 100


class ApiError(Exception):
    """An answer other than success."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"googleapi: Error {status}: {message}")
        self.status = status


class SettingError(Exception):
    """The provider's configuration is incomplete."""


@dataclass(frozen=True)
class Api:
    """The settings of the provider block and the environment."""

    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def project(self) -> str | None:
        """The project of resources without a project of their own."""
        return self.settings.get("project") or os.environ.get("GOOGLE_PROJECT")

    def get(self, service: str, path: str, **query: str) -> dict[str, Any]:
        """GET a document."""
        return self.call(service, "GET", path, query=query)

    def find(self, service: str, path: str) -> dict[str, Any] | None:
        """GET a document; None if it does not exist."""
        try:
            return self.get(service, path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def call(
        self,
        service: str,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Send one request.

        Args:
            service: The service, as in `…_custom_endpoint`.
            method: The HTTP method.
            path: The path below the endpoint.
            query: Additional parameters.
            body: The document to send.

        Raises:
            ApiError: The request was refused.
        """
        url = f"{self._endpoint(service)}{path}?{urlencode({'alt': 'json', **(query or {})})}"
        content = None if body is None else json.dumps(body).encode()
        request = Request(url, data=content, method=method, headers={"Authorization": f"Bearer {self._token()}"})  # noqa: S310 - an endpoint of the configuration
        if content is not None:
            request.add_header("Content-Type", "application/json")
        try:
            with _OPENER.open(request, timeout=_SECONDS) as answer:
                document: dict[str, Any] = json.load(answer)
        except HTTPError as error:
            raise ApiError(error.code, _message(error.read())) from None
        return document

    def finish(self, service: str, operation: dict[str, Any]) -> None:
        """Poll an operation until it is done.

        Raises:
            ApiError: It failed, or never ends.
        """
        for _ in range(_MOST_POLLS):
            if not operation.get("name") or operation.get("done"):
                break
            operation = self.get(service, operation["name"])
        else:
            raise ApiError(504, "the operation does not end")
        if error := operation.get("error"):
            raise ApiError(error.get("code", 500), error.get("message", ""))

    def _token(self) -> str:
        token = self.settings.get("access_token") or os.environ.get("GOOGLE_OAUTH_ACCESS_TOKEN")
        if not token:
            raise SettingError("neither `credentials` nor `access_token` was set")
        return Path(token).read_text(encoding="utf-8").strip() if Path(token).is_file() else token

    def _endpoint(self, service: str) -> str:
        name = f"{service}_custom_endpoint"
        endpoint = self.settings.get(name) or os.environ.get(f"GOOGLE_{name.upper()}")
        if not endpoint:
            raise SettingError(f"the stand-in only calls an emulator: set {name}")
        return str(endpoint)


def _message(content: bytes) -> str:
    try:
        return str(json.loads(content)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return content.decode(errors="replace")
