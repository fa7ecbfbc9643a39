"""The limit on requests: a bucket of tokens for each user, in the memory of each server process."""

import threading
import time
from collections import OrderedDict

from faceskd.studio.errors import Refusal

MOST_KEYS = 10_000


class RateLimit:
    """At most `per_minute` requests of one key on average, and as many at once.

    The buckets refill all the time; the oldest of more than 10,000 keys is forgotten.
    """

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def count(self, key: str) -> None:
        """Count a request.

        Raises:
            Refusal: there were too many.
        """
        now = time.monotonic()
        with self._lock:
            left, before = self._buckets.pop(key, (float(self.per_minute), now))
            left = min(left + (now - before) * self.per_minute / 60, self.per_minute)
            allowed = left >= 1
            self._buckets[key] = (left - 1 if allowed else left, now)
            if len(self._buckets) > MOST_KEYS:
                self._buckets.popitem(last=False)
        if not allowed:
            raise Refusal(
                429,
                "rate_limited",
                "Too many requests. Try again in a minute.",
                headers={"Retry-After": "60"},
            )
