"""`faceskd studio admin ...`: users, jobs, orphaned files, retention, backup and restore."""

import argparse
import getpass
import sys
from collections.abc import Callable

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from faceskd.common.errors import FaceskdError
from faceskd.studio import accounts, backup, library, queue, removal
from faceskd.studio.database import Database
from faceskd.studio.settings import MOST_DAYS, Settings
from faceskd.studio.storage import Storage
from faceskd.studio.tables import FAILED, IMPORT, OPEN, Job, User, utcnow

Say = Callable[[str], None]


def run(options: argparse.Namespace, settings: Settings, say: Say) -> None:
    """Run a command.

    Args:
        options: what the command line says: `what`, `action`, `name`, ...
        settings: of the studio.
        say: is given each line of output.

    Raises:
        FaceskdError: it cannot be done.
    """
    database = Database(settings.database_url)
    storage = Storage(settings.storage, database)
    database.migrate()
    if options.what == "users":
        _users(options, database, storage, say)
    elif options.what == "jobs":
        _jobs(options, database, say)
    elif options.what == "orphans":
        found = storage.delete_orphans() if options.delete else list(storage.orphans())
        for path in found:
            say(str(path.relative_to(storage.folder)))
        say(f"{len(found)} orphaned files {'deleted' if options.delete else 'found'}")
    elif options.what == "retention":
        days = _checked_days(options.days)
        say(f"{removal.delete_old(database, storage, days)} photos deleted")
    elif options.what == "backup":
        rows, files = backup.back_up(database, storage, options.file)
        say(f"{options.file}: {rows} rows, {files} files")
    else:
        rows, files = backup.restore(database, storage, options.file)
        say(f"restored {rows} rows, {files} files")


def _checked_days(days: float) -> float:
    if not 0 < days <= MOST_DAYS:
        raise FaceskdError(
            f"expected --days above 0 and at most {MOST_DAYS}, got {days:g}; nothing was deleted"
        )
    return days


def _users(options: argparse.Namespace, database: Database, storage: Storage, say: Say) -> None:
    if options.action == "list":
        with database.read() as session:
            for user in session.scalars(select(User).order_by(User.name)):
                size = library.used_bytes(session, user.id)
                say(f"{user.name}\t{user.created:%Y-%m-%d}\t{size} bytes")
        return
    if options.action == "add":
        accounts.sign_up(database, options.name, _password())
        say(f"{options.name} added")
        return
    with database.read() as session:
        user = _user(session, options.name)
    if options.action == "delete":
        removal.delete_user(database, storage, user)
        say(f"{user.name} deleted with all data")
    else:
        accounts.change_password(database, user, _password(), keep=None)
        say(f"new password for {user.name}; all logins ended")


def _user(session: Session, name: str) -> User:
    user = session.scalar(select(User).where(User.key == accounts.name_key(name)))
    if user is None:
        raise FaceskdError(f"expected the name of a user, got {name!r}; see: users list")
    return user


def _password() -> str:
    """From the terminal, without showing it, or the first line of standard input."""
    if sys.stdin.isatty():
        return getpass.getpass("password: ")
    return sys.stdin.readline().rstrip("\n")


def _jobs(options: argparse.Namespace, database: Database, say: Say) -> None:
    if options.action == "list":
        with database.read() as session:
            count = select(Job.kind, Job.state, func.count(Job.id)).group_by(Job.kind, Job.state)
            for kind, state, number in session.execute(count.order_by(Job.kind, Job.state)):
                say(f"{kind}\t{state}\t{number}")
        return
    changed = 0
    with database.write() as session:
        if options.action == "retry":
            failed = select(Job).where(Job.state == FAILED, Job.photo_id.is_not(None))
            for job in session.scalars(failed).unique().all():
                changed += queue.retry(session, job, utcnow())
        else:
            waiting = select(Job).where(Job.state.in_(OPEN), Job.kind != IMPORT)
            for job in session.scalars(waiting).unique().all():
                changed += queue.cancel(session, job)
    say(f"{changed} jobs {'queued again' if options.action == 'retry' else 'cancelled'}")
