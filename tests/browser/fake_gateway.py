"""A gateway without a system behind it: it serves the real page, and answers as docs/clients.md says.

For what a healthy system doesn't show: keys without rights, refusals with a countdown, a gateway that goes
away, outcomes other than answered. What is taught is kept in a list, and a question is answered by shared
words.

    with FakeGateway() as fake:            fake.address  "http://127.0.0.1:41234"
        fake.refuse("POST", "/v1/ask", 429, retry_after=2)   the next one of these, once
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from types import SimpleNamespace
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from hurnet_stream.gateway import pages
from hurnet_stream.gateway.headers import ALWAYS
from hurnet_stream.local.loopback import free_ports

KEY = "hk_test_0123456789"
RIGHTS = ("ask", "teach", "forget", "watch")
Json = dict[str, Any]


class FakeGateway:
    """Its `with` block serves. `entries` are what was taught, `refusals` what is refused next."""

    def __init__(self, *, keyed: bool = False, rights: Sequence[str] = RIGHTS) -> None:
        self.keyed = keyed
        self.key, self.name = KEY, "tester"
        self.rights = list(rights)
        self.contexts = ["*"]
        self.entries: list[Json] = []
        self.receipts: dict[str, Json] = {}
        self.refusals: list[tuple[str, str, Response]] = []
        self.letters: list[Json] = []
        self.requests: list[tuple[str, str]] = []
        self.bodies: list[bytes] = []
        """Those of the files that were tried or taught."""
        self.override: Json = {}
        """Fields of the next replies, in place of their own."""
        self.replayed: Json = {}
        """The same of a replay."""
        self.wrong: list[str] = []
        self.learns = True
        """Whether corrections have an effect."""
        self._server: uvicorn.Server | None = None
        self.port = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Serve: at the same port as before, if it has served."""
        listening = socket.create_server(("127.0.0.1", self.port or free_ports(1)[0]))
        self.port = listening.getsockname()[1]
        config = uvicorn.Config(self.app(), log_config=None, timeout_graceful_shutdown=1, lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listening]}, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    def stop(self) -> None:
        assert self._server is not None
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(120)
        assert not self._thread.is_alive()

    def refuse(
        self, method: str, path: str, status: int, retry_after: int | None = None, **more: Any
    ) -> None:
        """Answer the next request of this kind by a problem."""
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        content = {"type": "about:blank", "title": "Refused", "status": status, "detail": "", **more}
        self.refusals.append(
            (method, path, JSONResponse(content, status, headers, "application/problem+json"))
        )

    def teach(self, text: str, answer: str | None = None, context: str = "default", **more: Any) -> Json:
        entry = {"entry": {"partition": 0, "offset": len(self.entries)}, "text": text, "answer": answer}
        self.entries.append({**entry, "context": context, "metadata": {}, **more})
        return entry

    def app(self) -> ASGIApp:
        gateway: Any = SimpleNamespace(settings=SimpleNamespace(gateway=SimpleNamespace(console=True)))
        routes = pages.routes(gateway) + [
            Route(path, self._checked(handler), methods=[method]) for method, path, handler in self._table()
        ]
        return _Headers(Starlette(routes=routes))

    def _table(self) -> list[tuple[str, str, Callable[[Request], Awaitable[Response]]]]:
        return [
            ("GET", "/v1/me", self._me),
            ("POST", "/v1/ask", self._ask),
            ("POST", "/v1/texts", self._texts),
            ("POST", "/v1/files", self._file),
            ("POST", "/v1/rehearsals", self._rehearse),
            ("POST", "/v1/corrections", self._correct),
            ("DELETE", "/v1/texts/{partition}/{offset}", self._delete),
            ("GET", "/v1/deletions/{record:path}", self._deletion),
            ("GET", "/v1/contexts", self._contexts),
            ("GET", "/v1/contexts/{name}", self._context),
            ("GET", "/v1/contexts/{name}/entries", self._entries),
            ("GET", "/v1/contexts/{name}/answers", self._answers),
            ("GET", "/v1/receipts/{record:path}", self._receipt),
            ("POST", "/v1/receipts/{record:path}/replay", self._replay),
            ("GET", "/v1/dead-letters", self._letters),
            ("GET", "/v1/events", self._events),
        ]

    def _checked(
        self, handler: Callable[[Request], Awaitable[Response]]
    ) -> Callable[..., Awaitable[Response]]:
        async def checked(request: Request) -> Response:
            self.requests.append((request.method, str(request.url)))
            for refusal in self.refusals:
                if refusal[:2] == (request.method, request.url.path):
                    self.refusals.remove(refusal)
                    return refusal[2]
            if self.keyed and request.headers.get("authorization") != f"Bearer {self.key}":
                return _problem(401, "no such key")
            return await handler(request)

        return checked

    async def _me(self, _request: Request) -> Response:
        name = self.name if self.keyed else None
        return JSONResponse({"name": name, "rights": self.rights, "contexts": self.contexts})

    async def _ask(self, request: Request) -> Response:
        query = await request.json()
        reply = {**self.reply(query["text"], query.get("context", "default")), **self.override}
        reply["record"] = f"answers/0/{len(self.receipts)}"
        self.receipts[reply["record"]] = reply
        return JSONResponse(reply)

    def reply(self, text: str, context: str) -> Json:
        """By shared words: enough to see what the page makes of it."""
        asked = set(text.lower().split())
        held = [each for each in self.entries if each["context"] == context]
        near = sorted(((_likeness(asked, each["text"]), each) for each in held), key=lambda pair: -pair[0])
        best: dict[str, tuple[float, Json]] = {}
        for likeness, each in near:
            best.setdefault(each["answer"] or each["text"], (likeness, each))
        candidates = [_candidate(answer, likeness, each) for answer, (likeness, each) in best.items()]
        neighbours = [
            {"entry": each["entry"], "text": each["text"], "answer": each["answer"] or each["text"]}
            | {"similarity": likeness, "metadata": each["metadata"]}
            for likeness, each in near[:32]
        ]
        answered = bool(candidates) and candidates[0]["scores"]["combined"] >= 0.3
        scores = [each["scores"]["combined"] for each in candidates]
        return {
            "v": 1,
            "id": "queries/0/0",
            "question": text,
            "outcome": "answered" if answered else "abstained",
            "answer": candidates[0]["answer"] if answered else None,
            "reason": None if answered else "the best score is below the threshold",
            "candidates": candidates[:5],
            "neighbours": neighbours,
            "receipt": {
                **{
                    "query": "queries/0/0",
                    "context": context,
                    "rows": len(held),
                    "rows_of_context": len(held),
                },
                **{"embedder": "fake", "fingerprint": "0" * 16, "watermarks": {"0": len(self.entries) - 1}},
                "mix": {
                    "version": 1,
                    "meaning": 0.7,
                    "memory": 0.6,
                    "lexical": 0.4,
                    "words": 0.1,
                    "weights": 0.5,
                },
                **{"threshold": 0.3, "probability": 0.87, "rehearsed": 120, "decided_by": "threshold"},
                **{"nearest": scores[0] if scores else 0.0, "seconds": 0.002, "weights": None},
                "margin": scores[0] - scores[1] if len(scores) > 1 else None,
                "runner_up": candidates[1]["answer"] if len(scores) > 1 else None,
            },
        }

    async def _texts(self, request: Request) -> Response:
        event = await request.json()
        self.teach(event["text"], event.get("answer"), event.get("context", "default"))
        return self._written(1)

    async def _file(self, request: Request) -> Response:
        rows = _rows(await self._body(request))
        for row in rows:
            self.teach(row["text"], row.get("answer"), request.query_params["context"])
        return self._written(len(rows))

    async def _body(self, request: Request) -> str:
        self.bodies.append(await request.body())
        marked = self.bodies[-1].startswith(b"\xff\xfe")
        return self.bodies[-1].decode("utf-16" if marked else "utf-8", "replace")

    def _written(self, count: int) -> Response:
        end = len(self.entries)
        records = [f"texts/0/{offset}" for offset in range(end - count, end)]
        return JSONResponse({"watermarks": {"0": end - 1}, "records": records}, 202)

    async def _rehearse(self, request: Request) -> Response:
        rows = _rows(await self._body(request))
        rejects = [
            {"line": number, "reason": "blank-text", "message": "write a text"}
            for number, row in enumerate(rows, start=2)
            if not row["text"].strip()
        ]
        told = {
            "rows": len(rows) - len(rejects),
            "rejects": rejects,
            "preview": [row for row in rows if row["text"].strip()][:20],
            "accuracy": 0.94,
            "rehearsed": len(rows),
        }
        return JSONResponse(told)

    async def _correct(self, request: Request) -> Response:
        said = await request.json()
        if not self.learns:
            return JSONResponse({"feedback": "feedback/0/0", "watermarks": {}, "taught": False}, 202)
        self.entries = [each for each in self.entries if each.get("taught_by") != said["question"]]
        if said.get("answer"):
            self.teach(said["question"], said["answer"], said["context"], taught_by=said["question"])
        return JSONResponse(
            {"feedback": "feedback/0/0", "watermarks": {"0": len(self.entries)}, "taught": True}, 202
        )

    async def _delete(self, request: Request) -> Response:
        place = {name: int(value) for name, value in request.path_params.items()}
        self.entries = [each for each in self.entries if each["entry"] != place]
        return JSONResponse({"records": ["texts/0/99"], "watermarks": {"0": 99}}, 202)

    async def _deletion(self, _request: Request) -> Response:
        return JSONResponse({"done": True})

    async def _contexts(self, _request: Request) -> Response:
        names = sorted({each["context"] for each in self.entries})
        return JSONResponse({"contexts": [self._counted(name) for name in names]})

    def _counted(self, name: str) -> Json:
        held = [each for each in self.entries if each["context"] == name]
        return {"name": name, "entries": len(held), "answers": len({each["answer"] for each in held})}

    async def _context(self, request: Request) -> Response:
        return JSONResponse(self._counted(request.path_params["name"]))

    async def _entries(self, request: Request) -> Response:
        held = [each for each in self.entries if each["context"] == request.path_params["name"]]
        first, limit = int(request.query_params.get("after", 0)), int(request.query_params["limit"])
        more = first + limit if first + limit < len(held) else None
        return JSONResponse({"entries": held[first : first + limit], "next": more})

    async def _answers(self, request: Request) -> Response:
        held = [each for each in self.entries if each["context"] == request.path_params["name"]]
        answers = sorted({each["answer"] or each["text"] for each in held})
        return JSONResponse({"answers": [{"answer": answer, "entries": 1} for answer in answers]})

    async def _receipt(self, request: Request) -> Response:
        reply = self.receipts.get(request.path_params["record"])
        return JSONResponse(reply) if reply else _problem(404, "there is no such receipt")

    async def _replay(self, request: Request) -> Response:
        reply = self.receipts[request.path_params["record"]]
        told = {"same": True, "differences": [], "missing": [], "then": reply, "now": reply}
        return JSONResponse({**told, **self.replayed})

    async def _letters(self, _request: Request) -> Response:
        return JSONResponse({"dead_letters": self.letters})

    async def _events(self, _request: Request) -> Response:
        return StreamingResponse(self._figures(), media_type="text/event-stream")

    async def _figures(self) -> AsyncIterator[str]:
        for number in range(10_000):
            rate = 40 + 25 * ((number * 7) % 11) / 11
            shard = {"partition": 0, "rows": len(self.entries), "end_offset": number, "next_offset": number}
            weights = {"context": "default", "version": number, "age_s": 2.0, "certificate": {"ridge": 0.1}}
            figures = {
                "rates": {"texts": rate, "queries": rate / 3, "answers": rate / 3},
                "shards": [
                    {**shard, "searchable_offset": number, "folded_offset": number, "lag_records": number % 5}
                ],
                "workers": {"ingest": {"group": "g", "members": [{"worker": "ingest-1"}], "lag_records": 0}},
                **{
                    "solver": "solver-1",
                    "weights": [weights],
                    "wrong": self.wrong,
                    "questions_under_way": number % 4,
                    "freshness_ms": 210 + number % 40,
                },
            }
            yield f"event: figures\nid: {number}\ndata: {json.dumps(figures)}\n\n"
            await asyncio.sleep(0.2)


class _Headers:
    """The headers that the real gateway adds to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *ALWAYS]
            await send(message)

        await self.app(scope, receive, with_headers)


def _problem(status: int, detail: str) -> Response:
    content = {"type": "about:blank", "title": "Problem", "status": status, "detail": detail}
    return JSONResponse(content, status, media_type="application/problem+json")


def _likeness(asked: set[str], text: str) -> float:
    words = set(text.lower().split())
    return len(asked & words) / max(1, len(asked | words)) * 0.9 + 0.1


def _candidate(answer: str, likeness: float, each: Json) -> Json:
    parts = {"meaning": likeness, "spelling": likeness * 0.8, "memory": likeness, "lexical": likeness / 2}
    scores = {"combined": likeness, **parts, "words": likeness * 0.7, "weights": likeness * 0.9}
    return {
        "answer": answer,
        "scores": scores,
        "entry": each["entry"],
        "text": each["text"],
        "metadata": each["metadata"],
    }


def _rows(text: str) -> list[dict[str, str]]:
    if text.lstrip().startswith("{"):
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    pairs = [line.split(",", 1) for line in text.splitlines()[1:]]
    return [{"text": pair[0], "answer": pair[-1]} for pair in pairs]
