"""Folders of aligned faces, some files broken: the names of results, and what is reported."""

import csv
import sys

import numpy as np
import pytest
from helpers.fakes import noise
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from faceskd.commands.restore import main
from faceskd.common.errors import ConfigError, FaceskdError
from faceskd.common.images import write_image
from faceskd.restore.plan import plan_inputs
from faceskd.restore.results import COLUMNS, RESULTS
from faceskd.restore.stream import AlignedFaces, restore_inputs


@pytest.fixture
def inbox(tmp_path):
    folder = tmp_path / "in box"
    (folder / "sub").mkdir(parents=True)
    return folder


def rows(out):
    with (out / "results.csv").open(newline="") as file:
        return {row["source"]: row for row in csv.DictReader(file)}


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))


class TestNames:
    def plan(self, inbox, out, *names):
        for name in names:
            write_image(inbox / name, noise(4, 4, 3))
        return {input_file.source: input_file.name for input_file in plan_inputs(inbox, out)}

    def test_sub_folders_are_kept(self, inbox, tmp_path):
        names = self.plan(inbox, tmp_path / "out", "a.png", "sub/a.png")
        assert names == {"a.png": "a", "sub/a.png": "sub/a"}

    def test_same_stems_keep_their_suffixes(self, inbox, tmp_path):
        names = self.plan(inbox, tmp_path / "out", "a.jpg", "a.png", "b.jpg")
        assert names == {"a.jpg": "a_jpg", "a.png": "a_png", "b.jpg": "b"}

    def test_a_name_that_is_taken_gets_a_number(self, inbox, tmp_path):
        names = self.plan(inbox, tmp_path / "out", "a.jpg", "a.png", "a_jpg.png")
        assert names["a_jpg.png"] == "a_jpg"
        assert names["a.jpg"] == "a_jpg_2"

    @given(st.lists(st.sampled_from(["a", "A", "a_png", "a_jpg", "b"]), unique=True),
           st.sets(st.sampled_from([".png", ".jpg", ".JPG"]), min_size=1))  # fmt: skip
    @settings(max_examples=40, deadline=None)
    def test_no_two_results_share_a_name(self, tmp_path_factory, stems, suffixes):
        inbox = tmp_path_factory.mktemp("in")
        out = tmp_path_factory.mktemp("out")
        (inbox / "z.png").touch()
        for stem in stems:
            for suffix in suffixes:
                (inbox / (stem + suffix)).touch()
        outputs = [input_file.name.casefold() for input_file in plan_inputs(inbox, out)]
        assert len(set(outputs)) == len(outputs) == len(list(inbox.iterdir()))

    def test_results_below_the_inputs_are_no_inputs(self, inbox):
        out = inbox / "out"
        assert self.plan(inbox, out, "a.png", "out/a.png") == {"a.png": "a"}

    def test_a_result_never_replaces_an_input(self, inbox):
        with pytest.raises(ConfigError, match=r"'a\.png' would replace an input"):
            self.plan(inbox, inbox, "a.png")

    def test_results_of_an_earlier_run_in_place_are_no_inputs(self, inbox):
        write_image(inbox / "a.png", noise(4, 4, 3))
        write_image(inbox / "restored_imgs/a.png", noise(4, 4, 3))
        write_image(inbox / "cmp/a_00.png", noise(4, 4, 3))
        inputs = plan_inputs(inbox, inbox, folders=("restored_imgs", "cmp"))
        assert [input_file.source for input_file in inputs] == ["a.png"]

    def test_results_of_an_earlier_run_of_another_kind_are_no_inputs(self, inbox):
        names = self.plan(inbox, inbox / "out", "a.png")
        write_image(inbox / "out/cmp/a_00.png", noise(4, 4, 3))
        write_image(inbox / "out/masks/a.png", noise(4, 4, 3))
        row = ["gone.png", "ok", *[""] * (len(COLUMNS) - 2)]
        table = f"{','.join(COLUMNS)}\n{','.join(row)}\n"
        (inbox / "out" / RESULTS).write_text(table, encoding="utf-8")
        inputs = plan_inputs(inbox, inbox / "out", folders=("restored_imgs",))
        assert {input_file.source: input_file.name for input_file in inputs} == names

    def test_folders_of_such_names_are_inputs_where_nothing_was_restored(self, inbox):
        write_image(inbox / "out/masks/b.png", noise(4, 4, 3))
        (found,) = plan_inputs(inbox, inbox / "out", folders=("restored_imgs",))
        assert found.source == "out/masks/b.png"

    def test_a_single_file(self, inbox, tmp_path):
        write_image(inbox / "a.jpg", noise(4, 4, 3))
        (input_file,) = plan_inputs(inbox / "a.jpg", tmp_path / "out")
        assert (input_file.source, input_file.name) == ("a.jpg", "a")


