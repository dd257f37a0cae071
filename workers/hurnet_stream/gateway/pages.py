"""GET / and /console/*: the page for people, as files that are read once at the start.

They are the same for everybody and hold nothing of anybody, so they need no key. A browser keeps a file and
asks each time whether it is still the same: an upgrade is seen at once, and what did not change costs one
short reply.

    GET /console/main.js                              200  ETag: "5f2c…"
    GET /console/main.js  If-None-Match: "5f2c…"      304
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hurnet_stream.gateway.gateway import Gateway

PAGE: Final = "index.html"
MEDIA_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
"""By the end of a file's name. Files of other kinds are not served."""


@dataclass(frozen=True, slots=True)
class Page:
    """A file as it is sent."""

    content: bytes
    media_type: str
    etag: str

    def response(self, known: str | None) -> Response:
        """The file, or 304 if the browser has it. `known` is the request's If-None-Match."""
        headers = {"etag": self.etag, "cache-control": "no-cache"}
        tags = {tag.strip().removeprefix("W/") for tag in (known or "").split(",")}
        if tags & {self.etag, "*"}:
            return Response(status_code=304, headers=headers)
        return Response(self.content, headers=headers, media_type=self.media_type)


def routes(gateway: Gateway) -> list[Route]:
    """Of the console; none if it is off."""
    if not gateway.settings.gateway.console:
        return []
    pages = read(files("hurnet_stream.gateway") / "console")

    async def serve(request: Request) -> Response:
        # Looked up by its whole name among files that were read: no path can leave the folder.
        page = pages.get(request.path_params.get("name", PAGE))
        if page is None:
            raise HTTPException(404)
        return page.response(request.headers.get("if-none-match"))

    return [Route("/", serve, methods=["GET"]), Route("/console/{name:path}", serve, methods=["GET"])]


def read(folder: Traversable, prefix: str = "") -> dict[str, Page]:
    """All files in a folder and its folders, by their names such as "views/ask.js"."""
    pages: dict[str, Page] = {}
    for each in folder.iterdir():
        if each.is_dir():
            pages |= read(each, f"{prefix}{each.name}/")
        elif media_type := MEDIA_TYPES.get(f".{each.name.rpartition('.')[2]}"):
            content = each.read_bytes()
            pages[prefix + each.name] = Page(content, media_type, _tag(content))
    return pages


def _tag(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'
