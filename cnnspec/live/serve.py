"""Serve the live page of a spec, on this machine alone, until it is interrupted."""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable
from types import FrameType

import uvicorn

from cnnspec.errors import CnnspecError
from cnnspec.live.app import application
from cnnspec.live.guard import Guard
from cnnspec.live.options import Watched
from cnnspec.live.secret import token
from cnnspec.live.session import Session

MOST_CONNECTIONS = 128
IDLE = 5
"""Seconds that a connection may be kept without a request."""


class PortError(CnnspecError):
    """A port that cannot be listened on."""


class _Server(uvicorn.Server):
    """Ends the streams of events at the first Ctrl-C, which would not end by themselves."""

    def __init__(self, config: uvicorn.Config, session: Session, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._session = session
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start as uvicorn does, and say so."""
        await super().startup(sockets)
        if self.started:
            self._on_start()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop at a signal."""
        self._session.close()
        super().handle_exit(sig, frame)


def serve(
    watched: Watched,
    *,
    port: int = 0,
    ipv6: bool = False,
    open_browser: bool = False,
    announce: Callable[[str], None] = print,
) -> None:
    """Serve the page of a spec on 127.0.0.1, and with `ipv6` also on ::1, until Ctrl-C.

    Port 0 is a free one. `announce` is called with the address once it can be opened. Raises PortError where the port
    is in use.
    """
    sockets = listening(port, ipv6)
    port = sockets[0].getsockname()[1]
    secret = token(watched.spec, port)
    url = f"http://127.0.0.1:{port}/{secret}/"
    session = Session(watched)

    def started() -> None:
        announce(url)
        if open_browser:
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()

    try:
        config = uvicorn.Config(
            Guard(application(session), hosts(port, ipv6), secret),
            http="h11",
            ws="none",
            lifespan="off",
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=MOST_CONNECTIONS,
            timeout_keep_alive=IDLE,
            timeout_graceful_shutdown=1,
        )
        session.start()
        asyncio.run(_Server(config, session, started).serve(sockets))
    except KeyboardInterrupt:
        pass  # which is how it ends
    finally:
        session.close()
        for one in sockets:
            one.close()


def hosts(port: int, ipv6: bool) -> set[str]:
    """Return the values of the header `Host` by which the server may be called."""
    names = ["127.0.0.1", "localhost", *(["[::1]"] if ipv6 else [])]
    return {f"{name}:{port}" for name in names} | (set(names) if port == 80 else set())


def listening(port: int, ipv6: bool) -> list[socket.socket]:
    """Return sockets that are bound to the loopback addresses; raise PortError where that is not possible."""
    found = [_bound(socket.AF_INET, "127.0.0.1", port)]
    if ipv6:
        try:
            found.append(_bound(socket.AF_INET6, "::1", found[0].getsockname()[1]))
        except PortError:
            found[0].close()
            raise
    return found


def _bound(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    made: socket.socket | None = None
    try:
        made = socket.socket(family, socket.SOCK_STREAM)
        if sys.platform == "win32":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # of a server that has just ended
        made.bind((host, port))
        made.listen(128)
    except (OSError, OverflowError) as error:
        if made is not None:
            made.close()
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            raise PortError(
                f"the port {port} of {host} is in use: give another --port, or none for a free one"
            ) from None
        reason = getattr(error, "strerror", None) or str(error)
        raise PortError(f"cannot listen on the port {port} of {host}: {reason}") from None
    return made
