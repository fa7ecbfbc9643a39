"""Accounts: passwords, sessions, tokens, forged requests, guesses."""

import hashlib
import logging
from datetime import timedelta

import pytest
from helpers.studio import PASSWORD, SAME_SITE, code, restore, upload
from sqlalchemy import select, text, update
from sqlalchemy.exc import DBAPIError

from faceskd.studio.settings import Settings
from faceskd.studio.tables import Base, Login, Token, User, utcnow

COOKIE = "faceskd_session"


def log_in(client, name="Mina", password=PASSWORD):
    return client.post("/api/v1/session", json={"name": name, "password": password})


def test_sign_up_log_out_log_in(place):
    client = place.browser("Mina")
    assert client.get("/api/v1/me").json()["name"] == "Mina"
    assert client.delete("/api/v1/session").status_code == 204
    assert client.get("/api/v1/me").status_code == 401
    assert log_in(client).status_code == 200
    assert client.get("/api/v1/me").json()["name"] == "Mina"


def test_the_same_by_forms_without_scripts(lite):
    client = lite.browser()
    answer = client.post("/signup", data={"name": "Mina", "password": PASSWORD})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert client.get("/").status_code == 200
    assert client.post("/logout").status_code == 303
    answer = client.get("/jobs")
    assert answer.headers["location"] == "/login?next=/jobs"
    wrong = client.post("/login", data={"name": "Mina", "password": "wrong password"})
    assert wrong.status_code == 401
    assert "wrong" in wrong.text
    answer = client.post("/login", data={"name": "mina", "password": PASSWORD, "next": "/jobs"})
    assert answer.headers["location"] == "/jobs"


@pytest.mark.parametrize(
    "next", ["https://evil.example", "//evil.example", "/\\evil.example", "/\t/evil.example"]
)
def test_after_logging_in_nobody_is_sent_elsewhere(lite, next):
    lite.browser("Mina")
    answer = lite.browser().post(
        "/login", data={"name": "Mina", "password": PASSWORD, "next": next}
    )
    assert answer.headers["location"] == "/"


def test_the_cookie_is_hidden_from_scripts_and_other_sites(lite):
    client = lite.browser()
    answer = client.post("/api/v1/users", json={"name": "Mina", "password": PASSWORD})
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    lite.settings.secure_cookies = True
    assert "; secure" in log_in(lite.browser()).headers["set-cookie"].lower()


def test_a_session_from_before_the_login_is_never_used(lite):
    """Session fixation: an attacker gives a victim a cookie and waits for the login."""
    lite.browser("Mina")
    victim = lite.browser()
    victim.cookies.set(COOKIE, "chosen-by-the-attacker")
    answer = log_in(victim)
    assert answer.status_code == 200
    fresh = answer.cookies[COOKIE]
    assert fresh != "chosen-by-the-attacker"
    attacker = lite.browser()
    attacker.cookies.set(COOKIE, "chosen-by-the-attacker")
    assert attacker.get("/api/v1/me").status_code == 401


def test_logging_in_again_ends_the_session_before(lite):
    client = lite.browser("Mina")
    before = client.cookies[COOKIE]
    log_in(client)
    other = lite.browser()
    other.cookies.set(COOKIE, before)
    assert other.get("/api/v1/me").status_code == 401


def test_a_new_password_ends_all_other_sessions(place):
    here, there = place.browser("Mina"), place.browser()
    log_in(there)
    body = {"current": PASSWORD, "new": "another password"}
    assert here.put("/api/v1/me/password", json=body).status_code == 204
    assert here.get("/api/v1/me").status_code == 200
    assert there.get("/api/v1/me").status_code == 401
    assert log_in(there).status_code == 401
    assert log_in(there, password="another password").status_code == 200


def test_the_cookie_of_a_login_that_is_used_lasts(lite):
    client = lite.browser("Mina")
    token = client.cookies[COOKIE]

    def answers(method, path, **more):
        with lite.database.write() as session:
            session.execute(update(Login).values(used=utcnow() - timedelta(minutes=6)))
        return client.request(method, path, **more).headers.get_list("set-cookie")

    for path in ("/", "/api/v1/me", "/nothing"):
        (renewed,) = answers("GET", path)
        assert renewed.startswith(f"{COOKIE}={token};")
        assert "Max-Age=2592000" in renewed
    assert "set-cookie" not in client.get("/").headers  # not with every answer
    body = {"name": "Mina", "password": PASSWORD}
    (other,) = answers("POST", "/api/v1/session", json=body)
    assert not other.startswith(f"{COOKIE}={token};")
    (ended,) = answers("DELETE", "/api/v1/session")
    assert "Max-Age=0" in ended


