"""Albums, uploading and the grid."""

import io
import re
import zipfile

from helpers.live_studio import add_album, add_photo, portrait, restored, send, until
from playwright.sync_api import expect

DROP = """([name, type, bytes]) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([new Uint8Array(bytes)], name, { type }));
    const event = (kind) => new DragEvent(kind, { dataTransfer: transfer, cancelable: true });
    window.dispatchEvent(event("dragenter"));
    window.veil = document.querySelector(".veil")?.textContent;
    window.dispatchEvent(event("drop"));
}"""
PASTE = """([name, type, bytes]) => {
    const clipboardData = new DataTransfer();
    clipboardData.items.add(new File([new Uint8Array(bytes)], name, { type }));
    window.dispatchEvent(new ClipboardEvent("paste", { clipboardData, cancelable: true }));
}"""


DROP_FOLDER = """(bytes) => {
    const content = new File([new Uint8Array(bytes)], "good.png", { type: "image/png" });
    const good = { isFile: true, name: "good.png", file: (done) => done(content) };
    const bad = { isFile: true, name: "locked.png", file: (_, failed) => failed(new Error()) };
    const parts = [[bad, good], []];
    const createReader = () => ({ readEntries: (done) => done(parts.shift()) });
    const item = { webkitGetAsEntry: () => ({ isDirectory: true, name: "holiday", createReader }) };
    const event = new Event("drop", { cancelable: true });
    event.dataTransfer = { types: ["Files"], items: [item], files: [] };
    window.dispatchEvent(event);
}"""


def tiles(page):
    return page.locator("#tiles .tile")


def select(page, *numbers: int) -> None:
    for number in numbers:
        tiles(page).nth(number).locator("input").check()


def file(name: str, content: bytes, mime: str = "image/png") -> dict:
    return {"name": name, "mimeType": mime, "buffer": content}


def test_several_photos_are_uploaded_with_progress_and_refusals(page):
    page.goto("/")
    page.set_input_files(
        "#files",
        [
            file("one.png", portrait(hue=1)),
            file("두번째 & <b>.png", portrait(hue=60)),
            file("notes.txt", b"no photo", "text/plain"),
            file("huge.png", bytes(2_100_000)),
        ],
    )
    uploads = page.get_by_role("region", name="Uploads")
    expect(uploads.locator("li")).to_have_count(4)
    expect(uploads.get_by_text("Not a photo")).to_be_visible()
    expect(uploads.get_by_text("Larger than 2 MB.")).to_be_visible()
    expect(uploads.locator(".arrived")).to_have_count(2)
    expect(tiles(page).locator("img")).to_have_count(2)
    expect(page.get_by_role("button", name="Restore all")).to_be_visible()
    expect(page.get_by_alt_text("두번째 & <b>.png")).to_be_visible()


def test_a_photo_is_dropped_one_is_pasted_and_a_broken_file_says_so(page):
    page.goto("/")
    page.evaluate(DROP, ["dropped.png", "image/png", list(portrait(hue=2))])
    assert page.evaluate("window.veil") == "Drop to upload"
    expect(page.get_by_alt_text("dropped.png")).to_be_visible()
    page.evaluate(PASTE, ["image.png", "image/png", list(portrait(hue=3))])
    expect(page.get_by_alt_text(re.compile(r"Pasted 20.*\.png"))).to_be_visible()
    page.evaluate(PASTE, ["half.png", "image/png", list(portrait(400, 300, hue=4)[:900])])
    broken = tiles(page).filter(has_text="Cannot be read")
    expect(broken).to_have_count(1)
    broken.locator("a").click()
    expect(page.get_by_text("This file cannot be read.")).to_be_visible()
    expect(page.get_by_role("button", name="Restore", exact=True)).to_have_count(0)


