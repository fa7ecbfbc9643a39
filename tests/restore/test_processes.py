"""One restorer in several processes: pickled, and after a fork."""

import multiprocessing
import pickle

import numpy as np
import pytest
from helpers.fakes import Known, Nearest, noise

from faceskd.common.errors import ConfigError
from faceskd.portraits import render_portrait
from faceskd.restore.photo import PhotoSettings, photo_detector
from faceskd.restore.restorer import Restorer

pytestmark = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="this system has no fork"
)
SECONDS = 120
"""More than enough; a process that waits for threads of its parent never answers."""


@pytest.fixture(scope="module")
def photos():
    return [render_portrait(number, size=128).image for number in (3, 8)]


@pytest.fixture(params=["network", "onnx"])
def restorer(request, onnx_file, photos):
    weights = Nearest() if request.param == "network" else onnx_file
    restorer = Restorer(weights, precision="fp32", detector=photo_detector(40), batch_size=3)
    restorer(photos[0])  # all its threads have run
    return restorer


def test_a_pickled_restorer_does_the_same_and_is_small(restorer, photos):
    data = pickle.dumps(restorer)
    assert len(data) < 20_000
    again = pickle.loads(data)
    assert (again.precision, again.batch_size) == (restorer.precision, 3)
    assert again.detector.min_face == 40
    np.testing.assert_array_equal(again(photos[0]).image, restorer(photos[0]).image)


def test_a_subclass_comes_back_as_itself():
    class Own(Restorer):
        pass

    globals()["Own"] = Own
    Own.__qualname__ = "Own"
    assert type(pickle.loads(pickle.dumps(Own(Nearest(), detector=Known())))) is Own


def test_a_network_is_pickled_as_it_was():
    network = Nearest()
    restorer = Restorer(network, precision="fp32", detector=Known())
    network.gain.data.fill_(0)
    face = noise(32, 32, 3)
    assert pickle.loads(pickle.dumps(restorer)).aligned(face).max() > 0


def test_forked_workers_restore_photos(restorer, photos):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        results = pool.map_async(restorer, photos * 2).get(SECONDS)
    for photo, result in zip(photos * 2, results, strict=True):
        np.testing.assert_array_equal(result.image, restorer(photo).image)


def _inherited(_):
    for call in (INHERITED.aligned, INHERITED):
        try:
            call(np.zeros((40, 40, 3), np.uint8))
        except ConfigError as error:
            assert "pool.map(restorer, photos)" in str(error)
        else:
            return "answered"
    return "refused"


def test_an_inherited_restorer_refuses_at_once(restorer):
    global INHERITED
    INHERITED = restorer
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.map_async(_inherited, [0]).get(SECONDS) == ["refused"]


def test_settings_and_results_can_be_pickled(restorer, photos):
    result = restorer.photos(photos[:1], PhotoSettings(scale=1))[0]
    again = pickle.loads(pickle.dumps(result))
    np.testing.assert_array_equal(again.image, result.image)
    assert [face.status for face in again.faces] == [face.status for face in result.faces]
