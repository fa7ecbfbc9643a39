"""Photographed, generated and drawn faces: what is known of each, and how many train together."""

import shutil
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceskd.common.errors import ConfigError, FacesError
from faceskd.data.dataset import FaceData, FaceDataset
from faceskd.data.degradation import Clean
from faceskd.data.manifest import faces_sha256, read_manifest, write_manifest
from faceskd.data.prepare import prepare
from faceskd.data.stream import StreamSampler
from faceskd.faces.align import AlignedCrop
from faceskd.portraits.folder import write_portraits


class NoFaces:
    """A detector for aligned faces, whose landmarks do not matter."""

    min_face = 1

    def __repr__(self):
        return "NoFaces()"

    def fetch(self):
        pass

    def detect(self, image):
        return []


@pytest.fixture
def faces(prepared_faces, tmp_path):
    """Of 24 training faces every third is generated, as of 4 validation faces."""
    folder = shutil.copytree(prepared_faces, tmp_path / "faces")
    kinds = {0: "generated", 1: "photograph", 2: "photograph"}
    records = read_manifest(folder)
    write_manifest(folder, [replace(r, kind=kinds[i % 3]) for i, r in enumerate(records)])
    return folder


def data(faces, **options):
    return FaceData(faces=faces, degradation=Clean(), **options)


@given(
    length=st.integers(2, 40), share=st.integers(1, 39), batch=st.integers(1, 12),
    most=st.integers(0, 12), world=st.integers(1, 3), epoch=st.integers(0, 3),
)  # fmt: skip
def test_no_batch_has_more_than_most_and_no_face_is_forgotten(
    length, share, batch, most, world, epoch
):
    limited = list(range(min(share, length - 1)))
    keys = []
    for rank in range(world):
        sampler = StreamSampler(
            length, batch_size=batch, steps=4 * length, rank=rank, world=world,
            limited=limited, most=min(most, batch),
        )  # fmt: skip
        sampler.set_epoch(epoch)
        own = list(sampler)
        assert len(own) == len(sampler)
        for start in range(0, len(own), batch):
            taken = sum(index < len(limited) for _, index in own[start : start + batch])
            assert taken <= most
        keys += own
    share = min(Fraction(len(limited), length), Fraction(min(most, batch), batch))
    taken = sum(index < len(limited) for _, index in keys)
    assert abs(taken - share * len(keys)) <= world
    assert len(set(keys)) == len(keys)
    assert {index for _, index in keys} >= set(range(len(limited), length))
    assert not limited or not share or {index for _, index in keys} >= set(limited[:1])


def test_an_epoch_goes_on_where_the_last_one_ended():
    options = {"batch_size": 4, "seed": 3, "limited": [1, 4, 5], "most": 1}
    sampler = StreamSampler(10, steps=3, **options)
    parts = []
    for epoch in range(4):
        sampler.set_epoch(epoch)
        parts += list(sampler)
    assert parts == list(StreamSampler(10, steps=12, **options))


def test_the_share_in_batches_of_the_loader(faces):
    loaded = data(faces, batch_size=4, steps_per_epoch=12, most_generated=0.25)
    kinds = {r.face.split("/")[1].removesuffix(".png"): r.kind for r in loaded.train.records}
    for batch in loaded.train_dataloader():
        assert sum(kinds[name] == "generated" for name in batch["name"]) == 1
    everywhere = data(faces, batch_size=4, steps_per_epoch=12).train_dataloader()
    assert sum(kinds[n] == "generated" for b in everywhere for n in b["name"]) == 16


def test_a_face_is_mixed_with_its_like_only(faces):
    def partner(hr, boxes, rng, another):
        return another()

    loaded = data(faces, batch_size=4, most_generated=0.25, augment=partner)
    plain = FaceDataset(faces, "train", Clean())
    of = {plain[i]["hr"].numpy().tobytes(): r.kind for i, r in enumerate(plain.records)}
    for epoch in range(3):
        for index, record in enumerate(loaded.train.records):
            assert of[loaded.train[epoch, index]["hr"].numpy().tobytes()] == record.kind


def test_faces_of_which_nothing_is_known_are_refused(prepared_faces, faces):
    with pytest.raises(FacesError, match=r"does not say of 24 of 24 faces .* prepare them again"):
        data(prepared_faces, most_generated=0.25)
    with pytest.raises(FacesError, match="does not say of 4 of 4 faces"):
        FaceDataset(prepared_faces, "test", Clean(), kind="photograph")
    with pytest.raises(FacesError, match="kind 'drawn', got only"):
        FaceDataset(faces, "train", Clean(), kind="drawn")
    with pytest.raises(ConfigError, match=r"most_generated in \[0, 1\]"):
        data(faces, most_generated=2.0)
    records = [replace(r, kind="generated") for r in read_manifest(faces)]
    write_manifest(faces, records)
    with pytest.raises(ConfigError, match="all 24 training faces are generated"):
        data(faces, most_generated=0.25)


def test_one_kind_is_measured(faces):
    dataset = FaceDataset(faces, "train", Clean(), kind="generated")
    assert len(dataset) == 8
    assert {record.kind for record in dataset.records} == {"generated"}


def prepare_tiny(src, dst, **options):
    options = {"detector": NoFaces(), "crop": AlignedCrop(), "min_face": 32, "size": 32} | options
    return prepare(src, dst, processes=1, progress=False, **options)


def test_portraits_are_drawn_and_what_is_unknown_stays_so(tmp_path):
    src, dst = tmp_path / "portraits", tmp_path / "faces"
    write_portraits(src, count=6, size=128, processes=1)
    unknown = prepare_tiny(src, dst)
    assert {record.kind for record in unknown.records if record.status == "ok"} == {""}
    known = prepare_tiny(src, dst, split_file=src / "splits.csv", overwrite=True)
    assert {record.kind for record in known.records if record.status == "ok"} == {"drawn"}
    again = prepare_tiny(src, dst, split_file=src / "splits.csv")
    assert again.resumed == 6
    (src / "splits.csv").write_text("source,kind\ntrain/portrait-00000.png,painted\n")
    with pytest.raises(FacesError, match="kinds are"):
        prepare_tiny(src, dst, split_file=src / "splits.csv")


def test_the_hash_of_faces_is_that_of_manifest_and_pictures(faces):
    before = faces_sha256(faces)
    assert faces_sha256(faces) == before
    face = faces / read_manifest(faces)[0].face
    content = bytearray(face.read_bytes())
    content[-20] ^= 1
    face.write_bytes(content)
    changed = faces_sha256(faces)
    assert changed != before
    write_manifest(faces, [replace(r, kind="drawn") for r in read_manifest(faces)])
    assert faces_sha256(faces) not in (before, changed)
    face.unlink()
    with pytest.raises(FacesError, match="is missing"):
        faces_sha256(faces)
