"""The data: the same faces in the same order, whoever makes them and wherever a run resumes."""

import shutil
from itertools import chain, islice

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from faceskd.common.errors import ConfigError, FacesError, FaceskdError
from faceskd.common.images import read_image, write_image
from faceskd.data.augment.geometry import SimilarityJitter
from faceskd.data.dataset import FaceData, FaceDataset
from faceskd.data.degradation import Clean, Eq8
from faceskd.data.manifest import read_manifest
from faceskd.data.stream import StreamSampler


@pytest.fixture
def dataset(prepared_faces):
    return FaceDataset(prepared_faces, "train", Eq8(), augment=SimilarityJitter(), seed=3)


@pytest.fixture
def faces_copy(prepared_faces, tmp_path):
    return shutil.copytree(prepared_faces, tmp_path / "faces")


def face_data(prepared_faces, **options):
    return FaceData(faces=prepared_faces, degradation=Eq8(), **options)


def same(first, second):
    return all(
        torch.equal(value, second[key]) if torch.is_tensor(value) else value == second[key]
        for key, value in first.items()
    )


# Items.


def test_an_item_is_a_pair_with_boxes_and_landmarks(dataset):
    item = dataset[0]
    shapes = {key: tuple(value.shape) for key, value in item.items() if key != "name"}
    expected = {"lr": (3, 32, 32), "hr": (3, 256, 256), "boxes": (4, 4), "landmarks": (5, 2)}
    assert shapes == expected
    assert item["name"] == "person-000000"
    for key in ("lr", "hr"):
        assert item[key].dtype == torch.float32
        assert 0 <= item[key].min() < 0.5 < item[key].max() <= 1


def test_without_augmentation_hr_is_the_file(prepared_faces):
    dataset = FaceDataset(prepared_faces, "val", Clean())
    record = read_manifest(prepared_faces, "val")[1]
    image = read_image(prepared_faces / record.face)
    item = dataset[1]
    np.testing.assert_array_equal(item["hr"].numpy(), image.transpose(2, 0, 1) / np.float32(255))
    np.testing.assert_allclose(item["boxes"].numpy(), record.boxes, atol=1e-3)


def test_seed_epoch_and_index_alone_decide(prepared_faces, dataset):
    again = FaceDataset(prepared_faces, "train", Eq8(), augment=SimilarityJitter(), seed=3, cache=0)
    torch.rand(5)
    np.random.default_rng().random()
    assert same(dataset[2, 5], again[2, 5])
    assert same(dataset[2, 5], dataset[2, 5])
    assert same(dataset[0, 5], dataset[5])
    assert not torch.equal(dataset[2, 5]["lr"], dataset[3, 5]["lr"])
    other = FaceDataset(prepared_faces, "train", Eq8(), augment=SimilarityJitter(), seed=4)
    assert not torch.equal(dataset[2, 5]["lr"], other[2, 5]["lr"])


def test_the_cache_keeps_faces_unspoilt(prepared_faces, dataset):
    first = dataset[0, 1]["hr"].clone()
    for epoch in range(4):
        dataset[epoch, 1]["hr"].zero_()
    assert torch.equal(dataset[0, 1]["hr"], first)


def test_the_cache_has_an_end(prepared_faces):
    dataset = FaceDataset(prepared_faces, "train", Eq8(), cache=3)
    first = [dataset[i]["hr"] for i in range(6)]
    assert len(dataset.cache) == 3
    assert all(torch.equal(dataset[i]["hr"], first[i]) for i in range(6))


def names(data):
    return [data[index]["name"] for index in range(len(data))]


def test_a_limit_draws_faces_at_random(prepared_faces):
    """Not the first: a manifest is sorted, and the first half of ours was all of one source."""
    everything = names(face_data(prepared_faces).train)
    draws = {
        tuple(names(face_data(prepared_faces, train_limit=8, seed=seed).train)) for seed in range(4)
    }
    assert len(draws) == 4
    for draw in draws:
        assert len(set(draw)) == 8
        assert list(draw) == [name for name in everything if name in draw]
    firsts = {draw[:4] == tuple(everything[:4]) for draw in draws}
    assert firsts == {False}


def test_a_limit_repeats_itself_and_smaller_ones_are_in_larger_ones(prepared_faces):
    few, same, more, all_of_them = (
        names(face_data(prepared_faces, train_limit=limit, seed=3).train)
        for limit in (5, 5, 12, 1000)
    )
    assert few == same
    assert set(few) < set(more) < set(all_of_them)
    assert len(all_of_them) == 24


def test_every_seed_validates_on_the_same_faces(prepared_faces):
    """Degraded in the same way, too."""
    first, second = (face_data(prepared_faces, val_limit=2, seed=seed).val for seed in (0, 1))
    assert names(first) == names(second)
    assert all(same(first[index], second[index]) for index in range(2))


# Loaders.


def batches(data, epoch=0):
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)
    return list(loader)


@pytest.mark.parametrize("workers", [1, 2])
def test_batches_do_not_depend_on_workers(prepared_faces, workers):
    settings = {"batch_size": 3, "steps_per_epoch": 3, "augment": SimilarityJitter(), "seed": 1}
    alone = batches(face_data(prepared_faces, workers=0, **settings))
    helped = batches(face_data(prepared_faces, workers=workers, **settings))
    assert len(alone) == len(helped) == 3
    assert all(same(a, h) for a, h in zip(alone, helped, strict=True))


