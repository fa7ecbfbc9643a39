"""What went wrong is kept as a code with values, and told in the language of the reader."""

import re

import numpy as np
import pytest
from helpers.studio import picture, restore, upload

from faceskd.common.errors import DiskFullError, ImageError, WeightsError
from faceskd.studio import pictures
from faceskd.studio.errors import Refusal
from faceskd.studio.problems import TEXTS, Problem
from faceskd.studio.storage import disk_full
from faceskd.studio.tables import Job


def test_a_failed_job_is_told_in_the_language_of_who_asks(lite):
    client = lite.browser("Mina")
    photo, lost = upload(client), upload(client, picture(seed=1))
    lite.work()
    restore(client, photo, "photo", options={"scale": 8})
    restore(client, lost)
    lite.settings.max_result_pixels = 1000
    client.delete(f"/api/v1/photos/{lost}")
    lite.work()
    with lite.database.read() as session:
        stored = [job.error for job in session.query(Job).order_by(Job.created) if job.error]
    assert stored == [
        {"code": "result_too_large", "values": {"limit": "1,000"}},
        {"code": "photo_deleted", "values": {}},
    ]
    english = client.get("/jobs").text
    assert "more than 1,000 pixels" in english
    assert "The photo was deleted before" in english
    client.cookies.set("language", "ko")
    korean = client.get("/jobs").text
    assert "1,000픽셀" in korean
    assert "pixels" not in re.sub("<script.*?</script>", "", korean, flags=re.S)
    assert "작업이 끝나기 전에 사진이 삭제되었습니다." in korean


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (WeightsError("lite.safetensors: no such file"), "no_model"),
        (ImageError("a face without pixels"), "failed"),
        (disk_full(), "disk_full"),
        (DiskFullError("cannot write 'a.png'"), "disk_full"),
        (Refusal(422, "invalid", "The square is not inside the photo."), "failed"),
        (MemoryError(), "no_memory"),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA"), "no_memory"),
        (KeyError("a secret"), "unexpected"),
    ],
)
def test_every_error_has_a_code(error, code):
    problem = Problem.of(error)
    assert problem.code == code
    assert "secret" not in str(problem)
    assert str(Problem.from_stored(problem.stored)) == str(problem)


def test_a_code_of_a_newer_worker_is_no_error():
    problem = Problem.from_stored({"code": "new", "values": {"size": "1"}})
    assert (problem.code, problem.values) == ("unexpected", {"reason": "new"})


def test_scripts_know_all_texts(lite):
    page = lite.browser("Mina").get("/").text
    for code in TEXTS:
        assert f'"{code}": ' in page


def test_a_result_that_is_too_long_for_its_format_becomes_png():
    wide = np.zeros((1, 16_384, 3), np.uint8)
    assert pictures.suffix_of("WebP", wide) == "png"
    assert pictures.suffix_of("WebP", wide[:, 1:]) == "webp"
    assert pictures.suffix_of("JPEG", wide) == "jpg"
