"""Limits on requests: a bucket of tokens for each user, in the memory of each server process."""

import math
import threading
import time
from collections import OrderedDict

from faceskd.studio.errors import Refusal

MOST_KEYS = 10_000


class RateLimit:
    """At most `most` requests of one key in so many seconds on average, and as many at once.

    The buckets refill all the time; the oldest of more than 10,000 keys is forgotten.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self.most, self.per_second = most, most / seconds
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def count(self, key: str) -> None:
        """Count a request.

        Raises:
            Refusal: there were too many.
        """
        now = time.monotonic()
        with self._lock:
            left, before = self._buckets.pop(key, (float(self.most), now))
            left = min(left + (now - before) * self.per_second, self.most)
            allowed = left >= 1
            self._buckets[key] = (left - 1 if allowed else left, now)
            if len(self._buckets) > MOST_KEYS:
                self._buckets.popitem(last=False)
        if not allowed:
            wait = str(math.ceil((1 - left) / self.per_second))
            text = "Too many requests. Try again in {seconds} seconds."
            headers = {"Retry-After": wait}
            raise Refusal(429, "rate_limited", text, seconds=wait, headers=headers)
