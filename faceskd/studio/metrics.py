"""/metrics for Prometheus: of this server process its requests, of the database all jobs."""

import time
from collections.abc import Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from sqlalchemy import func, select
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from faceskd.studio.database import Database
from faceskd.studio.tables import IMPORT, OPEN, File, Job, Photo, Total, User, utcnow

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Others are counted together: who sends requests may invent as many as they like."""

TOTALS = {
    "jobs": ("faceskd_jobs_ended", "Jobs that workers ended, done or failed", ("kind", "state")),
    "queue_seconds": ("faceskd_queue_seconds", "Seconds that done jobs waited", ("kind",)),
    "work_seconds": ("faceskd_work_seconds", "Seconds that done jobs took", ("kind",)),
    "faces": ("faceskd_faces", "Faces found and restored", ("what",)),
}


disable_created_metrics()


class Metrics:
    """The metrics of one server process."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.registry = CollectorRegistry()
        self.registry.register(self)
        self.requests = Histogram(
            "faceskd_request_seconds",
            "Seconds until a request was answered",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.errors = Counter(
            "faceskd_errors", "Requests that failed by a bug", registry=self.registry
        )

    def text(self) -> bytes:
        """All metrics as Prometheus reads them."""
        return generate_latest(self.registry)

    def describe(self) -> list[Metric]:
        """Nothing: registering is not to ask the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """What the database knows."""
        with self.database.read() as session:
            states = select(Job.state, func.count(Job.id)).where(Job.kind != IMPORT)
            jobs = GaugeMetricFamily("faceskd_jobs", "Jobs by state", labels=("state",))
            for state, count in session.execute(states.group_by(Job.state)):
                jobs.add_metric([state], count)
            yield jobs
            oldest = session.scalar(select(func.min(Job.queued)).where(Job.state.in_(OPEN)))
            wait = (utcnow() - oldest).total_seconds() if oldest else 0
            yield _gauge("faceskd_oldest_job_seconds", "Age of the oldest open job", wait)
            for table, name in ((User, "users"), (Photo, "photos"), (File, "files")):
                count = session.scalar(select(func.count()).select_from(table)) or 0
                yield _gauge(f"faceskd_{name}", f"Number of {name}", count)
            size = session.scalar(select(func.coalesce(func.sum(File.bytes), 0))) or 0
            yield _gauge("faceskd_files_bytes", "Bytes of all files", float(size))
            rows = list(session.scalars(select(Total)))
        for total, (name, text, labels) in TOTALS.items():
            family = CounterMetricFamily(name, text, labels=labels)
            for row in rows:
                if row.name == total:
                    family.add_metric(row.label.split(":"), row.value)
            yield family


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)


class MeasureRequests:
    """ASGI middleware: counts requests and their seconds by route, not by address."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        began, status = time.perf_counter(), 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, watch)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in METHODS else "other"
            labels = (method, route, str(status))
            self.metrics.requests.labels(*labels).observe(time.perf_counter() - began)
            if status == 500:
                self.metrics.errors.inc()