@pytest.mark.parametrize("workers", [0, 1])
def test_loaders_leave_the_global_generator_alone(prepared_faces, workers):
    """Else a resumed run, whose loaders start anew, would go on with other random numbers."""
    data = face_data(prepared_faces, batch_size=2, steps_per_epoch=1, workers=workers)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    list(data.train_dataloader())
    list(data.val_dataloader())
    assert torch.equal(torch.get_rng_state(), before)


def test_validation_is_frozen(prepared_faces):
    data = face_data(prepared_faces, batch_size=3, augment=SimilarityJitter())
    first, again = list(data.val_dataloader()), list(data.val_dataloader())
    assert [len(batch["hr"]) for batch in first] == [3, 1]
    assert all(same(a, b) for a, b in zip(first, again, strict=True))
    fresh = list(face_data(prepared_faces, batch_size=3).val_dataloader())
    assert all(same(a, b) for a, b in zip(first, fresh, strict=True))
    limited = face_data(prepared_faces, batch_size=3, val_limit=2).val_dataloader()
    assert len(limited.dataset) == 2


def test_images_come_in_the_networks_memory_format(prepared_faces):
    data = face_data(prepared_faces, batch_size=2, steps_per_epoch=1)
    batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    for name in ("lr", "hr"):
        assert batch[name].is_contiguous(memory_format=torch.channels_last)


# The stream.

streams = {
    "length": st.integers(1, 30),
    "batch_size": st.integers(1, 5),
    "steps": st.integers(1, 6),
    "seed": st.integers(0, 2**31),
}


def stream(epochs, **options):
    sampler = StreamSampler(**options)
    keys = []
    for epoch in epochs:
        sampler.set_epoch(epoch)
        part = list(sampler)
        assert len(part) == len(sampler) == options["batch_size"] * options["steps"]
        keys.append(part)
    return keys


@given(**streams, epochs=st.integers(1, 5))
def test_chunks_are_one_stream(length, batch_size, steps, seed, epochs):
    options = {"length": length, "batch_size": batch_size, "seed": seed}
    parts = stream(range(epochs), steps=steps, **options)
    (whole,) = stream([0], steps=steps * epochs, **options)
    assert list(chain(*parts)) == whole


@given(**streams, epochs=st.integers(1, 3))
def test_every_face_comes_once_an_epoch(length, batch_size, steps, seed, epochs):
    needed = -(-epochs * length // (batch_size * steps))
    options = {"length": length, "batch_size": batch_size, "steps": steps, "seed": seed}
    keys = islice(chain(*stream(range(needed), **options)), epochs * length)
    assert sorted(keys) == [(e, i) for e in range(epochs) for i in range(length)]


@given(**streams, epoch=st.integers(0, 4))
def test_a_resumed_stream_goes_on_where_it_was(length, batch_size, steps, seed, epoch):
    options = {"length": length, "batch_size": batch_size, "steps": steps, "seed": seed}
    uninterrupted = stream(range(epoch + 2), **options)
    assert stream([epoch, epoch + 1], **options) == uninterrupted[epoch:]


@given(**streams, world=st.integers(1, 4))
def test_processes_share_the_stream_out(length, batch_size, steps, seed, world):
    options = {"length": length, "steps": steps, "seed": seed}
    ranks = [
        list(chain(*stream([0, 1], batch_size=batch_size, rank=rank, world=world, **options)))
        for rank in range(world)
    ]
    whole = list(chain(*stream([0, 1], batch_size=batch_size * world, **options)))
    assert list(chain(*zip(*ranks, strict=True))) == whole


def test_epochs_are_shuffled_anew():
    keys = stream([0], length=20, batch_size=40, steps=1, seed=0)[0]
    first, second = [i for e, i in keys if e == 0], [i for e, i in keys if e == 1]
    assert first != second
    assert first != sorted(first)
    other = stream([0], length=20, batch_size=40, steps=1, seed=1)[0]
    assert keys != other


# Errors.


def test_no_faces_given():
    with pytest.raises(ConfigError, match=r"set data\.faces to a folder"):
        FaceData(faces=None, degradation=Eq8())


def test_a_folder_without_manifest(tmp_path):
    with pytest.raises(FacesError, match="no manifest"):
        face_data(tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [{"batch_size": 0}, {"steps_per_epoch": 0}, {"workers": -1}, {"val_limit": 0}, {"cache": -1}],
)
def test_impossible_settings(prepared_faces, wrong):
    (name,) = wrong
    with pytest.raises(ConfigError, match=name):
        face_data(prepared_faces, **wrong)


def test_a_missing_crop_is_named_before_training(faces_copy):
    (faces_copy / "train" / "person-000007.png").unlink()
    with pytest.raises(FacesError, match=r"1 of 24 faces .*person-000007"):
        face_data(faces_copy)


def test_a_damaged_crop_is_named(faces_copy):
    (faces_copy / "val" / "person-000024.png").write_bytes(b"no picture")
    with pytest.raises(FaceskdError, match="person-000024"):
        next(iter(face_data(faces_copy).val_dataloader()))


def test_crops_of_another_size_are_refused(faces_copy):
    write_image(faces_copy / "val" / "person-000024.png", np.zeros((128, 128, 3), np.uint8))
    with pytest.raises(FacesError, match="expected faces of 256x256 pixels, got 128x128"):
        next(iter(face_data(faces_copy).val_dataloader()))
