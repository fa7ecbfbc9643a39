"""Take screenshots of every page of the studio: light and dark, phone and desktop.

    python tools/screenshot_studio.py --out shots          # all of them, as PNG
    python tools/screenshot_studio.py --docs docs/studio   # for the documentation, as WebP

Starts a studio in a temporary folder and Chromium. The photos are made from NASA's public-domain
portrait of Eileen Collins, which scikit-image contains.
"""

import argparse
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import skimage.data
from PIL import Image, ImageFilter, ImageOps
from playwright.sync_api import Browser, FilePayload, Page, sync_playwright

DEVICES = {"desktop": (1280, 800), "phone": (390, 844)}
THEMES = ("light", "dark")
NAME, PASSWORD = "Mina", "correct horse battery"
FOR_DOCS = {
    ("photos", "desktop", "light"),
    ("restore", "desktop", "light"),
    ("photo", "desktop", "light"),
    ("beside", "desktop", "dark"),
    ("photo", "phone", "dark"),
    ("cut", "desktop", "light"),
    ("scratch", "desktop", "light"),
    ("lens", "phone", "light"),
    ("activity", "desktop", "light"),
    ("cost", "desktop", "light"),
}
DOCS_WIDTH = {"desktop": 1000, "phone": 390}
SHEET = {"desktop": (4, 400, 250), "phone": (10, 160, 346)}
"""Of the sheets with all pages: columns, and the size of each page."""

Shot = Callable[[Page], None]


def photos() -> Iterator[tuple[str, bytes]]:
    """Names and files of the photos that are shown."""
    portrait = Image.fromarray(skimage.data.astronaut())
    grey = ImageOps.grayscale(portrait)
    sepia = ImageOps.colorize(grey, "#241409", "#f4e3c4")
    for name, image in {
        "Blurred.jpg": ImageOps.mirror(portrait)
        .resize((256, 256))
        .filter(ImageFilter.GaussianBlur(1.2)),
        "Black and white.jpg": grey.convert("RGB").crop((60, 0, 380, 320)).resize((150, 150)),
        "Portrait.png": portrait,
        "Face.jpg": portrait.crop((130, 0, 330, 250)).resize((96, 120)),
        "Sepia.webp": sepia.crop((0, 0, 512, 400)).resize((220, 172)),
        "Collins 1999.jpg": portrait.resize((198, 198), Image.Resampling.LANCZOS),
    }.items():
        file = io.BytesIO()
        image.save(file, Image.registered_extensions()[Path(name).suffix], quality=88)
        yield name, file.getvalue()


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """A studio with accounts; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "faceskd", "studio", "--storage", folder, "--port", str(port)]
    server = subprocess.Popen(
        [str(part) for part in command],
        env=os.environ | {"FACESKD_STUDIO_ACCOUNTS": "true"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: not refused(port))
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(90)


def refused(port: int) -> bool:
    """Whether nothing listens."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def until(condition: Callable[[], bool], seconds: float = 120) -> None:
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("expected the studio to be ready by now")
        time.sleep(0.3)


class Visitor:
    """A user of the studio, by the API.

    Args:
        page: a page of the browser; its cookies are used.
    """

    def __init__(self, page: Page) -> None:
        self.page = page

    def send(self, method: str, path: str, data: object = None) -> Any:
        """A request; what it answers."""
        answer = self.page.request.fetch(
            f"/api/v1{path}",
            method=method,
            data=data,
            headers={"sec-fetch-site": "same-origin"},
        )
        if not answer.ok:
            raise RuntimeError(f"{method} {path}: {answer.status} {answer.text()}")
        return json.loads(answer.text()) if answer.status != 204 else None

    def upload(self, name: str, content: bytes, album: str) -> str:
        """A photo's id."""
        file: FilePayload = {"name": name, "mimeType": "image/jpeg", "buffer": content}
        answer = self.page.request.post(
            "/api/v1/photos",
            multipart={"file": file, "album_id": album},
            headers={"sec-fetch-site": "same-origin"},
        )
        return answer.json()["id"]

    def restore(self, photo: str, kind: str, **more: object) -> str:
        """The id of a job that is done."""
        job = self.send("POST", "/jobs", {"photos": [photo], "kind": kind} | more)["items"][0]
        until(lambda: self.send("GET", f"/jobs/{job['id']}")["state"] in ("done", "failed"))
        return job["id"]


def prepare(page: Page) -> dict[str, str]:
    """Photos, albums and results; their ids."""
    visitor = Visitor(page)
    visitor.send("POST", "/users", {"name": NAME, "password": PASSWORD})
    albums = [visitor.send("POST", "/albums", {"name": n})["id"] for n in ("Family", "NASA")]
    ids = {"album": albums[1]}
    for number, (name, content) in enumerate(photos()):
        ids[name] = visitor.upload(name, content, albums[number > 1])
    until(lambda: all(p["thumbnail"] for p in visitor.send("GET", "/photos")["items"]))
    for name in ("Face.jpg", "Sepia.webp", "Collins 1999.jpg"):
        visitor.restore(ids[name], "photo", options={"scale": 4})
    crop = {"x": 58, "y": 6, "side": 60}
    ids["cut"] = visitor.restore(ids["Collins 1999.jpg"], "face", crop=crop)
    visitor.send("POST", "/tokens", {"name": "backup script"})
    return ids


def select_two(page: Page) -> None:
    """Mark two photos of the grid."""
    for number in (1, 2):
        page.locator(".tile input").nth(number).check()


