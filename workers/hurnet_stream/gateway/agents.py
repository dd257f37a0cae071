"""POST /mcp: agents use the gateway by the Model Context Protocol, over streamable HTTP without sessions.

A tool is a request to one of our own paths, by the key of the agent. So rights, contexts, limits and messages
are those of HTTP, and there is nothing that an agent may do and a program may not:

    tools/call ask {"question": "how do I get in?"}  ──▶  POST /v1/ask {"text": "how do I get in?"}
    what the agent is told                           ◀──  the reply, shortened to what an assistant needs

A tool is offered only to keys that have its right.
"""

from __future__ import annotations

import json
import logging
from importlib.metadata import version
from typing import Any, Final

import httpx
import structlog
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from hurnet_stream.gateway.access import key_of
from hurnet_stream.gateway.agent_tools import DATA, TOOLS, AgentTool, Call
from hurnet_stream.gateway.gateway import Gateway
from hurnet_stream.gateway.leaving import HungUp

log = structlog.get_logger()
logging.getLogger("mcp").setLevel(logging.WARNING)  # it logs the beginning and end of each request

INSTRUCTIONS: Final = (
    "hurnet answers questions from texts that people have taught it. It looks up the best answer exactly, and"
    " never makes one up: if it is not sure, it abstains, and you should say so. Each answer has a receipt"
    " (a name like answers/0/42) that you can cite, and that the tool `receipt` opens again. " + DATA
)


def routes(gateway: Gateway) -> list[Route]:
    """Of agents, unless HURNET_GATEWAY_MCP is off."""
    if not gateway.settings.gateway.mcp:
        return []
    return [Route("/mcp", _Endpoint(gateway.settings.gateway.body), methods=["POST"])]


class _Endpoint:
    """Serves each request by itself: no session lasts from one to the next."""

    def __init__(self, body_bytes: int) -> None:
        self._body_bytes = body_bytes
        self._server: Server[Any] = Server(
            "hurnet",
            version=version("hurnet-stream"),
            instructions=INSTRUCTIONS,
            on_list_tools=_list_tools,
            on_call_tool=_call_tool,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Names and origins are checked by our guards, as for every path.
        manager = StreamableHTTPSessionManager(
            self._server, json_response=True, stateless=True, max_request_body_size=self._body_bytes
        )
        async with manager.run():
            await manager.handle_request(scope, receive, send)


async def _list_tools(
    context: ServerRequestContext[Any], _params: PaginatedRequestParams | None
) -> ListToolsResult:
    key = key_of(_request(context))
    return ListToolsResult(tools=[_described(name) for name, tool in TOOLS.items() if key.may(tool.right)])


async def _call_tool(context: ServerRequestContext[Any], params: CallToolRequestParams) -> CallToolResult:
    request = _request(context)
    tool = TOOLS.get(params.name)
    if tool is None or not key_of(request).may(tool.right):
        return _failed(f"there is no tool {params.name[:64]!r} for this key")
    try:
        call = tool.request(tool.arguments.model_validate(params.arguments or {}))
    except ValidationError as error:
        return _failed("; ".join(map(_fault, error.errors()[:5])))
    except ValueError as error:
        return _failed(str(error))
    try:
        return _told(tool, await _asked(request, call))
    except HungUp:
        return _failed("nobody waits for it any more")
    except Exception:
        log.exception("a tool failed: this is a bug, please report it", tool=params.name)
        return _failed("this is a fault of the gateway; its log says more")


def _told(tool: AgentTool, response: httpx.Response) -> CallToolResult:
    if response.is_error:
        return _failed(_problem(response))
    told = tool.told(response.json())
    return CallToolResult(content=[_text(json.dumps(told, ensure_ascii=False))], structured_content=told)


async def _asked(request: Request, call: Call) -> httpx.Response:
    """The response of our own path to the agent's key."""
    # What our guards have found out about the agent's own request, and how problems are answered.
    found = {name: request.scope[name] for name in ("app", "state", "starlette.exception_handlers")}

    async def as_agent(scope: Scope, receive: Receive, send: Send) -> None:
        own = {**scope, **found, "state": dict(found["state"])}
        await found["app"].router(own, _body_and_then(receive, request.receive), send)

    transport = httpx.ASGITransport(as_agent)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        return await client.request(call.method, call.path, json=call.body, timeout=None)


def _body_and_then(body: Receive, agent: Receive) -> Receive:
    """The body of our own request; and then what the agent's connection says, which is that it hung up."""
    whole = False

    async def receive() -> Message:
        nonlocal whole
        if whole:
            return await agent()
        message = await body()
        whole = not message.get("more_body", False)
        return message

    return receive


def _request(context: ServerRequestContext[Any]) -> Request:
    request: Request = context.request  # type: ignore[assignment] # over HTTP there is always one
    return request


def _described(name: str) -> Tool:
    tool = TOOLS[name]
    reads = tool.destroys is None
    return Tool(
        name=name,
        title=tool.title,
        description=f"{tool.description} {DATA}" if reads else tool.description,
        input_schema=tool.arguments.model_json_schema(),
        annotations=ToolAnnotations(
            title=tool.title,
            read_only_hint=reads,
            destructive_hint=bool(tool.destroys),
            open_world_hint=False,
        ),
    )


def _failed(why: str) -> CallToolResult:
    return CallToolResult(content=[_text(why)], is_error=True)


def _text(text: str) -> TextContent:
    return TextContent(type="text", text=text)


def _problem(response: httpx.Response) -> str:
    """What went wrong, in words that an assistant can act on."""
    problem = response.json()
    errors = [f"{each['where']}: {each['message']}" for each in problem.get("errors", ())]
    after = response.headers.get("retry-after")
    again = f" (try again in {after} s)" if after else ""
    return "; ".join([*errors, problem["detail"]][: max(1, len(errors))]) + again


def _fault(error: ErrorDetails) -> str:
    where = ".".join(str(part)[:40] for part in error["loc"])
    return f"{where}: {error['msg'].removeprefix('Value error, ')}"
