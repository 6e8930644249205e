"""The teacher's keys in memory, where requests read them at the same time."""

import threading
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import count
from typing import Any

from classroom.access.keys import Keys, hash_key


def test_a_reading_of_the_keys_that_began_before_a_revocation_is_not_kept_after_it() -> None:
    has_read, may_arrive = threading.Event(), threading.Event()
    stored = {hash_key("a")}

    class SlowLog:
        """Its second reading arrives late."""

        readings = count()

        def live_keys(self) -> set[str]:
            found, number = set(stored), next(self.readings)
            if number == 1:
                has_read.set()
                assert may_arrive.wait(30)
            return found

    slow: Any = SlowLog()
    keys = Keys(log=slow)
    with ThreadPoolExecutor(2) as requests:
        first = requests.submit(keys.reload)
        assert has_read.wait(30)
        stored.clear()  # revoked
        second = requests.submit(keys.reload)
        wait([second], timeout=0.2)
        may_arrive.set()
        wait([first, second], timeout=30)
    assert not keys.holds("a")
