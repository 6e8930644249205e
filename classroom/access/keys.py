"""The teacher's key: a link that lets the teacher's own phone or tablet in, until it is revoked."""

import hashlib
import secrets
import threading
from dataclasses import dataclass, field

from starlette.datastructures import QueryParams
from starlette.requests import HTTPConnection
from starlette.types import Scope

from classroom.access.addresses import is_own_address
from study.store.classes import ClassLog

COOKIE = "teacher"


def draw_key() -> str:
    """A key that can't be guessed: 192 random bits."""
    return secrets.token_urlsafe(24)


def hash_key(key: str) -> str:
    """Hash a key, as it is stored."""
    return hashlib.sha256(key.encode()).hexdigest()


@dataclass(kw_only=True)
class Keys:
    """The hashes of all keys that are not revoked, in memory, since every request asks."""

    log: ClassLog
    _hashes: set[str] = field(init=False)
    _one_at_a_time: threading.Lock = field(init=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.reload()

    def reload(self) -> None:
        """Read them again after one was made or revoked, or a class was deleted."""
        with self._one_at_a_time:  # else what was read before a revocation could be kept after it
            self._hashes = self.log.live_keys()

    def holds(self, key: str) -> bool:
        return bool(key) and hash_key(key) in self._hashes

    def is_teacher(self, scope: Scope) -> bool:
        """Whether a request comes from this machine, or brings a key as its cookie or in its address."""
        if scope.get("role") == "owner":  # of a server for learners, by its own key
            return True
        client = scope.get("client")
        if client is not None and is_own_address(client[0]) and not scope.get("by_proxy", True):
            return True
        asked = QueryParams(scope.get("query_string", b"")).get("key", "")
        return self.holds(HTTPConnection(scope).cookies.get(COOKIE, "")) or self.holds(asked)
