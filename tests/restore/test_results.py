"""`results.csv`: it grows from run to run, and is written however a run ends."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from helpers.fakes import Known, noise
from helpers.photo_runs import restore, rows

from faceskd.commands.restore import main
from faceskd.common.errors import ConfigError
from faceskd.common.images import write_image
from faceskd.restore.photo import PhotoSettings
from faceskd.restore.photos import WholePhotos
from faceskd.restore.plan import plan_inputs
from faceskd.restore.results import COLUMNS, ResultsFile
from faceskd.restore.stream import AlignedFaces

FRAME = (32, 32, 40)


def picture(path, seed=0):
    write_image(path, noise(64, 64, 3, seed=seed))
    return path


@pytest.fixture
def inbox(tmp_path):
    for number, name in enumerate(("a.png", "b.png", "c.png", "d.png")):
        picture(tmp_path / "in" / name, number)
    return tmp_path / "in"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


class TestOneByOne:
    def test_a_run_that_was_killed_keeps_its_names(self, inbox, out):
        """So that the next run replaces none of its results."""
        with ResultsFile(out, plan_inputs(inbox, out)):
            table = {name: (row["status"], row["name"]) for name, row in rows(out).items()}
            assert table == {f"{name}.png": ("stopped", name) for name in "abcd"}
            other = picture(inbox.parent / "other/a.png", 7)
            assert [given.name for given in plan_inputs(other, out)] == ["a_png"]

    @pytest.mark.parametrize("aligned", [False, True])
    def test_rows_of_earlier_runs_stay(self, inbox, out, aligned):
        for path in sorted(inbox.iterdir()):
            restore(path, out, FRAME, task=AlignedFaces() if aligned else None)
        table = rows(out)
        assert list(table) == ["a.png", "b.png", "c.png", "d.png"]
        together = inbox.parent / "together"
        restore(inbox, together, FRAME, task=AlignedFaces() if aligned else None)
        assert rows(together) == table

    def test_an_input_that_is_restored_again_has_its_new_rows_only(self, inbox, out):
        restore(inbox, out, FRAME, (20, 20, 30))
        (inbox / "b.png").write_bytes(b"")
        restore(inbox / "b.png", out, FRAME)
        table = (out / "results.csv").read_text().splitlines()
        assert len([line for line in table if line.startswith("a.png")]) == 2
        assert [line.split(",")[1] for line in table if line.startswith("b.png")] == ["unreadable"]

    @pytest.mark.parametrize("aligned", [False, True])
    @pytest.mark.parametrize("names", [("in/a.png", "in/a.bmp"), ("x/a.png", "y/a.png"),
                                       ("in/a.png", "in/A.PNG"), ("x/a", "y/a")])  # fmt: skip
    def test_results_never_replace_those_of_another_input(self, tmp_path, out, names, aligned):
        task = AlignedFaces() if aligned else None
        results = []
        for seed, name in enumerate(names):
            picture(tmp_path / "new.png", seed).rename(
                (tmp_path / name).parent.mkdir(exist_ok=True) or tmp_path / name
            )
            results += restore(tmp_path / name, out, FRAME, task=task)
        written = [out / (result.image or result.output) for result in results]
        assert len({str(path).casefold() for path in written}) == 2
        before = [path.read_bytes() for path in written]
        assert before[0] != before[1]
        again = [restore(tmp_path / name, out, FRAME, task=task)[0] for name in names]
        assert [result.name for result in again] == [result.name for result in results]
        assert [path.read_bytes() for path in written] == before

    def test_pages_and_photos_do_not_share_a_name(self, tmp_path, out):
        from PIL import Image

        pages = [Image.fromarray(noise(64, 64, 3, seed=seed)) for seed in (1, 2)]
        (tmp_path / "in").mkdir()
        pages[0].save(tmp_path / "in/a.tif", save_all=True, append_images=pages[1:])
        picture(tmp_path / "in/a_p2.png")
        results = restore(tmp_path / "in", out)
        assert len({result.image for result in results}) == 3

    def test_a_foreign_results_csv_is_not_replaced(self, inbox, out):
        out.mkdir()
        (out / "results.csv").write_text("name,points\nann,3\n")
        with pytest.raises(ConfigError, match="another version or program"):
            restore(inbox, out)
        assert (out / "results.csv").read_text() == "name,points\nann,3\n"


class TestOwnResults:
    def test_aligned_faces_in_place_are_refused(self, inbox):
        before = {path.name: path.read_bytes() for path in inbox.iterdir()}
        picture(inbox / "e.bmp")
        for source in (inbox, inbox / "e.bmp"):
            with pytest.raises(ConfigError, match="another output folder"):
                restore(source, inbox, task=AlignedFaces())
        assert {name: (inbox / name).read_bytes() for name in before} == before

    def test_in_place_by_another_name_is_refused(self, tmp_path):
        picture(tmp_path / "in/e.bmp")
        (tmp_path / "link").symlink_to("in")
        with pytest.raises(ConfigError, match="among the inputs"):
            restore(tmp_path / "in", tmp_path / "link", task=AlignedFaces())

    def test_a_result_below_the_inputs_is_no_input(self, inbox):
        for _ in range(2):
            results = restore(inbox, inbox / "out", task=AlignedFaces())
            assert [result.source for result in results] == ["a.png", "b.png", "c.png", "d.png"]

    def test_a_single_result_is_refused(self, inbox, out):
        restore(inbox, out, FRAME)
        with pytest.raises(ConfigError, match="a result of an earlier run"):
            restore(out / "restored_imgs/a.png", out, FRAME)

    def test_photos_in_place_leave_their_results_and_the_table_alone(self, inbox):
        for _ in range(2):
            restore(inbox, inbox, FRAME)
            assert list(rows(inbox)) == ["a.png", "b.png", "c.png", "d.png"]


class Stops(WholePhotos):
    """Ctrl-C, when the third photo is to be written; the fourth is read afterwards."""

    ahead = 1

    def __init__(self):
        super().__init__(Known(FRAME), PhotoSettings())
        self.stopped = threading.Event()

    def read(self, input_file):
        if input_file.name == "d":
            assert self.stopped.wait(60)
        return super().read(input_file)

    def write(self, read, restored, out):
        if read.input_file.name == "c":
            os.kill(os.getpid(), signal.SIGINT)
            self.stopped.set()
        return super().write(read, restored, out)


class TestStopped:
    def test_what_is_done_is_in_the_table(self, inbox, out):
        with pytest.raises(KeyboardInterrupt):
            restore(inbox, out, task=Stops())
        statuses = {source: row["status"] for source, row in rows(out).items()}
        assert statuses["a.png"] == statuses["b.png"] == "kept"
        assert statuses["d.png"] == "stopped"
        written = {path.stem for path in (out / "restored_imgs").iterdir()}
        assert {f"{name}.png" for name in written} == {
            source for source, status in statuses.items() if status != "stopped"
        }

    def test_rows_of_an_earlier_run_are_kept_for_what_was_not_reached(self, inbox, out):
        restore(inbox, out, FRAME)
        before = rows(out)
        with pytest.raises(KeyboardInterrupt):
            restore(inbox, out, task=Stops())
        assert rows(out) == before

    @pytest.mark.slow
    def test_a_signal_ends_the_command_with_its_table(self, inbox, out, onnx_file):
        """In a process of its own; it is stopped when the first photo has been written.

        SIGTERM becomes a KeyboardInterrupt, so that this shows what Ctrl-C does, too.
        """
        for index in range(60):
            picture(inbox / f"more{index}.png", index)
        arguments = ["-i", str(inbox), "-o", str(out), "-w", str(onnx_file), "--scale", "8"]
        process = subprocess.Popen(
            [sys.executable, "-m", "faceskd", "restore", *arguments, "--workers", "1"],
            stderr=subprocess.PIPE,
        )
        while process.poll() is None and not any(out.glob("restored_imgs/*.png")):
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate()
        assert process.returncode == 130, errors
        assert b"stopped" in errors and b"Traceback" not in errors
        statuses = [row["status"] for row in rows(out).values()]
        assert len(statuses) == 64 and "stopped" in statuses
        assert statuses.count("no_face") == len(list(out.glob("restored_imgs/*.png"))) >= 1


class TestCommand:
    def run(self, source, out, onnx_file, *more):
        return main(["-i", str(source), "-o", str(out), "-w", str(onnx_file), *more])

    def test_what_is_no_image_does_not_fail_and_what_should_be_one_does(
        self, inbox, out, onnx_file, capsys
    ):
        (inbox / "notes.txt").write_text("text")
        assert self.run(inbox, out, onnx_file) == 0
        assert rows(out)["notes.txt"]["status"] == "unsupported"
        (inbox / "drawing.svg").write_text("text")
        assert self.run(inbox, out, onnx_file) == 1
        assert "drawing.svg: unreadable: .svg files cannot be read" in capsys.readouterr().err

    def test_what_a_single_photo_lost_is_printed(self, tmp_path, out, onnx_file, capsys):
        import cv2
        import numpy as np

        cv2.imwrite(str(tmp_path / "a.png"), np.zeros((64, 64, 3), np.uint16))
        assert self.run(tmp_path / "a.png", out, onnx_file) == 0
        assert "16 bits a channel were reduced to 8" in capsys.readouterr().err

    def test_a_folder_without_images_is_told_and_nothing_is_written(
        self, tmp_path, out, onnx_file, capsys
    ):
        (tmp_path / "notes.txt").write_text("text")
        with pytest.raises(SystemExit, match="2"):
            self.run(tmp_path, out, onnx_file)
        assert "no image and no video" in capsys.readouterr().err
        assert not out.exists()


def test_all_columns_are_there_whatever_the_task(inbox, out):
    restore(inbox, out, task=AlignedFaces())
    assert (out / "results.csv").read_text().splitlines()[0].split(",") == COLUMNS
    assert plan_inputs(inbox, out)[0].input == str(inbox / "a.png")