def test_a_session_that_is_not_used_ends(places):
    client = places(session_days=1e-9).browser("Mina")
    assert client.get("/api/v1/me").status_code == 401


@pytest.mark.parametrize(
    ("name", "password", "status"),
    [
        ("mina", PASSWORD, 409),
        ("MINA", PASSWORD, 409),
        ("local", PASSWORD, 409),
        ("Jun", "short", 422),
        ("Jun", "x" * 257, 422),
        ("   ", PASSWORD, 422),
        ("x" * 65, PASSWORD, 422),
        ("a\u202eb", PASSWORD, 422),
    ],
)
def test_names_and_passwords_that_cannot_be(lite, name, password, status):
    client = lite.browser("Mina")
    answer = client.post("/api/v1/users", json={"name": name, "password": password})
    assert answer.status_code == status


def test_wrong_passwords_are_limited_by_name_also_for_the_right_one(places):
    place = places(login_failures=3)
    place.browser("Mina")
    client = place.browser()
    for _ in range(3):
        assert log_in(client, password="wrong password").status_code == 401
    answer = log_in(client)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0


def test_guesses_of_many_names_from_one_address_are_limited(places):
    client = places(login_failures=3).browser()
    statuses = [log_in(client, name=f"user {number}").status_code for number in range(4)]
    assert statuses == [401, 401, 401, 429]


def test_unknown_names_and_wrong_passwords_are_answered_alike(lite):
    lite.browser("Mina")
    client = lite.browser()
    wrong = log_in(client, password="wrong password")
    unknown = log_in(client, name="Nobody")
    assert (wrong.status_code, wrong.json()) == (unknown.status_code, unknown.json())


def test_tokens_work_without_a_browser_until_they_are_deleted(place):
    client = place.browser("Mina")
    made = client.post("/api/v1/tokens", json={"name": "script"}).json()
    program = place.browser(headers={"authorization": f"Bearer {made['token']}"})
    assert program.get("/api/v1/me").json()["name"] == "Mina"
    assert program.post("/api/v1/albums", json={"name": "A"}).status_code == 201
    (listed,) = client.get("/api/v1/tokens").json()["items"]
    assert "token" not in listed
    assert listed["used"] is not None
    assert made["token"].startswith(listed["start"])
    client.delete(f"/api/v1/tokens/{made['id']}")
    assert program.get("/api/v1/me").status_code == 401


def test_the_database_holds_no_password_and_no_token(place):
    client = place.browser("Mina")
    token = client.post("/api/v1/tokens", json={"name": "script"}).json()["token"]
    cookie = client.cookies[COOKIE]
    with place.database.read() as session:
        everything = " ".join(
            str(row)
            for table in Base.metadata.sorted_tables
            for row in session.execute(select(table))
        )
        assert session.scalar(select(User.password)).startswith("$argon2id$")
        assert session.scalar(select(Login.token)) == hashlib.sha256(cookie.encode()).hexdigest()
        assert session.scalar(select(Token.token)) == hashlib.sha256(token.encode()).hexdigest()
    for secret in (PASSWORD, token, cookie):
        assert secret not in everything


def test_deleting_an_account_deletes_all_its_data_and_nothing_else(place):
    mina, jun = place.browser("Mina"), place.browser("Jun")
    for client in (mina, jun):
        album = client.post("/api/v1/albums", json={"name": "A"}).json()["id"]
        restore(client, upload(client, album_id=album))
        client.post("/api/v1/tokens", json={"name": "script"})
    place.work()
    wrong = mina.request("DELETE", "/api/v1/me", json={"password": "wrong password"})
    assert wrong.status_code == 401
    answer = mina.request("DELETE", "/api/v1/me", json={"password": PASSWORD})
    assert answer.status_code == 204
    assert mina.get("/api/v1/me").status_code == 401
    with place.database.read() as session:
        (left,) = session.scalars(select(User.id))
        for table in ("albums", "photos", "jobs", "logins", "tokens"):
            owners = set(session.scalars(text(f"SELECT user_id FROM {table}")))
            assert owners == {left}, table
    assert len(jun.get("/api/v1/photos").json()["items"]) == 1


