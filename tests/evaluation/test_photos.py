"""Evaluation on whole photos: what is compared, and with what."""

import csv
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from helpers.fakes import Known, face_at, noise
from PIL import Image

from faceskd.commands.evaluate import _refuse_without_effect
from faceskd.common.errors import ConfigError, FacesError, WeightsError
from faceskd.common.images import write_image
from faceskd.evaluation.photo_report import Examples, summary_rows, write_photo_report
from faceskd.evaluation.photos import HR, LANCZOS, evaluate_photos, photo_case, resized
from faceskd.evaluation.portraits import Portraits, check_sizes
from faceskd.metrics import MetricSuite
from faceskd.models.photo import PhotoNet
from faceskd.models.weights import save_network
from faceskd.portraits import render_portrait
from faceskd.restore.evaluation import OPTIONS, evaluate_photo_files

SIDE = 300
METRICS = ("psnr", "grid_index", "ita", "skin_L", "skin_a", "skin_b")


@pytest.fixture(scope="module")
def portraits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("portraits")
    for number in range(3):
        image = render_portrait(number, size=512).image
        Image.fromarray(image).save(folder / f"p{number}.png")
    return folder


def cases(portraits, *sizes, count=2):
    detector = Known((256, 250, SIDE))
    found = Portraits(portraits)
    found.paths = found.paths[:count]
    return list(found.cases(sizes, detector=detector))


def test_a_case_shows_the_face_at_its_size(portraits):
    small, large = cases(portraits, 40, 300, count=1)
    assert small.hr.shape[0] == round(512 * 256 / SIDE) and small.face.height == pytest.approx(256)
    assert small.photo.shape[0] == pytest.approx(512 * 40 / SIDE, abs=1)
    assert small.scale == pytest.approx(256 / 40)
    assert large.hr.shape == large.photo.shape == (512, 512, 3) and large.scale == 1
    assert small.square(small.hr).shape == (384, 384, 3)
    eyes = small.landmarks[1, 0] - small.landmarks[0, 0]
    assert eyes == pytest.approx(256 * 0.3074, abs=3)  # of the template at 1.25, for a frame of 1


def test_cases_repeat_and_differ(portraits):
    first, again = cases(portraits, 40), cases(portraits, 40)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.photo, other.photo)
    assert (first[0].photo.shape != first[1].photo.shape) or (
        first[0].photo != first[1].photo
    ).any()


def test_faces_that_are_too_small_are_left_out(portraits):
    assert [case.size for case in cases(portraits, 40, 400, count=1)] == [40]
    with pytest.raises(FacesError, match="at least 400 px"):
        cases(portraits, 400)
    with pytest.raises(ConfigError, match="at least 400 px"):
        photo_case("p", noise(512, 512, 3), face_at(256, 250, SIDE), 400, np.random.default_rng(0))


class Sometimes(Known):
    """Finds nothing in black pictures."""

    def detect(self, image):
        return super().detect(image) if image.any() else []


def test_what_is_left_out_or_enlarged_is_noted(portraits, tmp_path):
    for name in ("a/p.png", "b/p.png"):
        (tmp_path / name).parent.mkdir()
        shutil.copy(portraits / "p0.png", tmp_path / name)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "raw.CR2").write_bytes(b"raw")
    write_image(tmp_path / "dark.png", np.zeros((512, 512, 3), np.uint8))
    found = Portraits(tmp_path)
    given = list(found.cases([40, 64], detector=Sometimes((256, 250, SIDE))))
    assert [case.name for case in given] == ["a/p", "a/p", "b/p", "b/p"]
    assert set(found.left_out) == {"raw.CR2", "broken", "dark"}
    assert found.left_out["dark"] == "no face of at least 40 px"
    assert found.enlarged == []
    assert list(found.cases([40], detector=Known((256, 250, 200))))
    assert found.enlarged == ["a/p", "b/p", "dark"]


def test_methods_are_measured_against_lanczos(portraits):
    given = cases(portraits, 40, 64)

    def oracle(photo, scale):
        case = next(case for case in given if case.photo is photo)
        return case.hr

    def darker(photo, scale):
        size = [round(side * scale) for side in photo.shape[1::-1]]
        return (resized(photo, size) * 0.9).astype(np.uint8)

    shown = Examples(1)
    evaluation = evaluate_photos(
        {"oracle": oracle, "darker": darker}, given, MetricSuite(METRICS), on_case=shown
    )
    rows = {(row["face"], row["method"]): row for row in evaluation.rows()}
    assert list(rows)[:4] == [(40, name) for name in (LANCZOS, "oracle", "darker", HR)]
    for size in (40, 64):
        assert rows[size, "oracle"]["psnr_gain"] > 10 > 0 > rows[size, "darker"]["psnr_gain"]
        assert rows[size, "darker"]["skin_L"] < -3 < rows[size, LANCZOS]["skin_L"]
        assert rows[size, "oracle"]["grid_index"] == rows[size, HR]["grid_index"]
        low, high = evaluation.intervals()[size]["darker"]["psnr"]
        assert low <= rows[size, "darker"]["psnr_gain"] <= high < 0
    table = summary_rows(evaluation)
    assert table[1]["PSNR gain"].startswith("+") and " to " in table[1]["PSNR gain"]
    assert float(table[2]["skin"]) > 3 and "PSNR gain" not in table[0]


