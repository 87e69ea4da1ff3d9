"""The server's answers: the page, its assets, the events, and pictures in both directions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from cnnspec.diagram.assets import script, stylesheet
from cnnspec.errors import InputError
from cnnspec.live import pages
from cnnspec.live.board import Board
from cnnspec.live.network import MOST_BYTES, decoded
from cnnspec.live.session import Session
from cnnspec.sizes import size_of

HEARTBEAT = 10.0
"""Seconds between signs of life, by which a connection that is gone is noticed."""
MOST_READERS = 32
MOST_NAME = 200
TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


def application(session: Session) -> Starlette:
    """Return the application of a session. Whatever it hands out is in memory: it opens no file by a path of others."""
    own = {name: (pages.FILES / name).read_text("utf-8") for name in ("page.css", "page.js", "theme.js", "icon.svg")}
    assets = own | {"diagram.css": stylesheet(), "diagram.js": script()}
    html = pages.page(session.watched.spec, has_run=session.watched.run is not None)

    async def page(request: Request) -> Response:
        return HTMLResponse(html)

    async def asset(request: Request) -> Response:
        text = assets.get(name := request.path_params["name"])
        if text is None:
            raise HTTPException(404)
        return Response(text, media_type=TYPES[name.rpartition(".")[2]])

    async def events(request: Request) -> Response:
        if session.board.listeners >= MOST_READERS:
            return PlainTextResponse("too many pages are open", 503)
        return StreamingResponse(stream(session.board), media_type="text/event-stream")

    async def feature_map(request: Request) -> Response:
        png = session.pictures.get(request.path_params["name"])
        if png is None:
            raise HTTPException(404)
        return Response(png, media_type="image/png")

    async def picture(request: Request) -> Response:
        data = await _body(request)
        name = unquote(request.headers.get("x-file-name", ""))[:MOST_NAME]
        try:
            found = await run_in_threadpool(decoded, data, name)
        except InputError as error:
            return PlainTextResponse(str(error), 415)
        session.show_picture(found)
        return Response(status_code=204)

    return Starlette(
        routes=[
            Route("/", page),
            Route("/assets/{name}", asset),
            Route("/events", events),
            Route("/maps/{name}", feature_map),
            Route("/picture", picture, methods=["POST"]),
        ]
    )


async def _body(request: Request) -> bytes:
    """Return the body of a request, of at most MOST_BYTES; raise HTTPException for a larger one before it is read."""
    too_large = HTTPException(413, f"a picture has at most {size_of(MOST_BYTES)}", {"connection": "close"})
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal() or int(announced) > MOST_BYTES:
        raise too_large
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MOST_BYTES:
            raise too_large
    return bytes(data)


async def stream(board: Board) -> AsyncIterator[str]:
    """Yield the board as server-sent events: all of it first, and then the sections that changed.

    A reader that is slow gets the latest state of what it has missed, not each one in between.
    """
    loop, woken, seen = asyncio.get_running_loop(), asyncio.Event(), 0

    def wake() -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(woken.set)

    with board.listening(wake):
        while not board.closed:
            woken.clear()
            version, sections = board.since(seen)
            if sections:
                seen = version
                yield event(version, sections)
            else:
                try:
                    await asyncio.wait_for(woken.wait(), HEARTBEAT)
                except TimeoutError:
                    yield ":\n\n"


def event(version: int, sections: dict[str, Any]) -> str:
    """Return sections as an event, whose data is JSON and so on one line."""
    return f"id: {version}\nevent: update\nretry: 500\ndata: {json.dumps(sections)}\n\n"
