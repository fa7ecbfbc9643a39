"""For every route there is: nobody sees or changes what belongs to somebody else.

The tests are made from the application's own table of routes, so that a new route is tested too.
"""

import pytest
from fastapi.routing import APIRoute
from helpers.studio import Place, restore, upload

OPEN = {
    "/healthz",
    "/readyz",
    "/metrics",
    "/login",
    "/signup",
    "/logout",
    "/preferences",
    "/api/v1/users",
    "/api/v1/session",
    "/api/v1/openapi.json",
}
"""Routes that need no login; /metrics has its own rule."""

PARAMETERS = {"photo_id", "album_id", "job_id", "token_id", "action"}


def routes():
    """Method and path of every route, from an application that needs no database."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder), "")
        found = sorted(
            (method, route.path) for route in walk(place.app.routes) for method in route.methods
        )
        place.close()
    return found


def walk(items):
    for route in items:
        if isinstance(route, APIRoute):
            yield route
        elif hasattr(route, "original_router"):
            yield from route.original_router.routes


ROUTES = routes()
OWNED = [(method, path) for method, path in ROUTES if "{" in path]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = Place(tmp_path_factory.mktemp("studio"), "", requests_per_minute=100_000)
    yield place
    place.close()


@pytest.fixture(scope="module")
def jun(place):
    return place.browser("Jun")


@pytest.fixture(scope="module")
def owned(place):
    """What belongs to Mina."""
    client = place.browser("Mina")
    album = client.post("/api/v1/albums", json={"name": "A"}).json()["id"]
    photo = upload(client, album_id=album)
    job = restore(client, photo)
    token = client.post("/api/v1/tokens", json={"name": "script"}).json()["id"]
    place.work()
    return {"photo_id": photo, "album_id": album, "job_id": job, "token_id": token}


def call(client, method, path, owned):
    values = owned | {"action": "delete"}
    body = {"json": {"name": "B", "photos": [owned["photo_id"]], "album_id": None}}
    if not path.startswith("/api/"):
        body = {"data": {"name": "B", "kind": "none"}}
    if method in ("GET", "DELETE"):
        body = {}
    elif path.startswith("/api/v1/albums/") or path == "/api/v1/photos/{photo_id}":
        body = {"json": {"name": "B"}}
    return client.request(method, path.format(**values), **body)


def test_there_are_routes():
    paths = {path for _, path in ROUTES}
    assert {"/api/v1/photos/{photo_id}", "/photos/{photo_id}", "/jobs/{job_id}/{action}"} <= paths
    names = {part[1:-1] for _, path in OWNED for part in path.split("/") if part.startswith("{")}
    assert names == PARAMETERS


@pytest.mark.parametrize(("method", "path"), OWNED)
def test_another_user_gets_404(jun, owned, method, path):
    answer = call(jun, method, path, owned)
    assert answer.status_code == 404, answer.text


def test_and_nothing_was_changed_by_trying(place, jun, owned):
    for method, path in OWNED:
        call(jun, method, path, owned)
    mina = place.browser()
    mina.post("/api/v1/session", json={"name": "Mina", "password": "a long password"})
    assert mina.get(f"/api/v1/albums/{owned['album_id']}").json()["name"] == "A"
    photo = mina.get(f"/api/v1/photos/{owned['photo_id']}").json()
    assert (photo["album_id"], photo["job"]["state"]) == (owned["album_id"], "done")
    assert len(mina.get("/api/v1/tokens").json()["items"]) == 1


@pytest.mark.parametrize(("method", "path"), [one for one in ROUTES if one[1] not in OPEN])
def test_nobody_gets_in_without_a_login(place, owned, method, path):
    answer = call(place.browser(), method, path, owned)
    if path.startswith("/api/v1"):
        assert answer.status_code == 401
    else:
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login")


def test_things_in_bodies_and_queries_are_owned_too(jun, owned):
    own = upload(jun)
    photo, album = owned["photo_id"], owned["album_id"]
    for answer in (
        jun.post("/api/v1/jobs", json={"photos": [photo], "kind": "none"}),
        jun.post("/api/v1/jobs", json={"photos": [own, photo], "kind": "none"}),
        jun.post("/api/v1/jobs", json={"album": album, "kind": "none"}),
        jun.post("/api/v1/photos/move", json={"photos": [photo], "album_id": None}),
        jun.post("/api/v1/photos/move", json={"photos": [own], "album_id": album}),
        jun.post("/api/v1/photos/delete", json={"photos": [own, photo]}),
        jun.patch(f"/api/v1/photos/{own}", json={"album_id": album}),
        jun.get(f"/api/v1/photos?album={album}"),
        jun.get(f"/api/v1/jobs?photo={photo}"),
        jun.post(
            "/api/v1/photos", files={"file": ("a.jpg", b"\xff\xd8\xff")}, data={"album_id": album}
        ),
    ):
        assert answer.status_code == 404, answer.request.url
    assert [photo["id"] for photo in jun.get("/api/v1/photos").json()["items"]] == [own]
    jun.delete(f"/api/v1/photos/{own}")
    assert jun.get("/api/v1/jobs").json()["items"] == []


def test_lists_hold_only_ones_own(place, owned):
    jun = place.browser("Jae")
    for path in ("photos", "albums", "jobs", "tokens"):
        assert jun.get(f"/api/v1/{path}").json()["items"] == []
    assert len(jun.get("/api/v1/zip").content) < 100
