"""The uncover page: cut a square out, restore it, uncover it in three ways."""

import re

import pytest
from helpers.live_studio import add_photo, held, portrait, restored, send, until
from playwright.sync_api import expect

CORNER = (
    "document.querySelector('#surface canvas').getContext('2d').getImageData(x, y, 1, 1).data[3]"
)


def uncovered(page) -> int:
    return int(page.locator("#uncovered").inner_text().split()[0])


def alpha(page, x: int, y: int) -> int:
    """How much of the cover is left at a point of 512 x 512."""
    return page.evaluate(f"([x, y]) => {CORNER}", [x, y])


@pytest.fixture
def covered(page):
    """A page with a covered face."""
    photo = add_photo(page, "group.png", portrait(240, 160))
    job = restored(page, photo, "face", crop={"x": 40, "y": 20, "side": 100})
    page.goto(f"/uncover/{photo}?job={job['id']}")
    expect(page.get_by_role("tab", name="Scratch")).to_be_visible()
    expect(page.locator("#uncovered")).to_have_text("0 % uncovered")
    return page


def test_a_square_is_cut_out_by_dragging_and_by_keys_and_restored(page, studio):
    add_photo(page, "group.png", portrait(240, 160))
    page.goto("/uncover")
    page.get_by_alt_text("group.png").click()
    expect(page).to_have_url(re.compile("/uncover/.+"))
    page.wait_for_load_state()
    # While one page changes into the next, presses do not reach it.
    while page.evaluate("document.documentElement.getAnimations({subtree: true}).length"):
        page.wait_for_timeout(20)
    image = page.locator("#cutter img").bounding_box()
    unit = image["width"] / 240
    page.mouse.move(image["x"] + 30 * unit, image["y"] + 20 * unit)
    page.mouse.down()
    page.mouse.move(image["x"] + 120 * unit, image["y"] + 110 * unit, steps=4)
    page.mouse.up()
    expect(page.locator("#square-size")).to_contain_text("90 × 90 pixels")
    square = page.get_by_label("Square to cut out")
    expect(square).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("+")
    expect(page.locator("#square-size")).to_contain_text("97 × 97 pixels")
    corner = page.locator("[data-corner=se]").bounding_box()
    page.mouse.move(corner["x"] + 18, corner["y"] + 18)
    page.mouse.down()
    page.mouse.move(corner["x"] + 18 + 20 * unit, corner["y"] + 18 + 20 * unit, steps=3)
    page.mouse.up()
    expect(page.locator("#square-size")).to_have_text(re.compile("11[678] × "))
    with held(studio):
        page.get_by_role("button", name="Restore this square").click()
        expect(page.get_by_role("progressbar", name="Progress")).to_be_visible()
        expect(page.locator("#cut-progress [data-step]")).to_have_text("Restoring")
    expect(page.get_by_role("tablist")).to_be_visible()
    job = send(page, "GET", "/jobs").json()["items"][0]
    assert job["kind"] == "face" and 116 <= job["crop"]["side"] <= 118
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.path().read_bytes() == page.request.get(job["result"]["file"]).body()
    page.get_by_role("button", name="Another square").click()
    expect(page.get_by_label("Square to cut out")).to_be_focused()


def test_a_job_is_cancelled(page, studio):
    photo = add_photo(page)
    page.goto(f"/uncover/{photo}")
    with held(studio):
        page.get_by_role("button", name="Restore this square").click()
        page.locator("#cut-cancel").click()
        expect(page.get_by_role("button", name="Restore this square")).to_be_enabled()


def test_a_job_is_cancelled_before_the_server_has_answered(page, studio):
    photo = add_photo(page)
    page.goto(f"/uncover/{photo}")
    waiting = []
    page.route("**/api/v1/jobs", lambda route: waiting.append(route))
    with held(studio):
        with page.expect_request("**/api/v1/jobs"):
            page.get_by_role("button", name="Restore this square").click()
        page.locator("#cut-cancel").click()
        waiting[0].continue_()
        expect(page.get_by_role("button", name="Restore this square")).to_be_enabled()


