"""Profiles: work and memory as counted by hand, times from file to file, and what is left out."""

import numpy as np
import pytest
import torch
from helpers.tiny_profiles import SMALL_MACS, Small, quick

from faceskd.common.errors import ConfigError
from faceskd.common.images import read_image, to_tensor, to_uint8
from faceskd.data.sample_faces import sample_lr_faces
from faceskd.profiling.end_to_end import FileStore
from faceskd.profiling.landmarks import typical_boxes
from faceskd.profiling.passes import Pass, make_passes
from faceskd.profiling.subjects import Subject
from faceskd.profiling.work import count_macs, load_subjects

CPU = torch.device("cpu")


class Boxed(Small):
    """Needs boxes, and draws the last coordinate of the first face's into the SR face."""

    needs_boxes = True

    def forward_features(self, lr, boxes=None):
        assert boxes is not None
        return lr.repeat_interleave(8, 2).repeat_interleave(8, 3) * 0 + boxes[0, -1, -1], []


class Broken(Small):
    def forward_features(self, lr, boxes=None):
        raise RuntimeError("no kernel for this\nand a long dump")


class TestWork:
    def test_macs_equal_a_count_by_hand(self):
        assert count_macs(Small()) == SMALL_MACS

    @pytest.mark.parametrize("form", ["fp32", "bf16"])
    def test_a_row_is_of_one_face_and_a_prelude_counts_nothing(self, form):
        def prelude(enlarged):
            torch.ones(64, 64) @ torch.ones(64, 64)
            return typical_boxes(len(enlarged))

        row = quick({"a": Subject(Small, form, prelude)}, batch_sizes=[3]).rows[0]
        assert row.macs == SMALL_MACS
        assert row.parameters == 3 * 8 * 9 + 8 + 8 * 2 * 16 + 8 + 8 * 192 + 192


class TestEndToEnd:
    def test_what_is_written_is_what_the_network_makes_of_what_is_read(self, tmp_path):
        lr = sample_lr_faces(3)
        network = Small().eval()
        FileStore(lr, tmp_path).forward(network, 2)()
        written = [read_image(tmp_path / "sr" / f"{number}.png") for number in (0, 1)]
        with torch.inference_mode():
            expected = to_uint8(network(to_tensor(to_uint8(lr[:2]))))
        assert np.array_equal(np.stack(written), expected)
        assert not (tmp_path / "sr" / "2.png").exists()

    def test_it_has_a_column_where_the_boxes_can_be_found(self):
        subjects = {
            "free": Subject(Small),
            "given": Subject(Boxed),
            "found": Subject(Boxed, prelude=lambda x: typical_boxes(len(x))),
        }
        rows = {row.name: row for row in quick(subjects, end_to_end=True).rows}
        assert rows["given"].file_to_file_ms is None
        for name in ("free", "found"):
            assert rows[name].file_to_file_p90_ms >= rows[name].file_to_file_ms > 0

    def test_the_files_are_restored_by_boxes_that_are_found(self, tmp_path):
        subject = Subject(Boxed, prelude=lambda x: torch.full((len(x), 4, 4), 0.2))
        loaded = load_subjects({"a": subject}, [1], CPU)
        store = FileStore(sample_lr_faces(1), tmp_path)
        calls = make_passes(
            {"a": subject}, loaded, sample_lr_faces(1), batch_sizes=[1], store=store
        )
        calls[Pass("a", 1, 1, files=True)]()
        assert (read_image(tmp_path / "sr" / "0.png") == 51).all()


class TestLeftOut:
    def test_others_are_measured(self):
        subjects = {"broken": Subject(Broken), "half": Subject(Small, "fp16"), "a": Subject(Small)}
        profile = quick(subjects, reference="a", left_out={"b@onnx": "no extra"})
        assert [row.name for row in profile.rows] == ["a"]
        assert profile.left_out.pop("b@onnx") == "no extra"
        assert set(profile.left_out) == {"broken", "half"}
        assert "no kernel for this" in profile.left_out["broken"]
        assert "GPU" in profile.left_out["half"]

    def test_nothing_is_left(self):
        with pytest.raises(ConfigError, match=r"at least one model that can run.*GPU"):
            quick({"half": Subject(Small, "fp16")})

    def test_too_long(self):
        with pytest.raises(ConfigError, match="longest=0"):
            quick({"a": Subject(Small)}, longest=0)

    def test_no_subject(self):
        with pytest.raises(ConfigError, match="at least one model"):
            quick({})
        with pytest.raises(ConfigError, match=r"at least one model.*a@onnx: no extra"):
            quick({}, left_out={"a@onnx": "no extra"})

    @pytest.mark.parametrize(
        "settings",
        [{"batch_sizes": []}, {"batch_sizes": [0]}, {"batch_sizes": ["abc"]}, {"repeats": 0},
         {"threads": [0]}, {"warmup": -1}, {"reference": "nobody"}],
        ids=str,
    )  # fmt: skip
    def test_impossible_settings(self, settings):
        with pytest.raises(ConfigError, match=r"^expected"):
            quick({"a": Subject(Small)}, **settings)

    def test_a_reference_that_is_left_out(self):
        with pytest.raises(ConfigError, match="a reference that can run, got b@onnx: no extra"):
            quick({"a": Subject(Small)}, reference="b@onnx", left_out={"b@onnx": "no extra"})
