"""ASGI middleware for all answers and requests: headers, host names, requests from other sites."""

from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from faceskd.studio.errors import Refusal, too_large

POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "font-src 'self'",
        "manifest-src 'self'",
        "worker-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
Refuse = Callable[[Request, Refusal], Response]
FORM_BYTES = 1_000_000
"""What the parts of a form around its file may have; larger bodies are read of users only."""

SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class Security:
    """Sets headers, and refuses wrong hosts, forged requests and bodies that are too large.

    All answers have `HEADERS` and what is in the request's `state.headers`, unless they set these
    headers by themselves.

    A request that changes something and is authenticated by the browser (cookie, or loopback) must
    come from the studio's own pages: `Sec-Fetch-Site` says so, which all browsers send since 2023
    and no page can set, or `Origin` is this host. Requests with an access token are exempt: no
    other site can add one. See the OWASP cheat sheet on cross-site request forgery, "Fetch
    Metadata".

    Args:
        app: the application.
        hosts: names that are answered; empty for all.
        max_bytes: of a file; more in one request is refused. Starlette refuses bodies that do not
            say how long they are, once too much of them has come.
        expect_user: raises a Refusal if nobody is logged in. Routes know that only when the body
            was read, which is too late for large ones: they are written to the disk.
        refuse: makes the answer to a refused request.
    """

    def __init__(
        self,
        app: ASGIApp,
        hosts: tuple[str, ...],
        max_bytes: int,
        expect_user: Callable[[Request], None],
        refuse: Refuse,
    ) -> None:
        self.app, self.hosts, self.refuse = app, hosts, refuse
        self.max_bytes, self.expect_user = max_bytes, expect_user

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                own = scope.get("state", {}).get("headers", {})
                for name, value in (HEADERS | own).items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        request = Request(scope)
        try:
            self._check(request.method, request.headers)
            if _may_be_large(request.headers):
                await run_in_threadpool(self.expect_user, request)
        except Refusal as refusal:
            response = self.refuse(request, refusal)
            return await response(scope, receive, with_headers)
        return await self.app(scope, receive, with_headers)

    def _check(self, method: str, headers: Headers) -> None:
        host = headers.get("host", "")
        if self.hosts and _without_port(host) not in self.hosts:
            raise Refusal(400, "host", "This server is not called by that name.")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self.max_bytes + FORM_BYTES:
            raise too_large(self.max_bytes)
        if method in SAFE or headers.get("authorization", "").lower().startswith("bearer "):
            return
        site = headers.get("sec-fetch-site")
        own = (
            urlsplit(headers.get("origin", "")).netloc == host
            if site is None
            else site in ("same-origin", "none")
        )
        if own:
            return
        raise Refusal(
            403,
            "cross_origin",
            "The request does not come from a page of this server. Programs use an access token.",
        )


def _may_be_large(headers: Headers) -> bool:
    return "transfer-encoding" in headers or int(headers.get("content-length", "0")) > FORM_BYTES


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