def test_a_face_that_comes_late_does_not_replace_a_newer_one(page):
    photo = add_photo(page, "group.png", portrait(240, 160))
    late, newer = (
        restored(page, photo, "face", crop={"x": x, "y": 20, "side": 100})["id"] for x in (40, 60)
    )
    waiting = []
    page.goto(f"/uncover/{photo}")
    expect(page.locator(".earlier img").last).to_be_visible()
    page.route(f"**/jobs/{late}/before", lambda route: waiting.append(route))
    with page.expect_request(f"**/jobs/{late}/before"):
        page.locator(f".earlier [data-job='{late}']").click()
    page.get_by_role("button", name="Another square").click()
    page.locator(f".earlier [data-job='{newer}']").click()
    expect(page.locator("#surface .after")).to_have_attribute("src", re.compile(newer))
    with page.expect_response(f"**/jobs/{late}/before"):
        waiting[0].continue_()
    page.wait_for_timeout(200)
    expect(page.locator("#surface .after")).to_have_attribute("src", re.compile(newer))


def test_the_cover_is_scratched_off(covered):
    page = covered
    box = page.locator("#surface").bounding_box()
    assert alpha(page, 256, 256) == 255
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + box["height"] / 2, steps=8)
    page.mouse.up()
    assert alpha(page, 256, 256) == 0 and alpha(page, 10, 10) == 255
    until(lambda: 5 < uncovered(page) < 60, page)
    page.get_by_role("button", name="Cover again").click()
    assert alpha(page, 256, 256) == 255
    page.locator("#surface").focus()
    for key in ("ArrowUp", "ArrowUp", "ArrowLeft"):
        page.keyboard.press(key)
    assert alpha(page, 256, 230) == 0
    page.get_by_role("button", name="Show all").click()
    expect(page.locator("#surface")).to_have_class("surface open")
    expect(page.locator("#uncovered")).to_have_text("100 % uncovered")


def test_a_lens_follows_the_pointer_and_the_arrow_keys(covered):
    page = covered
    page.get_by_role("tab", name="Scratch").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Lens")).to_have_attribute("aria-selected", "true")
    surface = page.locator("#surface")
    box = surface.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.75)
    place = "one => [one.style.getPropertyValue('--x'), one.style.getPropertyValue('--y')]"
    x, y = (float(side.rstrip("%")) for side in surface.evaluate(place))
    assert abs(x - 25) < 1 and abs(y - 75) < 1
    clip = "getComputedStyle(document.querySelector('#surface .after')).clipPath"
    assert page.evaluate(clip).startswith("circle(")
    surface.focus()
    page.keyboard.press("ArrowRight")
    assert float(surface.evaluate(place)[0].rstrip("%")) > x + 3
    radius = "one => parseFloat(one.style.getPropertyValue('--radius'))"
    small = surface.evaluate(radius)
    page.keyboard.press("+")
    assert surface.evaluate(radius) > small


def test_scrolling_reveals_the_face(covered):
    page = covered
    page.get_by_role("tab", name="Scroll").click()
    shown = "parseFloat(document.querySelector('#surface').style.getPropertyValue('--shown'))"
    assert page.evaluate(shown) == 0
    page.mouse.wheel(0, 500)
    until(lambda: 10 < page.evaluate(shown) < 100, page)
    page.keyboard.press("End")
    until(lambda: page.evaluate(shown) >= 112, page)
    expect(page.locator("#uncovered")).to_have_text("100 % uncovered")


def test_fingers_scratch(visit):
    page = visit("fingers", has_touch=True, viewport={"width": 390, "height": 800})
    photo = add_photo(page)
    job = restored(page, photo, "face", crop={"x": 10, "y": 10, "side": 60})
    page.goto(f"/uncover/{photo}?job={job['id']}")
    expect(page.locator("#uncovered")).to_have_text("0 % uncovered")
    box = page.locator("#surface").bounding_box()
    touch = page.context.new_cdp_session(page)

    def point(part: float) -> list[dict]:
        return [{"x": box["x"] + part * box["width"], "y": box["y"] + box["height"] / 2}]

    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": point(0.2)})
    for part in (0.4, 0.6, 0.8):
        touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": point(part)})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_timeout(100)
    assert alpha(page, 256, 256) == 0
    assert page.evaluate("scrollY") == 0
