"""The ASGI application of one cloud: turns bytes into a call and a reply into bytes, and applies faults in between."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, timedelta
from email.utils import format_datetime
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, unquote

from refresher.emulator.cloud import Cloud
from refresher.emulator.errors import Refusal, api_refusal
from refresher.emulator.evaluation import Evaluator, IdentityNeeded
from refresher.emulator.faults import Fault
from refresher.emulator.http import ENCODED_SLASH, Call, Reply
from refresher.emulator.oidc_issuer import KeysNeeded
from refresher.emulator.routes import answer
from refresher.emulator.storage.objects import LARGEST

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


LARGEST_BODY = 4 * 1024 * 1024


class Application:
    """Answers HTTP requests for one cloud."""

    def __init__(self, cloud: Cloud, evaluator: Evaluator, *, patience: float) -> None:
        self._cloud = cloud
        self._evaluator = evaluator
        self._patience = patience

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one HTTP request. Other ASGI scopes, such as websockets, are ignored."""
        if scope["type"] != "http":
            return
        try:
            largest = LARGEST if b"/upload/" in scope["raw_path"] else LARGEST_BODY
            body = await _read_body(receive, largest, self._patience)
            reply = await self._reply(_read_call(scope, body))
        except Refusal as refusal:
            reply = Reply(document=refusal.document, status=refusal.status, headers={"connection": "close"})
        await _send(self._cloud, scope, send, reply)

    async def _reply(self, call: Call) -> Reply:
        while True:
            try:
                return answer(self._cloud, call)
            except KeysNeeded as needed:
                jwks = await self._discover(needed.issuer)
                self._cloud.key_sets[needed.issuer] = (jwks, self._cloud.now())
                call = replace(call, keys_discovered=True)
            except IdentityNeeded as needed:
                call = replace(call, identity=await self._evaluator.map_identity(needed.provider, needed.claims))

    async def _discover(self, issuer: str) -> dict[str, Any] | Refusal | None:
        """Ask an issuer for its keys, in a thread that is abandoned when the issuer takes too long."""
        loop = asyncio.get_running_loop()
        found: asyncio.Future[dict[str, Any] | Refusal | None] = loop.create_future()

        def ask() -> None:
            jwks = self._cloud.discover(issuer)
            with suppress(RuntimeError):  # the server has stopped in the meantime
                loop.call_soon_threadsafe(lambda: None if found.done() else found.set_result(jwks))

        Thread(target=ask, name="discovery", daemon=True).start()
        try:
            async with asyncio.timeout(self._patience):
                return await found
        except TimeoutError:
            return None


async def _send(cloud: Cloud, scope: dict[str, Any], send: Send, reply: Reply) -> None:
    kind, content = _encode_content(reply)
    fault = reply.fault
    skew = timedelta(seconds=fault.clock_skew or 0.0 if fault is not None else 0.0)
    date = format_datetime(cloud.clock.now().astimezone(UTC) + skew, usegmt=True)
    headers = {"date": date, "content-type": kind, "content-length": str(len(content)), **reply.headers}
    if fault is not None:
        await asyncio.sleep(fault.delay)
        if fault.drop:
            scope["extensions"]["emulator.transport"].abort()
            return
    await send(
        {
            "type": "http.response.start",
            "status": reply.status,
            "headers": [
                (name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()
            ],
        }
    )
    content = b"" if scope["method"] == "HEAD" else content
    if fault is not None and (fault.truncate or fault.drip):
        await _send_badly(scope, send, content, fault)
    else:
        await send({"type": "http.response.body", "body": content})


async def _send_badly(scope: dict[str, Any], send: Send, content: bytes, fault: Fault) -> None:
    if fault.truncate:
        await send({"type": "http.response.body", "body": content[: len(content) // 2], "more_body": True})
        scope["extensions"]["emulator.transport"].close()
        return
    for byte in content:
        await send({"type": "http.response.body", "body": bytes([byte]), "more_body": True})
        await asyncio.sleep(fault.drip)
    await send({"type": "http.response.body", "body": b""})


def _encode_content(reply: Reply) -> tuple[str, bytes]:
    if reply.content is not None:
        return "application/octet-stream", reply.content
    if reply.text is not None:
        return "text/plain; charset=utf-8", reply.text.encode("utf-8", "replace")
    if reply.status == 204:  # noqa: PLR2004 - No Content
        return "application/json; charset=UTF-8", b""
    return "application/json; charset=UTF-8", json.dumps(reply.document).encode()


async def _read_body(receive: Receive, largest: int, patience: float) -> bytes:
    """Return the whole body.

    Raises:
        Refusal: It is too large, or it does not arrive in time. A body that is too large is read to its end first, so
            that the answer reaches the client.
    """
    chunks: list[bytes] = []
    size = 0
    while True:
        try:
            async with asyncio.timeout(patience):
                message = await receive()
        except TimeoutError:
            raise api_refusal("timeout") from None
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= largest:
            chunks.append(chunk)
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            if size > largest:
                raise api_refusal("too_large")
            return b"".join(chunks)


def _read_call(scope: dict[str, Any], body: bytes) -> Call:
    try:
        queries = tuple(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    except ValueError:  # more fields than any real client sends
        raise api_refusal("I6") from None
    return Call(
        method=scope["method"],
        path=decode_path(scope["raw_path"].decode("latin-1")),
        query=dict(queries),
        queries=queries,
        scheme=scope["scheme"],
        headers={name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]},
        body=body,
    )


def decode_path(raw: str) -> str:
    """Decode a path segment by segment, so that an encoded slash doesn't separate segments."""
    if "%" not in raw:
        return raw
    return "/".join(unquote(segment).replace("/", ENCODED_SLASH) for segment in raw.split("/"))