def test_an_upload_that_was_cut_off_is_tried_again(page):
    page.goto("/")
    page.route("**/api/v1/photos", lambda route: route.abort())
    page.set_input_files("#files", [file("later.png", portrait(hue=5))])
    expect(page.get_by_text("The connection was lost.")).to_be_visible()
    page.unroute("**/api/v1/photos")
    page.get_by_role("button", name="Try later.png again").click()
    expect(page.get_by_alt_text("later.png")).to_be_visible()


def test_an_upload_that_fails_is_told_also_where_the_panel_was_closed(page):
    page.goto("/")
    waiting = []
    page.route("**/api/v1/photos", lambda route: waiting.append(route))
    with page.expect_request("**/api/v1/photos"):
        page.set_input_files("#files", [file("later.png", portrait(hue=5))])
    uploads = page.get_by_role("region", name="Uploads")
    uploads.get_by_role("button", name="Close").click()
    expect(uploads).to_have_count(0)
    waiting[0].abort()
    expect(uploads.get_by_role("status")).to_have_text("1 file was not uploaded")
    expect(uploads.get_by_text("The connection was lost.")).to_be_visible()


def test_a_file_of_a_folder_that_cannot_be_read_is_named_and_the_others_come(page):
    page.goto("/")
    page.evaluate(DROP_FOLDER, list(portrait(hue=6)))
    expect(page.locator("#toasts")).to_contain_text("Cannot be read: locked.png")
    expect(page.get_by_alt_text("good.png")).to_be_visible()


def test_all_formats_become_thumbnails(page):
    formats = {"jpg": "JPEG", "webp": "WebP", "tif": "TIFF", "avif": "AVIF", "heic": "HEIF"}
    heads = [file(f"head.{one}", portrait(format=formats[one]), "") for one in formats]
    page.goto("/")
    page.set_input_files("#files", heads)
    for one in formats:
        expect(page.get_by_alt_text(f"head.{one}")).to_be_visible()


def test_a_photo_lies_as_its_exif_says(page):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    photo = add_photo(page, "turned.jpg", portrait(120, 90, format="JPEG", exif=exif))
    page.goto(f"/photos/{photo}")
    expect(page.get_by_text("90 × 120")).to_be_visible()


def test_the_grid_of_equal_thumbnails_loads_while_scrolling(page):
    for number in range(64):
        content = portrait(40, 20 + number % 9, hue=number)
        name = f"{number}.png"
        answer = page.request.post(
            "/api/v1/photos",
            multipart={"file": {"name": name, "mimeType": "image/png", "buffer": content}},
            headers={"sec-fetch-site": "same-origin"},
        )
        assert answer.status == 201
    page.set_viewport_size({"width": 420, "height": 700})
    page.goto("/")
    assert tiles(page).count() == 60
    sizes = page.evaluate(
        "[...document.querySelectorAll('.tile')].map((tile) => tile.getBoundingClientRect())"
        ".map(({width, height}) => `${Math.round(width)}x${Math.round(height)}`)"
    )
    assert len(set(sizes)) == 1
    page.mouse.wheel(0, 6000)
    expect(tiles(page)).to_have_count(64)
    expect(page.get_by_role("link", name="More photos")).to_have_count(0)


def test_albums_are_created_renamed_filled_and_deleted(page):
    for hue in (10, 80, 150):
        add_photo(page, f"{hue}.png", portrait(hue=hue))
    page.goto("/")
    page.get_by_role("button", name="New album").click()
    page.get_by_role("dialog", name="New album").get_by_label("Name").fill("할머니")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("할머니")
    page.wait_for_load_state()
    page.goto("/")
    expect(page.get_by_role("link", name="할머니")).to_be_visible()

    select(page, 0, 1)
    expect(page.get_by_text("2 selected")).to_be_visible()
    page.locator("#picked").get_by_role("button", name="Move").click()
    page.get_by_role("dialog").get_by_text("할머니").click()
    page.get_by_role("dialog").get_by_role("button", name="Move").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("할머니")
    page.wait_for_load_state()
    expect(tiles(page)).to_have_count(2)

    page.get_by_label("More actions").click()
    page.get_by_role("button", name="Rename album").click()
    page.get_by_role("dialog").get_by_label("Name").fill("Grandma")
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Grandma")
    page.wait_for_load_state()

    select(page, 0)
    page.locator("#picked").get_by_role("button", name="Move").click()
    page.get_by_role("dialog").get_by_label("Name of the new album").fill("Second")
    page.get_by_role("dialog").get_by_role("button", name="Move").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Second")
    page.wait_for_load_state()
    expect(tiles(page)).to_have_count(1)

    page.get_by_label("More actions").click()
    page.get_by_role("button", name="Delete album").click()
    page.get_by_role("dialog").get_by_text("Delete the photos too").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete album").click()
    expect(page).to_have_url("/")
    expect(tiles(page)).to_have_count(2)


