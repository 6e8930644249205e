"""One writer for all classes: what arrives while a commit is going on goes into the next one together."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from study.base.errors import LearnerError, StorageError
from study.store.class_transaction import ClassTransaction
from study.store.classes import ClassLog

MOST_AT_ONCE = 250

T = TypeVar("T")


class NotSavedError(LearnerError):
    """The database saved nothing; the request should be repeated."""

    def __init__(self, *, do_next: str = "Try again in a moment.") -> None:
        super().__init__("The teacher's computer can't save at the moment.", do_next=do_next)


@dataclass(frozen=True, kw_only=True)
class _Order:
    job: Callable[[ClassTransaction], Any]
    then: Callable[[Any], None]
    done: "asyncio.Future[Any]"


class Writer:
    """Used from one event loop. `do` returns after the commit."""

    def __init__(self, log: ClassLog) -> None:
        self._log = log
        self._loop: asyncio.AbstractEventLoop | None = None
        self._orders: asyncio.Queue[_Order]
        self._task: asyncio.Task[None]

    async def do(self, job: Callable[[ClassTransaction], T], then: Callable[[T], None]) -> T:
        """Write, call `then` with the result as soon as it is committed, and return it.

        `then` is called even if whoever waits has gone meanwhile. Raises what the job raised, and
        NotSavedError when the database fails.
        """
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # the first write, or a test's next event loop
            self._loop, self._orders = loop, asyncio.Queue()
            self._task = loop.create_task(self._serve(), name="class-writer")
        order = _Order(job=job, then=then, done=loop.create_future())
        self._orders.put_nowait(order)
        result: T = await order.done
        return result

    async def _serve(self) -> None:
        while True:
            batch = [await self._orders.get()]
            while len(batch) < MOST_AT_ONCE and not self._orders.empty():
                batch.append(self._orders.get_nowait())
            try:
                results = await asyncio.to_thread(self._log.transact, [order.job for order in batch])
            except (SQLAlchemyError, OSError, StorageError):
                results = [NotSavedError() for _ in batch]
            except Exception as error:  # a bug in one order must not end the writer of all classes
                results = [error for _ in batch]
            for order, result in zip(batch, results, strict=True):
                self._tell(order, result)

    def _tell(self, order: _Order, result: Any) -> None:
        if not isinstance(result, Exception):
            try:
                order.then(result)
            except Exception as error:  # as above
                result = error
        if order.done.done():  # cancelled: the phone has gone
            return
        if isinstance(result, Exception):
            order.done.set_exception(result)
        else:
            order.done.set_result(result)