def test_the_report(portraits, tmp_path):
    given = cases(portraits, 64, count=3)
    shown = Examples(2)
    methods = {"same": lambda photo, scale: photo}
    evaluation = evaluate_photos(methods, given, MetricSuite(METRICS), on_case=shown)
    evaluation = replace(evaluation, left_out={"broken": "no image"})
    path = write_photo_report(evaluation, tmp_path, settings={"seed": 0}, examples=shown)
    text = path.read_text()
    assert "Portraits left out:\n\n- `broken`: no image\n" in text
    assert "| 64 | same | 3 |" in text and "darkest third" in text and "faces_64.png" in text
    with (tmp_path / "per_image.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 9  # three faces, by Lanczos, by "same", and HR
    with Image.open(tmp_path / "faces_64.png") as picture:
        assert picture.width > 3 * 256
    record = json.loads((tmp_path / "metrics.json").read_text())
    assert record["settings"] == {"seed": 0} and record["faces"] == 3
    figures, psnr = record["metrics"]["same"], evaluation.intervals()[64]["same"]["psnr"]
    assert figures["values"]["psnr_gain_64"] == evaluation.rows()[1]["psnr_gain"]
    assert figures["interval_95"]["psnr_64"] == list(psnr)


def test_the_command_on_files(portraits, tmp_path, capsys):
    from faceskd.commands.evaluate import main
    from faceskd.common.config import compose

    options = {"widths": [8, 8, 8], "blocks": 1, "mixing": [0, 0]}
    config = {"_target_": "faceskd.models.photo.PhotoNet", **options}
    save_network(tmp_path / "net.safetensors", PhotoNet(**options), config)
    words = [f"photos={portraits}", "limit=1", "sizes=[64]", f"out={tmp_path / 'out'}"]
    main.task(compose("evaluate", [*words, f"+methods.net={tmp_path}/net.safetensors"]))
    assert "report:" in capsys.readouterr().out
    assert "| 64 | net | 1 |" in (tmp_path / "out" / "report.md").read_text()


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"sizes": []}, ConfigError, "heights of faces"),
        ({"sizes": [40, 40]}, ConfigError, "heights of faces"),
        ({"methods": {}}, ConfigError, "at least one method"),
        ({"methods": {"a": "nowhere"}}, WeightsError, "nowhere"),
        ({"kind": "photograph"}, FacesError, "found none that the package's table"),
        ({"face_model": "nowhere.onnx"}, ConfigError, "nowhere"),
        ({"show": "all"}, ConfigError, "expected show as a whole number"),
        ({"seed": -1}, ConfigError, "expected seed as a whole number"),
    ],
)
def test_what_is_refused(portraits, tmp_path, change, error, message):
    given = {"photos": str(portraits), "out": str(tmp_path / "out"), "sizes": [40]}
    with pytest.raises(error, match=message):
        evaluate_photo_files(**{"methods": {"lite": "lite-m"}, **given, **change})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("sizes", [[], [24, 24], [7], ["a"], [24.5]])
def test_heights_that_cannot_be(sizes):
    with pytest.raises(ConfigError, match="expected different heights of faces from 8 to 1024 px"):
        check_sizes(sizes)


def test_one_height_is_a_list_of_one():
    assert check_sizes(64) == [64]


def test_options_of_prepared_faces_have_no_effect_on_photos(given_words):
    given_words("evaluate", "photos=a", "+methods.b=c", "split=val")
    with pytest.raises(ConfigError, match="got 'split=val', which has no effect"):
        _refuse_without_effect("photos", OPTIONS)


@pytest.mark.parametrize("word", ["limit=50", "sizes=[64]"])
def test_options_of_photos_have_no_effect_on_prepared_faces(given_words, word):
    from faceskd.commands.evaluate import main
    from faceskd.common.config import compose

    words = ["faces=a", "out=b", "+methods.b=c", "degradation=wide", word]
    cfg = compose("evaluate", words)
    given_words("evaluate", *words)
    with pytest.raises(ConfigError, match=f"got '{re.escape(word)}', which has no effect"):
        main.task(cfg)
