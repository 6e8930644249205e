"""One stream of states for each screen (server-sent events), and the same state for polling."""

import asyncio
import json
import time
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.requests import Request

from classroom.live.live_room import LiveRoom

TICK_SECONDS = 0.1
"""At most ten states a second for each screen; what happens in between is in the next one."""

HEARTBEAT_SECONDS = 10.0
RECONNECT_MS = 1000
BEAT = "event: beat\ndata: {}\n\n"

MakeState = Callable[[], dict[str, Any]]


def stream(live: LiveRoom, make: MakeState, request: Request, *, student_id: str = "") -> Response:
    """Answer with a stream. A phone that comes back with the id of the newest state gets what follows."""
    known = request.headers.get("last-event-id", "")
    return _build_stream_response(_stream_states(live, make, student_id, known))


def stream_one_beat() -> Response:
    """Answer a self-test. The stream stays open: what waits for its end keeps the beat back."""

    async def beat() -> AsyncIterator[str]:
        yield BEAT
        await asyncio.sleep(HEARTBEAT_SECONDS)

    return _build_stream_response(beat())


def answer_state(make: MakeState) -> Response:
    """Answer with the same state as JSON, for a browser or network in which streams break."""
    return JSONResponse(_with_now(make()), headers={"Cache-Control": "no-store"})


def _build_stream_response(pieces: AsyncIterator[str]) -> Response:
    return StreamingResponse(
        pieces,
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _stream_states(live: LiveRoom, make: MakeState, student_id: str, known: str) -> AsyncIterator[str]:
    with live.watching(student_id) as waker:
        yield f"retry: {RECONNECT_MS}\n\n"
        if student_id and known == _build_event_id(live, student_id) and live.state.phase != "run":
            yield BEAT
            await waker.wait()
        while True:
            waker.clear()
            yield f"id: {_build_event_id(live, student_id)}\ndata: {json.dumps(_with_now(make()))}\n\n"
            await asyncio.sleep(TICK_SECONDS)
            while not waker.is_set():
                try:
                    await asyncio.wait_for(waker.wait(), HEARTBEAT_SECONDS)
                except TimeoutError:
                    yield BEAT


def _build_event_id(live: LiveRoom, student_id: str) -> str:
    """Build the id of what a phone has seen: how far the class is, and its own name."""
    name = live.students[student_id].name if student_id else ""
    return f"{live.revision}.{zlib.crc32(name.encode())}"


def _with_now(state: dict[str, Any]) -> dict[str, Any]:
    return {**state, "now": time.time() * 1000}
