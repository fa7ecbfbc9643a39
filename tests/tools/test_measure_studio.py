"""The client that measures a studio."""

import runpy
from pathlib import Path

import pytest

httpx = pytest.importorskip("httpx")
TOOL = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "measure_studio.py"))


def test_ended_jobs_are_found_on_all_pages():
    pages = {None: (["a", "b"], "1"), "1": (["c", "d"], "2"), "2": (["e"], None)}

    def answer(request):
        query = request.url.params
        ids, following = pages[query.get("cursor")] if query["state"] == "done" else ([], None)
        return httpx.Response(200, json={"items": [{"id": i} for i in ids], "next": following})

    studio = TOOL["Studio"]("http://studio", "")
    studio.http = httpx.Client(base_url="http://studio", transport=httpx.MockTransport(answer))
    assert set(studio.states(["a", "d", "e", "f"])) == {"a", "d", "e"}
