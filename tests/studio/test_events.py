"""The stream of events, as browsers read it."""

import asyncio
import json
from datetime import timedelta

import pytest
from helpers.studio import picture, restore, upload
from sqlalchemy import select

from faceskd.studio.tables import User


def listen(place, user_id, during, count):
    """The first events of a user while `during` runs."""

    async def read():
        found = []
        stream = place.app.state.studio.hub.listen(user_id)
        first = await anext(stream)
        task = asyncio.create_task(asyncio.to_thread(during))
        async with asyncio.timeout(30):
            async for chunk in stream:
                name, data = chunk.decode().strip().split("\n")
                found.append((name.removeprefix("event: "), json.loads(data[6:])))
                if len(found) >= count:
                    break
        await task
        await stream.aclose()
        return first, found

    return asyncio.run(read())


def user_id(place, name):
    with place.database.read() as session:
        return session.scalar(select(User.id).where(User.name == name))


def test_changes_are_told_to_their_owner_only(place):
    mina, jun = place.browser("Mina"), place.browser("Jun")

    def during():
        upload(jun, picture(seed=5))
        restore(mina, upload(mina))
        place.work()

    first, found = listen(place, user_id(place, "Mina"), during, 2)
    assert first == b"event: hello\ndata: {}\n\n"
    last = {(name, data["id"]): data["state"] for name, data in found}
    shown = mina.get("/api/v1/photos").json()["items"][0]
    assert set(last) <= {("photo", shown["id"]), ("job", shown["job"]["id"])}


def test_the_end_of_a_job_is_told_with_its_result(lite):
    client = lite.browser("Mina")
    photo = upload(client)
    lite.work()
    key = restore(client, photo)
    lite.work()
    told = {}
    while told.get(("job", key), {}).get("state") != "done":
        _, found = listen(lite, user_id(lite, "Mina"), lambda: None, 2)  # of the last ten seconds
        told = {(name, data["id"]): data for name, data in found}
    assert told["job", key] == client.get(f"/api/v1/jobs/{key}").json()


def test_deleted_photos_are_told_at_once(lite, monkeypatch):
    client = lite.browser("Mina")
    photo = upload(client)
    monkeypatch.setattr("faceskd.studio.events.OVERLAP", timedelta(0))  # nothing of before

    def during():
        client.delete(f"/api/v1/photos/{photo}")

    _, found = listen(lite, user_id(lite, "Mina"), during, 1)
    assert found == [("photo-deleted", {"id": photo})]


@pytest.mark.parametrize(
    ("method", "path", "more"),
    [
        ("DELETE", "/api/v1/albums/{}?photos=delete", {}),
        ("POST", "/albums/{}/delete", {"data": {"photos": "delete"}}),
    ],
)
def test_photos_that_are_deleted_with_their_album_are_told(lite, monkeypatch, method, path, more):
    client = lite.browser("Mina")
    album = client.post("/api/v1/albums", json={"name": "A"}).json()["id"]
    photo = upload(client, album_id=album)
    told = []
    monkeypatch.setattr(lite.app.state.studio.hub, "tell", lambda *given: told.append(given))
    client.request(method, path.format(album), **more)
    assert told == [(user_id(lite, "Mina"), "photo-deleted", {"id": photo})]


def test_a_user_has_a_limited_number_of_streams(lite, monkeypatch):
    monkeypatch.setattr("faceskd.studio.routes.stream.MOST_STREAMS", 0)
    assert lite.browser("Mina").get("/api/v1/events").status_code == 429