def shots(ids: dict[str, str]) -> Iterator[tuple[str, str, Shot | None]]:
    """Name, address, and what is done on the page before the picture is taken."""
    photo, cut = ids["Collins 1999.jpg"], ids["cut"]
    yield "photos", "/", None
    yield "album", f"/albums/{ids['album']}", None
    yield "selection", "/", select_two
    yield "restore", f"/photos/{photo}", lambda page: page.click("[data-open=restore]")
    yield "photo", f"/photos/{photo}", None
    yield "beside", f"/photos/{photo}", beside
    yield "new-photo", f"/photos/{ids['Portrait.png']}", None
    yield "activity", "/jobs", None
    yield "uncover", "/uncover", None
    yield "cut", f"/uncover/{photo}", None
    yield "scratch", f"/uncover/{photo}?job={cut}", scratch
    yield "lens", f"/uncover/{photo}?job={cut}", lens
    yield "scroll", f"/uncover/{photo}?job={cut}", scroll
    yield "account", "/account", None
    yield "cost", "/cost", cost
    yield "api", "/api", None
    yield "menu", "/jobs", lambda page: page.click("#settings summary")
    yield "nothing", "/nothing", None


def beside(page: Page) -> None:
    """Side by side, and the face enlarged."""
    page.click(".tool[data-mode=beside]")
    page.locator("[data-face]:visible").first.click()


def surface(page: Page) -> tuple[float, float, float]:
    """The surface that covers a face: left, top, side."""
    page.wait_for_timeout(400)
    box = page.locator("#surface").bounding_box()
    assert box is not None
    return box["x"], box["y"], box["width"]


def scratch(page: Page) -> None:
    """Scratch one half free."""
    left, top, side = surface(page)
    page.mouse.move(left + 0.1 * side, top + 0.15 * side)
    page.mouse.down()
    for row in range(5):
        x = 0.5 if row % 2 == 0 else 0.1
        page.mouse.move(left + x * side, top + (0.15 + 0.17 * row) * side, steps=6)
    page.mouse.up()


def lens(page: Page) -> None:
    """The lens over an eye."""
    page.click("#tab-lens")
    left, top, side = surface(page)
    page.mouse.move(left + 0.42 * side, top + 0.45 * side, steps=3)


def scroll(page: Page) -> None:
    """Scrolled half way."""
    page.click("#tab-scroll")
    page.mouse.move(10, 300)
    page.mouse.wheel(0, 700)


def cost(page: Page) -> None:
    """A machine with a price."""
    for label, value in (("Machine", "Rented server"), ("Price a month", "40"), ("Workers", "4")):
        page.get_by_label(label, exact=True).fill(value)


def take(page: Page, folder: Path, name: str, address: str, action: Shot | None) -> Path:
    """One picture."""
    page.goto(address)
    page.wait_for_timeout(700)
    if action:
        action(page)
        page.wait_for_timeout(400)
    path = folder / f"{name}.png"
    page.screenshot(path=path)
    return path


def take_all(browser: Browser, url: str, folder: Path) -> None:
    """All pictures."""
    first = browser.new_context(base_url=url)
    ids = prepare(first.new_page())
    state = first.storage_state()
    for device, (width, height) in DEVICES.items():
        for theme in THEMES:
            options: Any = {
                "base_url": url,
                "viewport": {"width": width, "height": height},
                "color_scheme": theme,
                "reduced_motion": "reduce",
            }
            guest = browser.new_context(**options).new_page()
            user = browser.new_context(**options, storage_state=state).new_page()
            todo: list[tuple[Page, str, str, Shot | None]] = [
                (guest, "login", "/login", None),
                (guest, "signup", "/signup", None),
                *((user, *shot) for shot in shots(ids)),
            ]
            for page, name, address, action in todo:
                take(page, folder, f"{name}-{device}-{theme}", address, action)
            guest.context.close()
            user.context.close()


def shrink(folder: Path, docs: Path) -> None:
    """Screenshots as the documentation shows them."""
    docs.mkdir(parents=True, exist_ok=True)
    for name, device, theme in FOR_DOCS:
        image = Image.open(folder / f"{name}-{device}-{theme}.png").convert("RGB")
        image.thumbnail((DOCS_WIDTH[device], 10_000), Image.Resampling.LANCZOS)
        image.save(docs / f"{name}-{device}-{theme}.webp", quality=82, method=6)


def sheets(folder: Path, docs: Path) -> None:
    """A sheet with all pages for each device and theme."""
    for device, (columns, width, height) in SHEET.items():
        for theme in THEMES:
            paths = sorted(folder.glob(f"*-{device}-{theme}.png"))
            rows = -(-len(paths) // columns)
            sheet = Image.new("RGB", (columns * (width + 8) - 8, rows * (height + 8) - 8), "#888")
            for index, path in enumerate(paths):
                place = (index % columns * (width + 8), index // columns * (height + 8))
                shot = Image.open(path).convert("RGB")
                sheet.paste(shot.resize((width, height), Image.Resampling.LANCZOS), place)
            sheet.save(docs / f"all-{device}-{theme}.webp", quality=70, method=6)


def main() -> None:
    """Read the options."""
    parser = argparse.ArgumentParser(description="Screenshots of the studio.")
    parser.add_argument("--out", type=Path, help="a folder for all screenshots")
    parser.add_argument("--docs", type=Path, help="a folder for those of the documentation")
    options = parser.parse_args()
    chromium = shutil.which(os.environ.get("FACESKD_CHROMIUM", "chromium"))
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        folder = options.out or Path(name) / "shots"
        folder.mkdir(parents=True, exist_ok=True)
        with running(Path(name) / "studio") as url:
            take_all(browser, url, folder)
        browser.close()
        if options.docs:
            shrink(folder, options.docs)
            sheets(folder, options.docs)


if __name__ == "__main__":
    main()
