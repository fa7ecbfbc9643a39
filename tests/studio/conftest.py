"""Tests of the studio run on SQLite, and on PostgreSQL where it is installed.

With FACESKD_POSTGRES set, a machine without PostgreSQL is an error, not a reason to skip.
"""

import os
import shutil

import pytest

pytest.importorskip("fastapi", reason="the extra studio is not installed")

from helpers import postgres
from helpers.studio import Place
from sqlalchemy import text

from faceskd.studio import accounts
from faceskd.studio.tables import Base


@pytest.fixture(scope="session")
def postgres_server():
    if not postgres.is_there():
        if os.environ.get("FACESKD_POSTGRES"):
            pytest.fail("expected PostgreSQL, found no postgres and initdb")
        pytest.skip("PostgreSQL is not installed")
    server = postgres.Postgres()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres_tables(postgres_server):
    """An engine of the one PostgreSQL database with all tables that tests share."""
    from faceskd.studio.database import Database

    database = Database(postgres_server.url)
    database.migrate()
    yield database.engine
    database.dispose()


@pytest.fixture(scope="session")
def sqlite_file(tmp_path_factory):
    """An SQLite file with all tables, which tests copy."""
    from faceskd.studio.database import Database

    path = tmp_path_factory.mktemp("sqlite") / "studio.db"
    database = Database(f"sqlite:///{path}")
    database.migrate()
    database.dispose()
    return path


@pytest.fixture
def sqlite_url(sqlite_file, tmp_path):
    """The URL of an empty SQLite database."""
    shutil.copy(sqlite_file, tmp_path / "studio.db")
    return f"sqlite:///{tmp_path / 'studio.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request):
    """The URL of an empty database."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite_url")
        return
    engine = request.getfixturevalue("postgres_tables")
    yield request.getfixturevalue("postgres_server").url
    names = ", ".join(table.name for table in Base.metadata.sorted_tables)
    with engine.begin() as connection:  # far faster than a database for each test
        connection.execute(text("SET LOCAL lock_timeout = '60s'"))
        connection.execute(text(f"TRUNCATE {names}"))


@pytest.fixture(autouse=True)
def _fast_hashes(monkeypatch):
    """Argon2 is slow on purpose; not here."""
    weak = accounts.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(accounts, "_hasher", weak)
    monkeypatch.setattr(accounts, "_NOBODY", weak.hash("nobody"))


@pytest.fixture
def place(tmp_path, database_url):
    """A studio, on SQLite and on PostgreSQL."""
    place = Place(tmp_path, database_url)
    yield place
    place.close()


@pytest.fixture
def places(tmp_path, sqlite_url):
    """Makes studios on SQLite, with settings."""
    made = []

    def make(**settings):
        made.append(Place(tmp_path, sqlite_url, **settings))
        return made[-1]

    yield make
    for place in made:
        place.close()


@pytest.fixture
def lite(tmp_path, sqlite_url):
    """A studio on SQLite, for what has nothing to do with the database."""
    place = Place(tmp_path, sqlite_url)
    yield place
    place.close()
