"""Nobody let in: checks on every request of the page's server."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from urllib.parse import urlsplit

from dash import Dash
from flask import Response, abort, make_response, redirect, request

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
COOKIE = "prunescope-token"
# pages that may show this one in a frame: notebooks of this machine, and those in VS Code
NOTEBOOKS = "http://localhost:* http://127.0.0.1:* vscode-webview: https://*.vscode-cdn.net"


def guard(app: Dash, hosts: Iterable[str] | None = LOOPBACK, token: str | None = None, port: int = 0) -> None:
    """Refuse requests for other hosts, from other origins, or without the token where there is one.

    Args:
        hosts: Names under which the page may be asked for; others are a rebound name. None where a proxy asks under
            its own: then the token has to do.
        token: Asked of every request, once as `?token=`, then as a cookie. None on a loopback address.
        port: Of the server: pages on several ports of one machine, or behind one proxy, have a cookie each.
    """
    allowed = None if hosts is None else frozenset(hosts)
    server = app.server
    home, cookie = app.config.requests_pathname_prefix, f"{COOKIE}-{port}"

    @server.before_request  # type: ignore[untyped-decorator]
    def check() -> Response | None:
        if allowed is not None and _name(request.host) not in allowed:
            abort(403, "This page is not served under that host name.")
        origin = request.headers.get("Origin")
        if request.method not in ("GET", "HEAD") and origin and urlsplit(origin).netloc != request.host:
            abort(403, "Requests from other origins are refused.")
        if request.headers.get("Sec-Fetch-Site") == "cross-site" and request.method not in ("GET", "HEAD"):
            abort(403, "Requests from other sites are refused.")
        return _admitted(token, home, cookie) if token else None

    @server.after_request  # type: ignore[untyped-decorator]
    def add_headers(response: Response) -> Response:
        hashes = " ".join(f"'{digest}'" if not digest.startswith("'") else digest for digest in app.csp_hashes())
        response.headers["Content-Security-Policy"] = (
            f"default-src 'self'; script-src 'self' {hashes}; style-src 'self' 'unsafe-inline'; "
            f"img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; "
            f"frame-ancestors 'self' {NOTEBOOKS}"
        )
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response


def _name(host: str) -> str:
    """ "127.0.0.1:8050" -> "127.0.0.1", "[::1]:8050" -> "[::1]"."""
    return host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host


def _admitted(token: str, home: str, cookie: str) -> Response | None:
    given = request.args.get("token", "")
    if given and _equal(given, token):
        # relative: a proxy may or may not put its own path in front of an absolute one
        response = make_response(redirect(f"./{request.path.rpartition('/')[2]}"))
        response.set_cookie(cookie, token, path=home, httponly=True, samesite="Strict")
        return response
    if not _equal(request.cookies.get(cookie, ""), token):
        abort(403, "Open the address with the token that prunescope printed.")
    return None


def _equal(given: str, token: str) -> bool:
    """In constant time; text that is not ASCII is compared as bytes, as `compare_digest` refuses it as text."""
    return hmac.compare_digest(given.encode(errors="replace"), token.encode())
