"""Who may ask: pages that this server handed out, by an address that its user was told."""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",  # the address holds the token
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """Refuses every request but those of the server's own pages, before anything else sees it.

    A host other than this server's is a name of somebody else that leads here (DNS rebinding); an origin other than
    its own is a page of somebody else. The first part of the path is the token, which is taken off.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str], token: str) -> None:
        self.app = app
        self.hosts = frozenset(hosts)
        self.token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand the request on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send_with_headers)
            return
        _, _, rest = scope["path"][1:].partition("/")
        inside = {**scope, "path": f"/{rest}", "raw_path": f"/{rest}".encode(), "root_path": ""}
        await self.app(inside, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or hosts[0] not in self.hosts:
            return PlainTextResponse("this host is not served here", 400)
        own = f"http://{hosts[0]}"
        if any(origin != own for origin in origins) or (scope["method"] == "POST" and not origins):
            return PlainTextResponse("requests of other pages are refused", 403)
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not _follows_a_link(scope, headers):
            return PlainTextResponse("requests of other pages are refused", 403)
        first, slash, _ = scope["path"][1:].partition("/")
        if not slash or not hmac.compare_digest(first.encode("utf-8", "replace"), self.token.encode()):
            return PlainTextResponse("open the address that `cnnspec show --watch` printed, with its token", 403)
        return None


def _follows_a_link(scope: Scope, headers: Headers) -> bool:
    """Return whether a browser opens a page at the top, as for a link in another one, which learns nothing of it."""
    navigates = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return navigates and scope["method"] == "GET"
