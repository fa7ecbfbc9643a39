"""Garbage is not looked for within the block, and as before after it."""

import gc

import pytest

from faceskd.common.importing import without_collection


@pytest.fixture(autouse=True)
def as_it_was():
    enabled = gc.isenabled()
    yield
    (gc.enable if enabled else gc.disable)()


def test_collection_pauses_and_goes_on():
    gc.enable()
    with without_collection():
        assert not gc.isenabled()
        with without_collection():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_it_goes_on_after_an_import_that_failed():
    gc.enable()
    with pytest.raises(ModuleNotFoundError), without_collection():
        import nothing_of_this_name  # noqa: F401
    assert gc.isenabled()


def test_who_had_turned_it_off_keeps_it_off():
    gc.disable()
    with without_collection():
        pass
    assert not gc.isenabled()
