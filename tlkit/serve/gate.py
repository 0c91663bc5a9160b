"""Checks of every request on its way to the answers: who may ask, how much, how long; the log and the counters.

Every refusal is a `Refusal`, and every other error is answered with the same sentence, so that nothing of the machine
is in an answer. The log has the route, never the address or the name of a file.
"""

import asyncio
import hmac
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Route, Router
from starlette.types import Message, Receive, Scope, Send

from tlkit.serve.metrics import OTHER, STATUSES, Metrics
from tlkit.serve.refusal import Refusal

STALLED_SECONDS = 5.0  # without a byte of the body, after which a client is cut off
LOOPBACK_HOSTS = re.compile(r"(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?", re.IGNORECASE)
MAX_HEADERS = 16_384  # bytes
CLIENT_LEFT = 499  # status in the log, as nginx has it; nothing is sent
OPEN_ROUTES = ("/", "/page.css", "/page.js", "/healthz", "/v2/health/live", "/v2/health/ready")  # need no token
MEASURED_ROUTES = ("/predict", "/v2/models/{name}/infer", "/v1/models/{name}:predict")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = [  # of every answer
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(self), microphone=(), geolocation=()"),
    (b"cache-control", b"no-store"),
]


@dataclass(frozen=True)
class RequestLimits:
    """Limits of a request.

    Attributes:
        max_bytes: of its body
        max_images: in it
        seconds: from its headers to its answer
    """

    max_bytes: int = 10_000_000
    max_images: int = 32
    seconds: float = 30.0


@dataclass
class _Exchange:
    """One request and its answer."""

    scope: Scope
    receive: Receive
    send: Send
    status: int = 0  # 0 until an answer has started
    num_bytes: int = 0
    is_received: bool = False


class Gate:
    """An application around the one that answers."""

    def __init__(
        self,
        app: Router,
        limits: RequestLimits,
        metrics: Metrics,
        token: str | None = None,
        log: Callable[[str], None] | None = None,
    ) -> None:
        """Take the application.

        Args:
            token: that a request must have; None where only this machine can ask, whose names are checked instead
            log: takes one line for each request
        """
        self._app, self._limits, self._metrics, self._token, self._log = app, limits, metrics, token, log
        self._addresses = {route.path for route in app.routes if isinstance(route, Route) and "{" not in route.path}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return
        exchange, started = _Exchange(scope, receive, send), time.perf_counter()
        scope["app"] = self  # so that the router raises an error where nothing answers
        self._metrics.add("tlkit_requests_in_progress")
        try:
            await self._answer(exchange)
        finally:
            self._metrics.add("tlkit_requests_in_progress", -1)
            self._count(exchange, time.perf_counter() - started)

    async def _answer(self, exchange: _Exchange) -> None:
        try:
            self._check(exchange.scope)
            async with asyncio.timeout(self._limits.seconds):
                await self._app(exchange.scope, self._limited(exchange), self._sending(exchange))
        except ClientDisconnect:
            exchange.status = exchange.status or CLIENT_LEFT
        except Refusal as refusal:
            await self._refuse(exchange, refusal)
        except HTTPException as error:  # of the router
            text = {404: "There is nothing at this address.", 405: "This address has another method."}
            words = text.get(error.status_code, "The request cannot be read.")
            await self._refuse(exchange, Refusal(error.status_code, words, error.headers))
        except TimeoutError:
            status, words = (503, "took too long") if exchange.is_received else (408, "did not arrive in time")
            await self._refuse(exchange, Refusal(status, f"The request {words}.", {"Connection": "close"}))
        except Exception as error:
            if self._log:
                self._log(f"error: {type(error).__name__} while answering {self._route(exchange.scope)}")
            await self._refuse(exchange, Refusal(500, "The server could not answer; its log says more."))

    def _check(self, scope: Scope) -> None:
        """Check who asks; Refusal if this may not"""
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADERS:
            raise Refusal(431, "The headers of the request are too large.", {"Connection": "close"})
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2].lower() != host.lower():
            raise Refusal(403, "Pages of other addresses may not ask this server.")
        if self._token is None:
            if not LOOPBACK_HOSTS.fullmatch(host):  # a page whose name was made to mean this machine
                raise Refusal(403, "Ask this server by the name localhost.")
        elif scope["path"] not in OPEN_ROUTES:
            self._check_token(headers)
        self._check_body(headers)

    def _check_body(self, headers: Mapping[str, str]) -> None:
        """Check what the headers say of the body; Refusal if it may not be read"""
        if "transfer-encoding" in headers and "content-length" in headers:  # a proxy may believe the other one
            raise Refusal(400, "The request has two lengths.", {"Connection": "close"})
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise Refusal(415, "A compressed body is not read; send it as it is.")
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length[:20]) > self._limits.max_bytes:
            raise self._too_large()

    def _check_token(self, headers: Mapping[str, str]) -> None:
        assert self._token is not None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        is_equal = hmac.compare_digest(given.strip().encode("latin-1"), self._token.encode())
        if scheme.lower() != "bearer" or not is_equal:
            raise Refusal(401, "This server needs its token, as a bearer token.", {"WWW-Authenticate": "Bearer"})

    def _too_large(self) -> Refusal:
        allowed = f"{self._limits.max_bytes / 1e6:g} MB"
        return Refusal(413, f"The request is larger than {allowed}.", {"Connection": "close"})

    def _limited(self, exchange: _Exchange) -> Receive:
        """Give what reads the body, up to its limit; a client that stalls is cut off."""

        async def receive() -> Message:
            """Read the next part of the body."""
            async with asyncio.timeout(None if exchange.is_received else STALLED_SECONDS):
                message = await exchange.receive()
            exchange.num_bytes += len(message.get("body", b""))
            exchange.is_received = not message.get("more_body", False)
            if exchange.num_bytes > self._limits.max_bytes:
                raise self._too_large()
            return message

        return receive

    def _sending(self, exchange: _Exchange) -> Send:
        """Give what sends an answer, with the headers that each has."""

        async def send(message: Message) -> None:
            """Send a part of the answer."""
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                message["headers"] = [*message.get("headers", []), *HEADERS]
            await exchange.send(message)

        return send

    async def _refuse(self, exchange: _Exchange, refusal: Refusal) -> None:
        """Send a sentence, unless an answer has started."""
        if exchange.status:
            return
        body = json.dumps({"error": refusal.text}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        headers += [(name.lower().encode(), value.encode()) for name, value in refusal.headers.items()]
        send = self._sending(exchange)
        await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _count(self, exchange: _Exchange, seconds: float) -> None:
        route, status = self._route(exchange.scope), exchange.status or CLIENT_LEFT
        self._metrics.add("tlkit_requests_total", route=route, status=str(status if status in STATUSES else 500))
        if route in MEASURED_ROUTES:
            self._metrics.observe(seconds)
        if self._log:
            method = exchange.scope["method"] if exchange.scope["method"] in ("GET", "HEAD", "POST") else "other"
            clock = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            size = f", {exchange.num_bytes:,} bytes" if exchange.num_bytes else ""
            self._log(f"{clock} {method} {route} {status}, {1000 * seconds:.0f} ms{size}")

    def _route(self, scope: Scope) -> str:
        """Name the address that was asked for, without what a client chose in it."""
        by_default = scope["path"] if scope["path"] in self._addresses else OTHER
        return str(getattr(scope.get("endpoint"), "route", by_default))
