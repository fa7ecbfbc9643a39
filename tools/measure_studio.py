"""Measure a running studio: photos per minute, latency of pages and uploads, memory.

    faceskd studio --storage FOLDER --port 8000
    python tools/measure_studio.py --url http://127.0.0.1:8000 --pid SERVER --photos 30

Uploads photos of 1 megapixel with a face in each, restores them all, and meanwhile asks for pages
and uploads more, as people would. Then it uploads small photos to see how the server's memory
grows.
"""

import argparse
import io
import json
import time
from pathlib import Path
from statistics import quantiles

import httpx
import numpy as np
from PIL import Image

from faceskd.portraits import render_portrait

PAGES = ("/", "/jobs", "/uncover", "/account", "/api/v1/photos", "/api/v1/jobs")
SIDE = 1000


def photo(number: int) -> bytes:
    """A JPEG of 1 megapixel: noise, and a drawn face of 160 pixels that is enlarged from 80."""
    noise = np.random.default_rng(number).normal(128, 20, (SIDE // 8, SIDE // 8, 3))
    picture = Image.fromarray(noise.clip(0, 255).astype(np.uint8)).resize((SIDE, SIDE))
    face = Image.fromarray(render_portrait(number, size=256).image).resize((80, 80))
    picture.paste(face.resize((320, 320)), (340, 300))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=85)
    return file.getvalue()


def small(number: int) -> bytes:
    """A JPEG of 64x64 pixels."""
    noise = np.random.default_rng(number).integers(0, 255, (64, 64, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "JPEG")
    return file.getvalue()


class Studio:
    """A client that notes how long each answer took, in seconds."""

    def __init__(self, url: str, token: str) -> None:
        headers = {"sec-fetch-site": "same-origin"}
        if token:
            headers["authorization"] = f"Bearer {token}"
        self.http = httpx.Client(base_url=url, headers=headers, timeout=60)
        self.seconds: dict[str, list[float]] = {"pages": [], "uploads": []}

    def page(self, path: str) -> None:
        """Ask for a page."""
        began = time.perf_counter()
        self.http.get(path).raise_for_status()
        self.seconds["pages"].append(time.perf_counter() - began)

    def upload(self, data: bytes) -> str:
        """Upload a photo; its id."""
        began = time.perf_counter()
        answer = self.http.post("/api/v1/photos", files={"file": ("photo.jpg", data)})
        self.seconds["uploads"].append(time.perf_counter() - began)
        return answer.raise_for_status().json()["id"]

    def restore(self, photos: list[str]) -> list[str]:
        """Queue jobs; their ids."""
        body = {"photos": photos, "kind": "photo"}
        answer = self.http.post("/api/v1/jobs", json=body).raise_for_status()
        return [job["id"] for job in answer.json()["items"]]

    def states(self, jobs: list[str]) -> dict[str, dict]:
        """The jobs that have ended."""
        found: dict[str, dict] = {}
        for state in ("done", "failed"):
            query: dict[str, str | int] | None = {"state": state, "limit": 200}
            while query is not None:
                page = self.http.get("/api/v1/jobs", params=query).raise_for_status().json()
                found |= {job["id"]: job for job in page["items"] if job["id"] in jobs}
                query = query | {"cursor": page["next"]} if page["next"] else None
        return found


def memory(pid: int) -> float:
    """Resident memory of a process, MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Median and 95th percentile in ms."""
    parts = quantiles(seconds, n=20)
    return {"p50": round(1000 * parts[9], 1), "p95": round(1000 * parts[18], 1), "n": len(seconds)}


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--token", default="")
    parser.add_argument("--pid", type=int, required=True, help="of the server")
    parser.add_argument("--photos", type=int, default=30)
    parser.add_argument("--uploads", type=int, default=1000)
    parser.add_argument("--pause", type=float, default=0.25, help="seconds between requests")
    options = parser.parse_args()
    studio = Studio(options.url, options.token)
    report: dict[str, object] = {"memory before, MB": round(memory(options.pid), 1)}
    warm = studio.restore([studio.upload(photo(10_000))])
    while not studio.states(warm):
        time.sleep(0.2)
    photos = [studio.upload(photo(number)) for number in range(options.photos)]
    studio.seconds = {"pages": [], "uploads": []}
    began = time.monotonic()
    jobs = studio.restore(photos)
    number = 0
    while len(ended := studio.states(jobs)) < len(jobs):
        for path in PAGES:
            studio.page(path)
            time.sleep(options.pause)
        studio.upload(small(number))
        number += 1
    minutes = (time.monotonic() - began) / 60
    done = [job for job in ended.values() if job["state"] == "done"]
    report["photos of 1 megapixel per minute"] = round(len(done) / minutes, 2)
    report["faces found"] = sum(len(job["result"]["faces"]) for job in done)
    report["failed"] = len(ended) - len(done)
    report |= {name: percentiles(times) for name, times in studio.seconds.items()}
    for number in range(options.uploads):
        studio.upload(small(100_000 + number))
        if (number + 1) % 250 == 0:
            report[f"memory after {number + 1} uploads, MB"] = round(memory(options.pid), 1)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
