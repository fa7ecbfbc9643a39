"""A studio of the first version is brought up to date and loses nothing."""

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from helpers.studio import PASSWORD, Place
from sqlalchemy import create_engine, text

from faceskd.studio.accounts import hashed
from faceskd.studio.database import MIGRATIONS, Database
from faceskd.studio.tables import Base

NOW = "2026-11-01 00:00:00"
ROWS = {
    "files": {"sha256": "a" * 64, "bytes": 1, "created": NOW},
    "users": {"id": "3" * 32, "name": "Ärger", "local": False, "created": NOW},
    "photos": {
        "id": "1" * 32, "user_id": "3" * 32, "name": "a.jpg", "file": "a" * 64, "bytes": 1,
        "format": "JPEG", "state": "broken", "error": "it has 8 pixels", "width": 0, "height": 0,
        "direct": False, "created": NOW, "changed": NOW,
    },
    "jobs": {
        "id": "2" * 32, "user_id": "3" * 32, "photo_id": "1" * 32, "photo_name": "a.jpg",
        "kind": "none", "options": "{}", "priority": 0, "state": "done", "progress": 1,
        "step": "", "error": "100 % {sure}", "attempts": 1, "due": NOW, "created": NOW,
        "queued": NOW, "changed": NOW,
    },
    "results": {
        "job_id": "2" * 32, "file": "a" * 64, "preview": "a" * 64, "before": "a" * 64, "bytes": 1,
        "format": "JPEG", "width": 1, "height": 1, "faces": "[]", "seconds": 1, "created": NOW,
    },
}  # fmt: skip


@pytest.fixture(params=["sqlite", "postgresql"])
def first(request, tmp_path):
    """The URL of a database of the first version."""
    url = f"sqlite:///{tmp_path / 'old.db'}"
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres_server")
        engine = create_engine(server.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text("CREATE DATABASE old"))
        engine.dispose()
        url = server.url_of("old")
    database = Database(url)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with database.engine.execution_options(write=True).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for table, row in ROWS.items():
            row = row | ({"password": hashed(PASSWORD)} if table == "users" else {})
            names, marks = ", ".join(row), ", ".join(f":{name}" for name in row)
            connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({marks})"), row)
    database.dispose()
    return url


def test_rows_of_the_first_version_are_kept(first, tmp_path):
    place = Place(tmp_path, first)
    with place.database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    client = place.browser()
    answer = client.post("/api/v1/session", json={"name": "ärger", "password": PASSWORD})
    assert answer.status_code == 200
    (job,) = client.get("/api/v1/jobs").json()["items"]
    assert job["result"]["width"] == 1
    assert job["error"]["values"] == {"reason": "100 % {sure}"}
    (photo,) = client.get("/api/v1/photos").json()["items"]
    assert "it has 8 pixels" in photo["error"]["message"]
    place.close()
