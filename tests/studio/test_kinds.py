"""The kinds of restoration: which are offered, and what they do."""

import io
import json

import numpy as np
import pytest
from helpers.studio import FakeRestorer, Place, code, picture, restore, upload
from PIL import Image

from faceskd.models.cyclegan import TRANSLATION, CycleGenerator
from faceskd.models.old_photo import OldPhotoNet
from faceskd.models.scene import SceneNet
from faceskd.models.weights import save_network
from faceskd.studio.errors import Refusal
from faceskd.studio.kinds import all_kinds, available_kinds
from faceskd.studio.kinds.base import Tools
from faceskd.studio.problems import Problem
from faceskd.studio.settings import Settings

SCENE = {"width": 8, "blocks": 1, "narrow": 8}


def offered(client):
    items = client.get("/api/v1/kinds").json()["items"]
    return {kind["name"]: {option["name"]: option for option in kind["options"]} for kind in items}


def done(client, key):
    job = client.get(f"/api/v1/jobs/{key}").json()
    assert job["state"] == "done", job
    answer = client.get(job["result"]["file"])
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB"))


def weights(path, network, **metadata):
    """A file of a network with its random weights."""
    kind, options = network
    target = f"{kind.__module__}.{kind.__qualname__}"
    save_network(path, kind(**options), {"_target_": target, **options}, metadata)
    return path


def studio(tmp_path, database, **settings):
    place = Place(tmp_path, database, **settings)
    return place, place.browser("Mina")


def test_kinds_are_found_by_their_files():
    assert list(all_kinds()) == ["photo", "face", "drawing", "old", "translation", "none"]


def test_without_weights_of_the_operator_three_kinds_are_offered(monkeypatch):
    monkeypatch.setattr("faceskd.studio.kinds.drawing.available_models", lambda: [])
    assert list(available_kinds(Settings())) == ["photo", "face", "none"]


def test_a_kind_without_weights_is_refused(tmp_path, sqlite_url):
    place, client = studio(tmp_path, sqlite_url)
    body = {"photos": [upload(client)], "kind": "translation"}
    answer = client.post("/api/v1/jobs", json=body)
    assert (answer.status_code, code(answer)) == (422, "invalid")
    place.close()


def test_a_translation_has_the_size_of_the_photo(tmp_path, sqlite_url):
    network = CycleGenerator, {"width": 4, "blocks": 1}
    files = {
        title: str(weights(tmp_path / f"{number}.safetensors", network, **{TRANSLATION: title}))
        for number, title in enumerate(("Day to night", "Night to day"))
    }
    place, client = studio(tmp_path, sqlite_url, translations=files)
    (option,) = offered(client)["translation"].values()
    assert [choice["value"] for choice in option["choices"]] == list(files)
    results = []
    for title in files:
        photo = upload(client, picture(70, 50))
        key = restore(client, photo, "translation", options={"into": title})
        place.work()
        results.append(done(client, key))
    assert results[0].shape == (50, 70, 3)
    assert (results[0] != results[1]).any()
    place.close()


def test_translations_are_set_in_the_environment(monkeypatch):
    given = {"Day to night": "night.safetensors"}
    monkeypatch.setenv("FACESKD_STUDIO_TRANSLATIONS", json.dumps(given))
    assert "translation" in available_kinds(Settings())


@pytest.mark.parametrize("scale", [1, 2])
def test_a_drawing_is_enlarged(tmp_path, sqlite_url, monkeypatch, scale):
    path = weights(tmp_path / "net.safetensors", (SceneNet, SCENE))
    asked = []

    def model_path(name, *, role):
        asked.append((name, role))
        return path

    monkeypatch.setattr("faceskd.studio.kinds.drawing.model_path", model_path)
    monkeypatch.setattr("faceskd.studio.kinds.drawing.Drawing.available", True)
    place, client = studio(tmp_path, sqlite_url)
    options = {"scale": scale, "noise": "3"}
    key = restore(client, upload(client, picture(70, 50)), "drawing", options=options)
    place.work()
    assert done(client, key).shape == (50 * scale, 70 * scale, 3)
    assert asked == [("drawing-3", "scene")]
    place.close()


def test_drawings_of_the_operator_are_the_levels_that_are_offered(tmp_path, sqlite_url):
    path = weights(tmp_path / "net.safetensors", (SceneNet, SCENE))
    place, client = studio(tmp_path, sqlite_url, drawings={"3": str(path)})
    noise = offered(client)["drawing"]["noise"]
    assert ([choice["value"] for choice in noise["choices"]], noise["default"]) == (["3"], "3")
    key = restore(client, upload(client, picture(70, 50)), "drawing", options={"scale": 1})
    place.work()
    assert done(client, key).shape == (50, 70, 3)
    place.close()


def test_a_drawing_to_which_nothing_would_be_done_is_refused():
    kind = available_kinds(Settings(drawings={"0": "net.safetensors"}))["drawing"]
    with pytest.raises(Refusal, match="There is nothing to do"):
        kind.check({"scale": "1", "noise": "0"})
    assert kind.check({"scale": "1.5", "noise": "0"}) == {"scale": 1.5, "noise": "0"}


def test_the_transparency_of_one_face_is_that_of_its_square(lite):
    client = lite.browser("Mina")
    pixels = np.full((40, 90, 4), 200, np.uint8)
    pixels[..., 3] = 0
    pixels[:, 25:65, 3] = 255
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    key = restore(client, upload(client, file.getvalue()), "face")
    lite.work()
    result = Image.open(io.BytesIO(client.get(f"/api/v1/jobs/{key}/file").content))
    assert np.asarray(result)[..., 3].min() == 255


def test_a_repair_runs_where_the_worker_does_and_not_for_nothing(monkeypatch):
    asked = []

    def repair(*given):
        asked.append(given)
        return lambda picture, name: (picture, None, "")

    monkeypatch.setattr("faceskd.studio.kinds.old._repair", repair)
    restorer = FakeRestorer()
    tools = Tools(lambda: restorer, lambda: restorer, max_pixels=4000, device="cuda:7")
    kind = available_kinds(Settings(old_model="old.safetensors"))["old"]
    kind.restore(tools, [np.zeros((40, 50, 3), np.uint8)], {"scale": 1})
    assert asked == [("old.safetensors", None, "cuda:7")]
    with pytest.raises(Problem, match="more than 4,000 pixels"):
        kind.restore(tools, [np.zeros((40, 50, 3), np.uint8)], {"scale": 2})
    assert len(asked) == 1


def test_an_old_photograph_is_repaired_then_enlarged(tmp_path, sqlite_url):
    options = {"widths": [4, 4, 4], "latent": 4, "blocks": 1, "width": 8, "mapping": [1, 1, 1]}
    old = weights(tmp_path / "old.safetensors", (OldPhotoNet, options))
    place, client = studio(tmp_path, sqlite_url, old_model=str(old))
    assert list(offered(client)["old"]) == ["scale"]
    key = restore(client, upload(client, picture(70, 50)), "old", options={"scale": 2})
    place.work()
    result = done(client, key)
    assert result.shape == (100, 140, 3)
    assert place.restorer.batches == [1]
    place.close()


def test_scratches_are_an_option_where_their_detector_is(tmp_path):
    settings = Settings(old_model="old.safetensors", scratch_model="scratches.safetensors")
    (_, scratches) = available_kinds(settings)["old"].options
    assert (scratches.name, scratches.default) == ("scratches", True)
