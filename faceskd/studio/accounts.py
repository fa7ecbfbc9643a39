"""Accounts: passwords (Argon2), logins of browsers, tokens for programs, the limit on guesses.

Logins are rows in the database, not data in a signed cookie as Starlette's sessions are, so that
one can be ended: by logging out, by a new password, by deleting the account.
"""

import hashlib
import secrets
import unicodedata
from datetime import timedelta

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from faceskd.studio.database import Database
from faceskd.studio.errors import Refusal
from faceskd.studio.settings import Settings
from faceskd.studio.tables import Login, LoginFailure, Token, User, new_id, utcnow

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
        values = {"id": "0" * 32, "name": LOCAL, "key": LOCAL, "local": True, "created": utcnow()}
        database.insert_missing(session, User, values)
        return session.get_one(User, "0" * 32)


def name_key(name: str) -> str:
    """A name as it is compared: two that look alike are the same, in any script.

    Databases compare differently: SQLite's `lower` knows only ASCII.

    Examples:
        >>> name_key("Ärger") == name_key("ÄRGER"), name_key(" Mina  Kim ")
        (True, 'mina kim')
    """
    return unicodedata.normalize("NFKC", " ".join(name.split())).casefold()


def sign_up(database: Database, name: str, password: str) -> User:
    """A new user.

    Raises:
        Refusal: the name is taken or empty, or the password too short or too long.
    """
    name = " ".join(name.split())
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
        text = "A name has 1 to {longest} characters."
        raise Refusal(422, "invalid", text, longest=LONGEST_NAME)
    taken = Refusal(409, "conflict", "This name is taken. Choose another one.")
    key = name_key(name)
    user = User(name=name, key=key, password=hashed(password))  # slow, so before the transaction
    try:
        with database.write() as session:
            if key == LOCAL or session.scalar(select(User.id).where(User.key == key)):
                raise taken
            session.add(user)
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
    key = name_key(name)
    keys = [f"name {digest(key)[:32]}", f"from {address[:60]}"]
    since = utcnow() - timedelta(minutes=settings.login_minutes)
    failures = func.count(LoginFailure.id)
    # Counted before the slow check of the password, so that guesses sent at once count too.
    guess = [LoginFailure(id=new_id(), key=one) for one in keys]
    with database.write() as session:
        for one in keys:
            recent = select(failures).where(LoginFailure.key == one, LoginFailure.time > since)
            if (session.scalar(recent) or 0) >= settings.login_failures:
                raise Refusal(
                    429,
                    "rate_limited",
                    "Too many wrong passwords. Try again in {minutes} minutes.",
                    minutes=f"{settings.login_minutes:g}",
                    headers={"Retry-After": str(int(settings.login_minutes * 60))},
                )
        session.execute(delete(LoginFailure).where(LoginFailure.time < since))
        session.add_all(guess)
        user = session.scalar(select(User).where(User.key == key))
    if matches(user, password) and user is not None:
        with database.write() as session:
            ids = [one.id for one in guess]
            session.execute(delete(LoginFailure).where(LoginFailure.id.in_(ids)))
        return user
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


def change_password(database: Database, user: User, password: str, keep: str | None) -> None:
    """Set a new password, and end all logins but the one whose token is `keep`."""
    new = hashed(password)
    others = delete(Login).where(Login.user_id == user.id)
    with database.write() as session:
        session.get_one(User, user.id).password = new
        session.execute(others.where(Login.token != digest(keep)) if keep else others)


def user_of_login(database: Database, settings: Settings, token: str) -> tuple[User | None, bool]:
    """Whose login a cookie's token is, None if it ended; whether its use was written down."""
    with database.read() as session:
        login = session.get(Login, digest(token))
    if login is None:
        return None, False
    now = utcnow()
    if now - login.used > timedelta(days=settings.session_days):
        with database.write() as session:
            session.execute(delete(Login).where(Login.token == login.token))
        return None, False
    late = now - login.used > USED_EVERY
    if late:
        with database.write() as session:
            if kept := session.get(Login, login.token):
                kept.used = now
    return login.user, late


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
