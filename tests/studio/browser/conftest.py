"""A browser before a running studio. Without Playwright or Chromium these tests are skipped."""

import itertools
import os
import shutil
from collections.abc import Iterator

import pytest

pytest.importorskip("fastapi", reason="the extra studio is not installed")
pytest.importorskip("playwright", reason="playwright is not installed")

from helpers.live_studio import PASSWORD, LiveStudio, send
from playwright import sync_api

sync_api.expect.set_options(timeout=60_000)  # a slow machine is no failure

NAMES = (f"user{number}" for number in itertools.count())
EXPECTED = "Failed to load resource"
"""The console says so of every answer from 400 on; tests that mean it look at the page."""


@pytest.fixture(scope="module")
def chromium():
    """Chromium of the system, headless.

    It ends with each file: Playwright's event loop would forbid `asyncio.run` in later tests.
    """
    names = (os.environ.get("FACESKD_CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, (shutil.which(name) for name in names if name)), None)
    if path is None:
        pytest.skip("Chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def studio(tmp_path_factory) -> Iterator[LiveStudio]:
    """A studio with accounts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("faceskd.studio.events.POLL_SECONDS", 0.15)
        patch.setattr("faceskd.studio.worker.IDLE_SECONDS", 0.15)
        running = LiveStudio(
            tmp_path_factory.mktemp("studio"),
            accounts=True,
            max_bytes=2_000_000,
            sign_ups_per_hour=1000,
        )
        yield running
        running.stop()


@pytest.fixture
def visit(chromium, studio):
    """Opens a new browser profile: `visit(name, **options)` gives its page.

    A page that reports an error, breaks the Content-Security-Policy, or asks another server for
    anything fails the test.
    """
    problems: list[str] = []
    contexts = []

    def opened(user: str | None = None, at: str | None = None, **options):
        base = at or studio.url
        context = chromium.new_context(base_url=base, accept_downloads=True, **options)
        contexts.append(context)
        context.set_default_timeout(60_000)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "console",
            lambda message: (
                message.type == "error"
                and not message.text.startswith(EXPECTED)
                and problems.append(message.text)
            ),
        )
        page.on(
            "request",
            lambda request: (
                request.url.startswith((base, "blob:", "data:"))
                or problems.append(f"asks {request.url}")
            ),
        )
        if user is not None:
            answer = send(page, "POST", "/users", {"name": user, "password": PASSWORD})
            assert answer.status == 201, answer.text()
        return page

    yield opened
    studio.network.gate.set()
    studio.network.refusals = 0
    for context in contexts:
        context.close()
    assert not problems


@pytest.fixture
def page(visit):
    """A page of a new user, logged in."""
    return visit(next(NAMES))
