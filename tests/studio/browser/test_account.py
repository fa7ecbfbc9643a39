"""Sign up, log in, settings and the account, as people do it."""

from helpers.live_studio import PASSWORD, add_photo, send
from playwright.sync_api import expect


def test_a_new_user_signs_up_logs_out_and_logs_in(visit):
    page = visit()
    page.goto("/")
    expect(page).to_have_url("/login?next=/")
    page.get_by_role("link", name="Sign up").click()
    page.get_by_label("Name").fill("Mina 민아")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign up").click()
    expect(page.get_by_role("heading", name="Drop photos here")).to_be_visible()

    page.get_by_label("Settings").click()
    page.get_by_role("button", name="Log out").click()
    page.get_by_label("Name").fill("Mina 민아")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("name or the password is wrong")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url("/")


def test_passwords_change_and_accounts_are_deleted_with_their_photos(visit):
    page = visit("leaver")
    photo = add_photo(page)
    page.goto("/account")
    page.get_by_label("Current password").fill(PASSWORD)
    page.get_by_label("New password").fill("another long password")
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_role("status").first).to_contain_text("password was changed")

    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_role("button", name="Delete account").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_label("Your password").fill("another long password")
    page.get_by_role("button", name="Delete account").click()
    expect(page).not_to_have_url("/account/delete")
    assert send(page, "GET", f"/photos/{photo}").status == 401
    again = send(page, "POST", "/session", {"name": "leaver", "password": "another long password"})
    assert again.status == 401


def test_tokens_are_shown_once_and_revoked(page):
    page.goto("/account")
    page.get_by_label("Name of a new token").fill("my script")
    page.get_by_role("button", name="Create token").click()
    token = page.locator("#new-token").inner_text()
    bearer = {"authorization": f"Bearer {token}"}
    assert page.request.get("/api/v1/me", headers=bearer).ok
    page.goto("/account")
    expect(page.get_by_text(token)).to_have_count(0)
    page.get_by_role("button", name="Revoke my script").click()
    expect(page.get_by_text("You have no tokens.")).to_be_visible()
    assert page.request.get("/api/v1/me", headers=bearer).status == 401


def test_language_and_theme_are_kept(visit):
    page = visit("reader", locale="ko-KR")
    page.goto("/jobs")
    expect(page.get_by_role("heading", level=1)).to_have_text("작업")
    page.get_by_label("설정").click()
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Activity")
    page.get_by_label("Settings").click()
    with page.expect_response("**/preferences"):
        page.get_by_role("button", name="Dark").click()
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(19, 21, 23)"
