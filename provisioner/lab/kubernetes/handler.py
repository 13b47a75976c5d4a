"""HTTP of one API server: requests in, answers and watches out."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import yaml
from aiohttp import web

from provisioner.lab.kubernetes.api import Answer, KubeApi
from provisioner.lab.kubernetes.requests import Asked, User, authorize, status_of, target_of
from provisioner.lab.kubernetes.watches import BOOKMARK_EVERY_S, Watch
from provisioner.lab.listeners import Bell
from provisioner.lab.world.kernel import Kernel
from provisioner.lab.world.kube.store import Json, KubeError

MAX_BODY = 3 * 1024 * 1024


class ApiHandler:
    """Answers on the loop's thread; the world's lock is held only to look and to change."""

    def __init__(self, kernel: Kernel, api: KubeApi, bell: Bell) -> None:
        self._kernel = kernel
        self._api = api
        self._bell = bell

    def application(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_route("*", "/{path:.*}", self._handle)
        return app

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            user, asked = self._who(request), await self._what(request)
            if asked.method == "GET" and asked.is_watch:
                return await self._watch(request, user, asked)
            with self._kernel.lock:
                answer = self._api.answer(user, asked)
        except KubeError as error:
            answer = Answer(error.code, status_of(error))
        if isinstance(answer.body, str):
            return web.Response(status=answer.code, text=answer.body)
        return web.json_response(answer.body, status=answer.code)

    def _who(self, request: web.Request) -> User:
        """By the client's certificate alone. Raises KubeError 401 for any other way to sign in."""
        if "Authorization" in request.headers:
            raise KubeError(401, "Unauthorized", "Unauthorized")
        peer = request.transport.get_extra_info("peercert") if request.transport else None
        return User.of(peer)

    async def _what(self, request: web.Request) -> Asked:
        return Asked(
            method=request.method,
            path=request.path.rstrip("/") or "/",
            query=dict(request.query),
            accept=request.headers.get("Accept", ""),
            content_type=request.headers.get("Content-Type", ""),
            body=_parsed(await request.read(), request.headers.get("Content-Type", "")),
        )

    async def _watch(self, request: web.Request, user: User, asked: Asked) -> web.StreamResponse:
        heard = self._bell.listen()
        with self._kernel.lock:
            authorize(user, asked)
            watch = Watch(self._api, target_of(asked.path), asked)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        try:
            await response.prepare(request)
            await self._follow(watch, response, heard)
            await response.write_eof()
        except ConnectionResetError:
            pass  # the client went away, as clients do: there is no one to tell
        return response

    async def _follow(self, watch: Watch, response: web.StreamResponse, heard: asyncio.Event) -> None:
        """Sends what happens until the watch is over. Raises ConnectionResetError when the client leaves."""
        loop = asyncio.get_running_loop()
        until = loop.time() + watch.timeout_s
        begun = over = False
        while (left := until - loop.time()) > 0:
            with self._kernel.lock:
                try:
                    events = list(watch.news() if begun else watch.begin())
                except KubeError as error:
                    events, over = [watch.failed(error)], True
            await _send(response, events)
            if over:
                return
            begun = True
            try:
                async with asyncio.timeout(min(left, BOOKMARK_EVERY_S)):
                    await heard.wait()
            except TimeoutError:
                if watch.wants_bookmarks:
                    with self._kernel.lock:
                        events = [*watch.news(), watch.bookmark()]
                    await _send(response, events)
            heard = self._bell.listen()


async def _send(response: web.StreamResponse, events: list[Json]) -> None:
    if events:
        await response.write(b"".join(json.dumps(event).encode() + b"\n" for event in events))


def _parsed(body: bytes, content_type: str) -> Any:
    if not body:
        return None
    if "protobuf" in content_type or "cbor" in content_type:
        raise KubeError(415, "UnsupportedMediaType", "the lab's API reads JSON and YAML, not Kubernetes' binary forms")
    try:
        return yaml.safe_load(body) if "yaml" in content_type else json.loads(body)
    except (ValueError, yaml.YAMLError) as error:
        raise KubeError(400, "BadRequest", f"the body of the request cannot be read: {error}") from None