def test_photos_are_selected_by_keyboard_and_deleted(page):
    for hue in (10, 80, 150):
        add_photo(page, f"{hue}.png", portrait(hue=hue))
    page.goto("/")
    tiles(page).first.locator("a").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("x")
    expect(page.get_by_text("1 selected")).to_be_visible()
    page.keyboard.press("Control+a")
    expect(page.get_by_text("3 selected")).to_be_visible()
    page.keyboard.press("r")
    expect(page.get_by_role("dialog", name="Restore")).to_contain_text("3 photos")
    expect(page.get_by_role("radio", name="Whole photo")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(page.locator("#picked")).to_be_hidden()
    tiles(page).nth(0).locator("input").check()
    tiles(page).nth(2).locator("input").click(modifiers=["Shift"])
    page.locator("#picked").get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="Drop photos here")).to_be_visible()


def test_more_photos_than_a_request_takes_are_deleted_in_parts(page):
    add_photo(page)
    page.goto("/")
    page.evaluate(
        """() => {
            const [tile] = document.querySelectorAll("#tiles .tile");
            for (let more = 0; more < 1000; more += 1) tile.after(tile.cloneNode(true));
        }"""
    )
    sizes = []

    def answer(route):
        sizes.append(len(route.request.post_data_json["photos"]))
        route.fulfill(status=204)

    page.route("**/api/v1/photos/delete", answer)
    tiles(page).first.locator("a").focus()
    page.keyboard.press("Control+a")
    page.locator("#picked").get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert sizes == [1000, 1]


def test_an_album_is_downloaded_as_zip(page):
    album = add_album(page)
    photos = [add_photo(page, f"{hue}.png", portrait(hue=hue), album=album) for hue in (20, 90)]
    restored(page, photos[0])
    page.goto(f"/albums/{album}")
    names = {}
    for content in ("results", "originals"):
        page.get_by_label("More actions").click()
        with page.expect_download() as download:
            page.get_by_role("link", name=f"Download {content}").click()
        data = download.value.path().read_bytes()
        names[content] = zipfile.ZipFile(io.BytesIO(data)).namelist()
    assert sorted(names["originals"]) == ["20.png", "90.png"]
    assert len(names["results"]) == 1 and names["results"][0].startswith("20")


def test_without_scripts_photos_are_uploaded_restored_and_deleted(visit):
    page = visit("plain", java_script_enabled=False)
    page.goto("/")
    page.locator("#files").set_input_files([file("plain.png", portrait())])
    page.locator("#upload button").click()
    until(lambda: send(page, "GET", "/photos").json()["items"][0]["state"] == "ready", page)
    page.goto("/")
    page.get_by_role("link", name="plain.png").click()
    page.locator("#restore button.main").click()
    until(lambda: send(page, "GET", "/jobs").json()["items"][0]["state"] == "done", page)
    page.goto(page.url)
    expect(page.locator(".result")).to_have_attribute("data-state", "done")
    page.get_by_label("Settings").click()
    page.get_by_role("button", name="Dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.locator("#delete-photos button.danger").click()
    expect(page).to_have_url("/")
    expect(tiles(page)).to_have_count(0)