def test_the_data_of_the_last_user_leave_the_storage_folder(place):
    client = place.browser("Mina")
    restore(client, upload(client))
    place.work()
    client.request("DELETE", "/api/v1/me", json={"password": PASSWORD})
    assert list(place.storage.folder.glob("??/*")) == []


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"referer": "http://testserver/"},
        {},
    ],
)
def test_requests_of_other_sites_change_nothing(lite, headers):
    client = lite.browser("Mina")
    client.headers.pop("sec-fetch-site")
    for answer in (
        client.post("/api/v1/albums", json={"name": "A"}, headers=headers),
        client.post("/albums", data={"name": "A"}, headers=headers),
    ):
        assert answer.status_code == 403
    assert client.get("/api/v1/albums").json()["items"] == []


def test_an_origin_that_is_the_own_one_will_do(lite):
    client = lite.browser("Mina")
    client.headers.pop("sec-fetch-site")
    headers = {"origin": "http://testserver"}
    assert client.post("/api/v1/albums", json={"name": "A"}, headers=headers).status_code == 201


def test_on_loopback_there_is_one_user_and_no_other_name_of_the_host(places):
    place = places(accounts=None)
    client = place.browser(base_url="http://127.0.0.1:8000")
    assert client.get("/api/v1/me").json()["local"] is True
    assert client.get("/api/v1/me", headers={"host": "localhost:8000"}).status_code == 200
    # DNS rebinding: a page of evil.example that resolves to 127.0.0.1
    assert client.get("/api/v1/me", headers={"host": "evil.example:8000"}).status_code == 400
    body = {"name": "Mina", "password": PASSWORD}
    assert code(client.post("/api/v1/users", json=body)) == "forbidden"
    assert client.request("DELETE", "/api/v1/me", json={"password": ""}).status_code == 403


@pytest.mark.parametrize(
    ("host", "needed"),
    [
        *[(host, False) for host in ("127.0.0.1", "127.0.0.2", "::1", "[::1]", "localhost")],
        *[(host, True) for host in ("0.0.0.0", "::", "192.168.1.5", "photos.example.org")],
    ],
)
def test_who_others_can_reach_needs_accounts(host, needed):
    assert Settings(host=host).with_accounts is needed
    for told in (False, True):  # an operator has the last word
        assert Settings(host=host, accounts=told).with_accounts is told


def test_a_server_that_others_can_reach_asks_who_is_there(places):
    client = places(accounts=None, host="0.0.0.0").browser()
    assert client.get("/api/v1/me").status_code == 401
    assert client.get("/").headers["location"] == "/login?next=/"


def test_an_operator_can_close_the_sign_up(places):
    client = places(sign_up=False).browser()
    body = {"name": "Mina", "password": PASSWORD}
    assert client.post("/api/v1/users", json=body).status_code == 403


def test_logs_hold_no_secrets_and_no_names_of_photos(lite, caplog):
    caplog.set_level(logging.DEBUG)
    client = lite.browser("Mina")
    token = client.post("/api/v1/tokens", json={"name": "script"}).json()["token"]
    log_in(client, password="wrong password")
    upload(client, b"\xff\xd8\xff broken", name="a-private-name.jpg")
    lite.browser(headers=SAME_SITE | {"authorization": f"Bearer {token}"}).get("/api/v1/me")
    lite.work()
    lines = [record for record in caplog.records if record.name.startswith(("faceskd", "uvicorn"))]
    logged = " ".join(str(vars(record)) for record in lines)
    secrets = (PASSWORD, "wrong password", token, client.cookies[COOKIE], "a-private-name")
    for secret in secrets:
        assert secret not in logged


def test_errors_of_the_database_which_are_logged_hold_no_values(place):
    with pytest.raises(DBAPIError) as raised, place.database.write() as session:
        session.execute(text("SELECT missing(:password)"), {"password": PASSWORD})
    assert "missing" in str(raised.value)
    assert PASSWORD not in str(raised.value)


def test_names_are_compared_without_case_in_every_script(place):
    client = place.browser("Ärger")
    assert log_in(client, name=" ärger ").status_code == 200
    body = {"name": "A\u0308RGER", "password": PASSWORD}  # with a combining mark
    assert client.post("/api/v1/users", json=body).status_code == 409
