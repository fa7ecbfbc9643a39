"""All pages: accessibility, narrow screens, keyboard, errors."""

import contextlib

import pytest
from helpers.live_studio import LiveStudio, add_album, add_photo, portrait, restored, send
from playwright.sync_api import expect
from sqlalchemy.exc import OperationalError

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")


FADED = """() => Promise.all(document.getAnimations()
    .filter(each => each.effect.getComputedTiming().endTime < Infinity)
    .map(each => each.finished.catch(() => null)))"""


def findings(page, **options) -> list[str]:
    """What axe finds, once nothing fades in or out any more."""
    page.evaluate(FADED)
    found = axe.Axe().run(page, options=options or None)
    return [
        f"{page.url}: {one['id']}: {node['html'][:120]}"
        for one in found.response["violations"]
        for node in one["nodes"]
    ]


def addresses(page) -> list[str]:
    album = add_album(page)
    photo = add_photo(page, "face.png", portrait(240, 160), album=album)
    job = restored(page, photo)
    cut = restored(page, photo, "face", crop={"x": 10, "y": 10, "side": 60})
    assert job
    return [
        "/",
        f"/albums/{album}",
        f"/photos/{photo}",
        "/jobs",
        "/uncover",
        f"/uncover/{photo}",
        f"/uncover/{photo}?job={cut['id']}",
        "/account",
        "/cost",
        "/api",
        "/nothing",
    ]


def light_and_dark(page) -> list[str]:
    """What axe finds on a page as it is; in the dark only colours differ."""
    found = findings(page)
    page.emulate_media(color_scheme="dark")
    found += findings(page, runOnly=["color-contrast"])
    page.emulate_media(color_scheme="light")
    return found


def test_axe_finds_nothing(visit):
    page = visit("axe", color_scheme="light", reduced_motion="reduce")
    found = []
    for address in addresses(page):
        page.goto(address)
        page.wait_for_timeout(200)
        found += light_and_dark(page)
    page.goto("/")
    page.locator(".tile input").first.check()
    for button in ("Restore", "Move"):
        page.locator("#picked").get_by_role("button", name=button).click()
        found += light_and_dark(page)
        page.keyboard.press("Escape")
    guest = visit(color_scheme="light", reduced_motion="reduce")
    for address in ("/login", "/signup"):
        guest.goto(address)
        found += light_and_dark(guest)
    assert not found


def test_pages_fit_a_phone_in_korean_and_all_controls_have_names(visit):
    page = visit("phone", viewport={"width": 360, "height": 740}, locale="ko-KR")
    wide, nameless = [], []
    for address in addresses(page):
        page.goto(address)
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            wide.append(address)
        nameless += findings(page, runOnly=["button-name", "link-name", "label"])
        expect(page.locator("html")).to_have_attribute("lang", "ko")
    assert not wide
    assert not nameless


def test_empty_pages_say_what_to_do(page):
    for address, text in (
        ("/", "Drop photos here"),
        ("/jobs", "Nothing here yet"),
        ("/uncover", "Drop a photo here"),
        ("/account", "You have no tokens."),
    ):
        page.goto(address)
        expect(page.get_by_text(text)).to_be_visible()


def test_the_keyboard_reaches_everything_and_focus_is_seen(page):
    add_photo(page)
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    seen = []
    for _ in range(16):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate(
                """() => {
                    const one = document.activeElement;
                    if (one === document.body) return null;
                    const style = getComputedStyle(one);
                    const shown = style.outlineStyle !== "none" && style.outlineWidth !== "0px";
                    return [one.getAttribute("aria-label") ?? one.textContent.trim(), shown];
                }"""
            )
        )
    seen = [one for one in seen if one]
    names = [name for name, _ in seen]
    for name in ("Photos", "Uncover", "Settings", "New album", "Select head.png"):
        assert name in names, names
    assert all(shown for name, shown in seen if name), seen
    page.get_by_label("Settings").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("link", name="Account")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_label("Settings")).to_be_focused()


def test_a_database_that_is_away_gets_a_page_that_recovers(page, studio, monkeypatch):
    @contextlib.contextmanager
    def away():
        raise OperationalError("SELECT", {}, Exception("gone"))
        yield

    with monkeypatch.context() as patch:
        patch.setattr(studio.database, "read", away)
        patch.setattr(studio.database, "write", away)
        page.goto("/jobs")
        expect(page.get_by_role("heading", name="Back in a moment")).to_be_visible()
    expect(page.get_by_role("heading", name="Activity")).to_be_visible()


def test_limits_are_told(page, studio, monkeypatch):
    photo = add_photo(page)
    monkeypatch.setattr(studio.app.state.studio.settings, "jobs_per_user", 0)
    page.goto(f"/photos/{photo}")
    page.get_by_role("button", name="Restore", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Restore").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("At most 0")


def test_the_cost_of_machines_is_counted(page):
    restored(page, add_photo(page))
    page.goto("/cost")
    seconds = float(page.locator("#cost").get_attribute("data-seconds"))
    page.get_by_label("Price a month").fill("50")
    page.get_by_label("Times as fast").fill("2")
    row = page.locator("#machines tr")
    photos = int(row.locator("[data-photos]").inner_text().replace(",", ""))
    assert abs(photos - 2 * 30 * 86_400 / seconds) <= 1
    expect(row.locator("[data-each]")).not_to_have_text("–")
    page.reload()
    expect(page.get_by_label("Price a month")).to_have_value("50")


def test_without_accounts_nobody_logs_in(visit, tmp_path):
    local = LiveStudio(tmp_path)
    try:
        page = visit(at=local.url)
        page.goto("/")
        expect(page.get_by_role("heading", name="Drop photos here")).to_be_visible()
        page.get_by_label("Settings").click()
        expect(page.get_by_text("On this computer")).to_be_visible()
        expect(page.get_by_role("button", name="Log out")).to_have_count(0)
        assert send(page, "GET", "/me").json()["local"]
        page.goto("about:blank")
    finally:
        local.stop()
