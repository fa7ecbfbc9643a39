"""Engine and sessions, and all that differs between SQLite and PostgreSQL."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event, func, make_url, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.orm import Session, sessionmaker

from faceskd.common.errors import ConfigError, FaceskdError
from faceskd.common.files import make_folder
from faceskd.studio.tables import Base, utcnow

Given = ParamSpec("Given")
Made = TypeVar("Made")

MIGRATIONS = Path(__file__).parent / "migrations"
MIGRATION_LOCK = 7_230_115
"""Number of the advisory lock under which only one process at a time migrates PostgreSQL."""

DEADLOCK = "40P01"
"""SQLSTATE of PostgreSQL."""


class Database:
    """A database, SQLite or PostgreSQL.

    Args:
        url: as SQLAlchemy takes it, `sqlite:///FILE` or `postgresql+psycopg://...`.

    Raises:
        ConfigError: the URL is of another database, or none.
    """

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        self._reading = sessionmaker(self.engine, expire_on_commit=False)
        writing = self.engine.execution_options(write=True)
        self._writing = sessionmaker(writing, expire_on_commit=False)

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that only reads."""
        with self._reading() as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session in a transaction that is committed at the end of the block.

        On SQLite it is immediate: nobody else writes until its end.
        """
        with self._writing.begin() as session:
            yield session

    def migrate(self) -> None:
        """Create the tables, or bring them up to date.

        Raises:
            FaceskdError: the database cannot be reached or opened.
        """
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        with self._reached(), self.engine.execution_options(write=True).begin() as connection:
            if not self.is_sqlite:
                connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            if not is_away(error):
                raise
            url = self.engine.url.render_as_string(hide_password=True)
            raise FaceskdError(
                f"expected a database at {url}, got: {str(error.orig).splitlines()[0]}; start it, "
                "or correct --database"
            ) from error

    def now(self, session: Session) -> datetime:
        """Now by the clock that all workers share: PostgreSQL's, or this machine's for SQLite."""
        if self.is_sqlite:
            return utcnow()
        return session.execute(select(func.clock_timestamp())).scalar_one().astimezone(UTC)

    def insert_missing(
        self, session: Session, table: type[Base], values: Mapping[str, Any]
    ) -> None:
        """Insert a row unless its key is there; waits for a transaction that inserts it."""
        insert = sqlite.insert if self.is_sqlite else postgresql.insert
        session.execute(insert(table).values(**values).on_conflict_do_nothing())

    def dispose(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def is_away(error: BaseException) -> bool:
    """Whether an error says that the database cannot be reached, and may be so again later."""
    if isinstance(error, OperationalError | InterfaceError):
        return not is_deadlock(error)
    return isinstance(error, DBAPIError) and error.connection_invalidated


def is_deadlock(error: BaseException) -> bool:
    """Whether PostgreSQL ended a transaction, because it and another waited for each other."""
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) == DEADLOCK


def again_after_deadlock(change: Callable[Given, Made]) -> Callable[Given, Made]:
    """A function with a transaction, which is called once more if that ended by a deadlock."""

    @wraps(change)
    def call(*given: Given.args, **more: Given.kwargs) -> Made:
        try:
            return change(*given, **more)
        except DBAPIError as error:
            if not is_deadlock(error):
                raise
        return change(*given, **more)

    return call


def _engine(url: str) -> Engine:
    """An engine whose errors, which are logged, do not hold the values of statements."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigError(
            "expected a database as sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME, got "
            "something that is no URL"
        ) from None
    kind = parsed.get_backend_name()
    if kind == "postgresql":
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        return create_engine(
            parsed,
            pool_pre_ping=True,
            pool_size=20,
            max_overflow=30,
            pool_timeout=10,
            hide_parameters=True,
            connect_args={"connect_timeout": 5},
        )
    if kind != "sqlite":
        raise ConfigError(f"expected a database of SQLite or PostgreSQL, got {kind}")
    if parsed.database:
        make_folder(Path(parsed.database).parent)
    options = {"timeout": 30, "check_same_thread": False}
    engine = create_engine(parsed, hide_parameters=True, connect_args=options)
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # sqlite3 is not to begin transactions by itself
    for setting in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {setting}")


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get("write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
