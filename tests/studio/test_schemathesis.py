"""Requests that schemathesis makes from the OpenAPI description: none is answered by a 500."""

import tempfile
from pathlib import Path

import pytest
from helpers.studio import SAME_SITE, Place, restore, upload
from hypothesis import HealthCheck, given, settings

schemathesis = pytest.importorskip("schemathesis")
pytestmark = pytest.mark.filterwarnings("ignore")

FOLDER = tempfile.TemporaryDirectory()
PLACE = Place(
    Path(FOLDER.name), "", direct_seconds=0.01, requests_per_minute=10**9, sign_ups_per_hour=10**9
)
SCHEMA = schemathesis.openapi.from_asgi("/api/v1/openapi.json", PLACE.app)
ENDLESS = "GET /api/v1/events"
EXAMPLES = 8


def operations():
    found = [result.ok() for result in SCHEMA.get_all_operations()]
    return [operation for operation in found if operation.label != ENDLESS]


@pytest.fixture(scope="module")
def headers():
    client = PLACE.browser("Mina")
    restore(client, upload(client))
    token = client.post("/api/v1/tokens", json={"name": "test"}).json()["token"]
    yield SAME_SITE | {"authorization": f"Bearer {token}"}
    PLACE.close()


@pytest.mark.parametrize("operation", operations(), ids=lambda operation: operation.label)
def test_no_request_is_answered_by_500(operation, headers):
    answers = []

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def ask(case):
        answer = case.call(headers=headers)
        answers.append(answer.status_code)
        assert answer.status_code not in (500, 502), answer.text
        if answer.status_code >= 400 and case.path.startswith("/api/"):
            assert set(answer.json()["error"]) == {"code", "message"}

    ask()
    assert answers
