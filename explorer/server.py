"""The page's server: one thread, one port of this machine."""

from __future__ import annotations

import secrets
import socket
import threading
from dataclasses import dataclass, field

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from prunescope.core.errors import BadInput
from prunescope.explorer.app import create_app
from prunescope.explorer.guard import LOOPBACK, guard
from prunescope.explorer.session import Session

USUAL_PORT = 8050


class _Quiet(WSGIRequestHandler):
    """Requests are not worth a line in the terminal; errors are."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        return


@dataclass(frozen=True)
class Served:
    """A page that is being served."""

    url: str  # with the token where one is asked for; behind a proxy a path of the proxy's
    server: BaseWSGIServer = field(repr=False)

    def forever(self) -> None:
        """Serve until interrupted."""
        self.server.serve_forever()

    def in_background(self) -> None:
        """Serve on a thread that ends with the process."""
        threading.Thread(target=self.server.serve_forever, name="prunescope-server", daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()


def serve(session: Session, host: str = "127.0.0.1", port: int | None = None, proxy: str | None = None) -> Served:
    """Bind the page of a session to an address; it answers once `forever` or `in_background` is called.

    Args:
        host: An address other than loopback needs the token that is part of the URL.
        port: None takes the usual one, or any free one where that is taken.
        proxy: The path at which a proxy shows the page, {port} in it; it takes the path off, and the URL has the token.

    Raises:
        BadInput: the port is taken, the address is not this machine's, or the path is none.
    """
    path = _checked(proxy) if proxy is not None else None
    bound = _bind(host, port)
    address, number = bound.getsockname()[:2]
    token = None if _is_loopback(host) and path is None else secrets.token_urlsafe(24)
    prefix = path.replace("{port}", str(number)) if path else "/"
    app = create_app(session, prefix)
    guard(app, None if path else (*LOOPBACK, host, address, *_names_of_this_machine(token)), token, number)
    server = make_server(host, number, app.server, threaded=True, request_handler=_Quiet, fd=bound.fileno())
    # the server made its own copy of the socket
    bound.close()
    url = (prefix if path else f"http://{host}:{number}/") + (f"?token={token}" if token else "")
    session.url = url
    return Served(url, server)


def _bind(host: str, port: int | None) -> socket.socket:
    wishes = [USUAL_PORT, 0] if port is None else [port]
    problem: OSError | OverflowError | None = None
    for wish in wishes:
        bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((host, wish))
            bound.listen(128)
        except (OSError, OverflowError) as error:
            bound.close()
            problem = error
        else:
            return bound
    raise BadInput(
        asked=f"serve the page on {host}, port {port if port is not None else USUAL_PORT}",
        found=str(problem),
        where="--host and --port",
        what_to_do="choose another port, or none: then a free one is taken",
    )


def _checked(proxy: str) -> str:
    if proxy.startswith("/") and proxy.endswith("/"):
        return proxy
    raise BadInput(
        asked=f"show the page at {proxy!r} of a proxy",
        found="a path begins and ends with a slash",
        where="argument proxy",
        what_to_do="give for example proxy='/proxy/{port}/', as jupyter-server-proxy has it",
    )


def _is_loopback(host: str) -> bool:
    return host in ("127.0.0.1", "localhost", "::1")


def _names_of_this_machine(token: str | None) -> tuple[str, ...]:
    return (socket.gethostname(), socket.getfqdn()) if token else ()