class TestFolder:
    def test_a_broken_file_costs_only_itself(self, restorer, inbox, tmp_path):
        out = tmp_path / "out"
        for index in range(5):
            write_image(inbox / f"{index}.png", np.full((32, 32, 3), 50 * index, np.uint8))
        (inbox / "sub/broken.jpg").write_bytes(b"\xff\xd8 no image")
        (inbox / "sub/empty.png").touch()
        results = restore_inputs(restorer, plan_inputs(inbox, out), out, AlignedFaces())
        assert len(results) == 7
        assert files(out) == [f"{index}.png" for index in range(5)]
        for index in range(5):
            assert (np.asarray(Image.open(out / f"{index}.png")) == 50 * index).all()
        table = rows(out)
        assert table["sub/broken.jpg"]["status"] == "unreadable"
        assert "empty" in table["sub/empty.png"]["message"]
        assert [table[f"{index}.png"]["status"] for index in range(5)] == ["ok"] * 5

    def test_faces_of_several_files_share_a_batch(self, restorer, inbox, tmp_path, monkeypatch):
        for index in range(5):
            write_image(inbox / f"{index}.png", noise(32, 32, 3))
        sizes, restore = [], restorer.restore_faces

        def spy(faces):
            sizes.append(len(faces))
            return restore(faces)

        monkeypatch.setattr(restorer, "restore_faces", spy)
        restorer.batch_size = 4
        restore_inputs(restorer, plan_inputs(inbox, tmp_path / "o"), tmp_path / "o", AlignedFaces())
        assert sizes == [4, 1]

    def test_a_batch_that_fails_is_freed_before_its_files_are_tried_alone(self, inbox, tmp_path):
        for index in range(2):
            write_image(inbox / f"{index}.png", noise(32, 32, 3))
        handled = []

        class Small:
            batch_size = 2

            def restore_faces(self, faces):
                handled.append(sys.exception())
                if len(faces) > 1:
                    raise MemoryError
                return faces

        inputs = plan_inputs(inbox, tmp_path / "o")
        results = restore_inputs(Small(), inputs, tmp_path / "o", AlignedFaces())
        assert [result.status for result in results] == ["ok", "ok"]
        assert handled == [None] * 3  # an error that is still handled would hold the batch

    def test_a_result_that_cannot_be_written_is_reported(self, restorer, inbox, tmp_path):
        out = tmp_path / "out"
        write_image(inbox / "a.png", noise(32, 32, 3))
        write_image(inbox / "sub/b.png", noise(32, 32, 3))
        out.mkdir()
        (out / "sub").write_text("a file where a folder has to be")
        results = restore_inputs(restorer, plan_inputs(inbox, out), out, AlignedFaces())
        assert [result.status for result in results] == ["ok", "unwritable"]
        assert files(out) == ["a.png"]

    def test_out_that_is_a_file_ends_before_any_work(self, restorer, inbox, tmp_path):
        write_image(inbox / "a.png", noise(32, 32, 3))
        (tmp_path / "out").write_text("")
        with pytest.raises(FaceskdError, match="cannot write to the folder"):
            restore_inputs(
                restorer, plan_inputs(inbox, tmp_path / "out"), tmp_path / "out", AlignedFaces()
            )

    def test_impossible_settings(self, restorer, tmp_path):
        with pytest.raises(ConfigError, match="at least 1"):
            restore_inputs(restorer, [], tmp_path, AlignedFaces(), workers=0)


class TestCommand:
    def test_restores_a_folder(self, inbox, tmp_path, onnx_file):
        write_image(inbox / "a b.png", noise(32, 32, 3))
        out = tmp_path / "out"
        arguments = ["-i", str(inbox), "-o", str(out), "--aligned", "--weights", str(onnx_file)]
        assert main(arguments) == 0
        assert files(out) == ["a b.png"]

    def test_one_broken_file_gives_the_others_and_status_1(
        self, inbox, tmp_path, onnx_file, capsys
    ):
        write_image(inbox / "a.png", noise(32, 32, 3))
        (inbox / "b.png").write_text("no image")
        out = tmp_path / "out"
        assert main(["-i", str(inbox), "-o", str(out), "--aligned", "-w", str(onnx_file)]) == 1
        assert files(out) == ["a.png"]
        printed = capsys.readouterr().err
        assert "1 ok, 1 unreadable" in printed
        assert "b.png: unreadable" in printed

    @pytest.mark.parametrize(
        ("given", "message"),
        [("missing", "missing"), (".", "no image")],
        ids=["no such path", "empty folder"],
    )
    def test_nothing_to_do_is_status_2(self, tmp_path, onnx_file, capsys, given, message):
        arguments = ["-i", str(tmp_path / given), "-o", str(tmp_path / "o"), "-w", str(onnx_file)]
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 2
        assert message in capsys.readouterr().err

    def test_an_unknown_model_is_status_2_and_writes_nothing(self, inbox, tmp_path, capsys):
        write_image(inbox / "a.png", noise(32, 32, 3))
        with pytest.raises(SystemExit) as stop:
            main(["-i", str(inbox), "-o", str(tmp_path / "out"), "--model", "giant"])
        assert stop.value.code == 2
        assert "no pretrained student 'giant'" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()
