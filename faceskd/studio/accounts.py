"""Accounts: passwords (Argon2), logins of browsers, tokens for programs, the limit on guesses.

Logins are rows in the database, not data in a signed cookie as Starlette's sessions are, so that
one can be ended: by logging out, by a new password, by deleting the account.
"""

import hashlib
import secrets
from datetime import timedelta

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from faceskd.studio.database import Database
from faceskd.studio.errors import Refusal
from faceskd.studio.settings import Settings
from faceskd.studio.tables import Login, LoginFailure, Token, User, utcnow

LOCAL = "local"
SHORTEST_PASSWORD, LONGEST_PASSWORD = 8, 256
LONGEST_NAME = 64
TOKEN_START = "fks_"
USED_EVERY = timedelta(minutes=5)
"""How exactly it is written down when a login or token was used last."""

_hasher = PasswordHasher()
_NOBODY = _hasher.hash("nobody")
"""Checked where there is no such user, so that this takes as long as for one who exists."""


def digest(token: str) -> str:
    """What the database holds of a random token: reading the database gives nobody a login."""
    return hashlib.sha256(token.encode()).hexdigest()


def local_user(database: Database) -> User:
    """The one user of a studio without accounts."""
    with database.write() as session:
        values = {"id": "0" * 32, "name": LOCAL, "local": True, "created": utcnow()}
        database.insert_missing(session, User, values)
        return session.get_one(User, "0" * 32)


def sign_up(session: Session, name: str, password: str) -> User:
    """A new user.

    Raises:
        Refusal: the name is taken or empty, or the password too short or too long.
    """
    name = " ".join(name.split())
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
        text = "A name has 1 to {longest} characters."
        raise Refusal(422, "invalid", text, longest=LONGEST_NAME)
    taken = Refusal(409, "conflict", "This name is taken. Choose another one.")
    same = select(User.id).where(func.lower(User.name) == name.lower())
    if name.lower() == LOCAL or session.scalar(same):
        raise taken
    user = User(name=name, password=hashed(password))
    session.add(user)
    try:
        session.flush()
    except IntegrityError:
        raise taken from None
    return user


def hashed(password: str) -> str:
    """The Argon2 hash of a new password.

    Raises:
        Refusal: it is too short or too long.
    """
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise Refusal(
            422,
            "invalid",
            "A password has {shortest} to {longest} characters.",
            shortest=SHORTEST_PASSWORD,
            longest=LONGEST_PASSWORD,
        )
    return _hasher.hash(password.encode("utf-8", "surrogatepass"))


def matches(user: User | None, password: str) -> bool:
    """Whether a password is a user's."""
    kept = (user and user.password) or _NOBODY
    try:
        _hasher.verify(kept, password[:LONGEST_PASSWORD].encode("utf-8", "surrogatepass"))
    except (VerificationError, InvalidHashError):
        return False
    return user is not None and user.password is not None


def check_password(
    database: Database, settings: Settings, name: str, password: str, address: str
) -> User:
    """The user of a name and a password.

    Raises:
        Refusal: they do not belong together, or there were too many wrong ones of this name or
            from this address.
    """
    name = " ".join(name.split())[:LONGEST_NAME]
    keys = [f"name {digest(name.lower())[:32]}", f"from {address[:60]}"]
    since = utcnow() - timedelta(minutes=settings.login_minutes)
    failures = func.count(LoginFailure.id)
    with database.read() as session:
        for key in keys:
            recent = select(failures).where(LoginFailure.key == key, LoginFailure.time > since)
            if (session.scalar(recent) or 0) >= settings.login_failures:
                raise Refusal(
                    429,
                    "rate_limited",
                    "Too many wrong passwords. Try again in {minutes} minutes.",
                    minutes=f"{settings.login_minutes:g}",
                    headers={"Retry-After": str(int(settings.login_minutes * 60))},
                )
        user = session.scalar(select(User).where(func.lower(User.name) == name.lower()))
    if matches(user, password) and user is not None:
        return user
    with database.write() as session:
        session.execute(delete(LoginFailure).where(LoginFailure.time < since))
        session.add_all(LoginFailure(key=key) for key in keys)
    raise Refusal(401, "unauthorized", "The name or the password is wrong.")


def log_in(session: Session, user: User) -> str:
    """A new login; always a new token, so that nobody can know it beforehand.

    Returns:
        The token for the cookie.
    """
    token = secrets.token_urlsafe(32)
    session.add(Login(token=digest(token), user_id=user.id))
    return token


def log_out(session: Session, token: str) -> None:
    """End a login."""
    session.execute(delete(Login).where(Login.token == digest(token)))


def change_password(session: Session, user: User, password: str, keep: str | None) -> None:
    """Set a new password, and end all logins but the one whose token is `keep`."""
    session.get_one(User, user.id).password = hashed(password)
    others = delete(Login).where(Login.user_id == user.id)
    session.execute(others.where(Login.token != digest(keep)) if keep else others)


def user_of_login(database: Database, settings: Settings, token: str) -> User | None:
    """Whose login a cookie's token is; None if it ended."""
    with database.read() as session:
        login = session.get(Login, digest(token))
    if login is None:
        return None
    now = utcnow()
    if now - login.used > timedelta(days=settings.session_days):
        with database.write() as session:
            session.execute(delete(Login).where(Login.token == login.token))
        return None
    if now - login.used > USED_EVERY:
        with database.write() as session:
            if kept := session.get(Login, login.token):
                kept.used = now
    return login.user


def new_token(session: Session, user: User, name: str) -> tuple[Token, str]:
    """A personal access token, and its text, which is shown once.

    Raises:
        Refusal: the name is empty or too long.
    """
    name = " ".join(name.split())
    if not 1 <= len(name) <= 100:
        raise Refusal(422, "invalid", "A name has 1 to {longest} characters.", longest=100)
    text = TOKEN_START + secrets.token_urlsafe(32)
    token = Token(user_id=user.id, name=name, start=text[:8], token=digest(text))
    session.add(token)
    session.flush()
    return token, text


def user_of_token(database: Database, text: str) -> User | None:
    """Whose personal access token a text is."""
    with database.read() as session:
        token = session.scalar(select(Token).where(Token.token == digest(text)))
    if token is None:
        return None
    now = utcnow()
    if token.used is None or now - token.used > USED_EVERY:
        with database.write() as session:
            if kept := session.get(Token, token.id):
                kept.used = now
    return token.user
