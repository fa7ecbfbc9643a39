"""`faceskd release`: the tiny plan from drawn portraits to cards; killed, ablated, verified."""

import json
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from helpers.golden import Golden
from rich.console import Console

from faceskd.commands import run_command
from faceskd.commands.release import main as release_command
from faceskd.common.arguments import with_literal_paths
from faceskd.common.config import EXIT_UNFINISHED, compose, to_plain
from faceskd.common.errors import ConfigError, FacesError
from faceskd.common.files import held, sha256
from faceskd.jobs.plan import read_plan, select_jobs
from faceskd.models.weights import load_network, read_metadata
from faceskd.portraits import write_portraits
from faceskd.pretrained import available_models, find_model, load_pretrained, model_card
from faceskd.reproduce import release, verify
from faceskd.reproduce.ablations import with_ablations
from faceskd.reproduce.cards import write_models
from faceskd.reproduce.evaluations import with_evaluations
from faceskd.reproduce.provenance import plan_sha256
from faceskd.reproduce.verify import plan_now, verify_release

TRAINED = (
    "encoder",
    "teacher_start",
    "teacher",
    "lite_m_start",
    "lite_m",
    "lite_s_start",
    "lite_s",
)


def line(out, *words):
    return ["plan=tiny", f"out='{out}'", "dirty=true", *words]


def call(out, *words):
    """The exit status of one call."""
    try:
        release_command.task(compose("release", line(out, *words)))
    except SystemExit as end:
        return end.code
    return 0


def call_afresh(out, *words):
    """The exit status of one call in a new process, which other tests have not touched."""
    command = [sys.executable, "-m", "faceskd", "release", *line(out, *words)]
    return subprocess.run(command, stdout=subprocess.DEVNULL).returncode


def log(out):
    lines = (out / "jobs" / "log.jsonl").read_text().splitlines()
    return [(entry["job"], entry["result"]) for entry in map(json.loads, lines)]


def options(*words):
    words = words or ("photos=/photos",)
    cfg = to_plain(compose("release", ["out=/out", *words]))
    if cfg["jobs"]["photos"].get("given"):
        cfg["jobs"]["photos"] = {"command": "portraits"}
    return cfg


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """The plan in one call, with one ablation."""
    out = tmp_path_factory.mktemp("release") / "my out"
    assert call_afresh(out, "ablate=no_average") == 0
    return out


def test_photos_are_needed(monkeypatch):
    monkeypatch.delenv("FACESKD_FACES", raising=False)
    with pytest.raises(ConfigError, match="expected photos as the folder"):
        release.check_photos(to_plain(compose("release", ["out=/out"])))


def test_two_processes_do_not_write_the_models_at_once(tmp_path, monkeypatch):
    def busy():
        raise BlockingIOError

    def provenance(*_, **__):
        with pytest.raises(BlockingIOError), held(tmp_path / ".models.lock", busy):
            pass
        return {}

    monkeypatch.setattr("faceskd.reproduce.cards.provenance", provenance)
    runner = SimpleNamespace(out=tmp_path)
    folder = write_models({"models": {}}, runner, revision="abc", data={})
    assert available_models(folder) == []


def test_a_folder_belongs_to_one_plan(tmp_path):
    mine = {"plan_name": "photos", "seed": 0, "out": str(tmp_path)}
    release.check_folder(mine)
    release.check_folder(mine)
    for other in ({"plan_name": "scene"}, {"seed": 1}):
        with pytest.raises(ConfigError, match=r"a folder of .* plan=photos seed=0: give each"):
            release.check_folder(mine | other)
    assert compose("release", ["plan=scene"]).out.endswith("/runs/release-scene")


def test_every_job_is_done_once(out):
    done = log(out)
    assert {result for _, result in done} == {"done"}
    assert len(done) == len(dict(done))
    networks = [name for name in TRAINED if name != "encoder"]
    ablation = ["lite_s_no_average"]
    assert set(dict(done)) == {
        "photos", "faces", "dictionary", *TRAINED, *ablation,
        *(f"{name}_val" for name in [*networks, *ablation]),
        *(f"{name}_test_drawn" for name in ("teacher", "lite_m", "lite_s")),
    }  # fmt: skip
    before = len(done)
    assert call(out, "ablate=no_average") == 0
    assert len(log(out)) == before


def test_the_models_load_and_are_what_was_trained(out):
    models = available_models(out / "models")
    assert [model.full_name for model in models] == [
        "lite-m@1", "lite-s@1", "teacher@1", "faces-k64@1",
    ]  # fmt: skip
    for name, job in (("lite-m", "lite_m"), ("teacher", "teacher")):
        network = load_pretrained(name, out / "models")
        assert type(network) is type(load_network(out / job / "weights.safetensors"))
        metadata = read_metadata(out / "models" / f"{name}@1.safetensors")
        assert (metadata["stored"], metadata["fused"]) == ("fp16", True)
        assert not network.training
    assert find_model("teacher", out / "models").dictionary == "faces-k64@1"


def test_a_card_says_how_its_model_was_made(out):
    card = model_card("lite-s", out / "models")
    assert card["plan"]["name"] == "tiny"
    assert card["plan"]["seed"] == 0
    assert "decay 0.998" in card["plan"]["selection"]
    assert card["plan"]["git_revisions"]
    assert card["training"]["steps"] == 2
    assert card["training"]["training_precision"] in ("32-true", "bf16-mixed")
    assert {"torch", "numpy", "pytorch-lightning"} <= set(card["versions"])
    assert set(TRAINED) <= set(card["hours"])
    assert "lite_s_no_average" not in card["hours"]
    assert card["hours_in_all"] <= card["hours_allowed"]
    assert card["machines"][0]["cores"] >= 1
    assert card["photos"]["photos"] == "drawn by faceskd"
    assert card["faces"]["counts"]["train drawn"] >= 14
    assert len(card["faces"]["sha256"]) == len(card["photos"]["table_sha256"]) == 64
    assert set(card["curves"]) == {"lite_s_start", "lite_s"}
    assert [step for step, _ in card["curves"]["lite_s"]["val/psnr"]]
    assert card["evaluation"]["metrics"]["lite_s"]["interval_95"]["psnr"]
    assert card["validation"]["metrics"]["lite_s"]["values"]["psnr"]
    assert card["evaluation"]["settings"]["kind"] == "drawn"
    assert card["figures"]["psnr"] > 5
    assert card["rounding_psnr_db"] >= 60
    assert str(out) not in json.dumps(card)


def test_the_summary_has_phases_hours_and_ablations(out):
    summary = (out / "summary.md").read_text()
    assert "Seed 0. 0.0" in summary
    assert "the plan allows 0.1" in summary
    for name in TRAINED[1:]:
        assert f"| {name}_val | {name} | " in summary
    (row,) = [text for text in summary.splitlines() if text.startswith("| no_average | lite_s |")]
    assert " to " in row
    assert "](curves.png)" in summary and (out / "curves.png").is_file()
    assert "`faceskd train " in summary


def test_killed_in_the_middle_it_gives_the_same_files(out, tmp_path):
    """kill -9 amid the teacher's first phase; then a slice of no time at all."""
    again = shutil.copytree(out, tmp_path / "killed out")
    for folder in (again / "models", again / "teacher_start", again / "teacher"):
        shutil.rmtree(folder)
    for path in (again / "jobs").glob("teacher*.json"):
        path.unlink()
    (again / "jobs" / "log.jsonl").write_text("")
    words = ["plan=tiny", f"out={again}", "dirty=true"]
    command = [sys.executable, "-m", "faceskd", "release", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 300
    while not (again / "teacher_start" / "checkpoints" / "last.ckpt").is_file():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert ("teacher_start", "done") not in log(again)
    assert call_afresh(again, "slice=0") == EXIT_UNFINISHED
    assert call_afresh(again) == 0
    for model in available_models(out / "models"):
        other = find_model(model.full_name, again / "models")
        assert (model.sha256, model.figures) == (other.sha256, other.figures)
    plans = [model_card("teacher", each / "models")["plan"] for each in (out, again)]
    assert plans[0]["sha256"] == plans[1]["sha256"]


# What is verified.


def failed(checks):
    return {(c.model, c.what): c.status for c in checks if c.status not in ("ok", "unknown")}


def test_a_release_is_verified(out, capsys):
    checks = verify_release(out / "models", faces=out / "faces")
    assert failed(checks) == {}
    assert {check.what for check in checks} == {
        "file", "card", "golden figures", "plan", "table of faces", "prepared faces",
    }  # fmt: skip
    words = [f"models_folder={out}/models", f"report={out}/checks.csv"]
    assert run_command("release verify", words) == 0
    assert "golden figures" in capsys.readouterr().out


def test_what_is_not_as_it_was_is_found(out, tmp_path, monkeypatch):
    models = shutil.copytree(out / "models", tmp_path / "models")
    card = json.loads((models / "lite-m@1.json").read_text())
    card["plan"]["sha256"] = "0" * 64
    card["photos"]["table_sha256"] = "1" * 64
    (models / "lite-m@1.json").write_text(json.dumps(card))
    with (models / "faces-k64@1.safetensors").open("ab") as file:
        file.write(b"x")
    (models / "teacher@1.json").unlink()
    golden = models / "golden" / "lite-s@1.json"
    figures = json.loads(golden.read_text())
    figures["astronaut"]["psnr"] += 0.01
    golden.write_text(json.dumps(figures))
    assert failed(verify_release(models)) == {
        ("lite-m@1", "plan"): "differs",
        ("lite-m@1", "table of faces"): "differs",
        ("lite-s@1", "golden figures"): "differs",
        ("teacher@1", "card"): "missing",
        ("faces-k64@1", "file"): "differs",
    }
    golden.unlink()
    assert failed(verify_release(models))["lite-s@1", "golden figures"] == "missing"
    assert run_command("release verify", [f"models_folder={models}"]) == 1


def test_a_plan_that_went_on_to_another_version_does_not_differ(out, monkeypatch):
    monkeypatch.setattr(verify, "plan_now", lambda name, seed: (9, "0" * 64))
    checks = [check for check in verify_release(out / "models") if check.what == "plan"]
    assert checks and {check.status for check in checks} == {"unknown"}
    assert "this source has version 9 of the plan" in checks[0].message


def test_the_models_of_the_package_are_verified(monkeypatch):
    """Without running them; `tests/pretrained/test_golden.py` does."""
    monkeypatch.setattr(verify, "load_pretrained", lambda name, folder: name)
    monkeypatch.setattr(verify, "golden_figures", Golden.stored)
    checks = verify_release()
    assert failed(checks) == {}
    golden = {check.model for check in checks if check.what == "golden figures"}
    assert golden == {m.full_name for m in available_models() if m.role != "dictionary"}


# What is refused.


def test_a_source_with_changes_is_refused_unless_told(monkeypatch):
    for revision in ("abc+changes", None):
        monkeypatch.setattr(release, "git_revision", lambda revision=revision: revision)
        with pytest.raises(ConfigError, match="commit first, or say dirty=true"):
            release.check_revision(dirty=False)
        assert release.check_revision(dirty=True) == (revision or "no git checkout")
    monkeypatch.setattr(release, "git_revision", lambda: "abc")
    assert release.check_revision(dirty=False) == "abc"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("steps.lite_s=3", r"lite_s cannot run: expected steps as a multiple of .*, 2, got 3"),
        ("+more.lite_s=['model.no_such=1']", r"lite_s_start cannot run: .*no_such"),
    ],
)
def test_a_training_that_cannot_run_stops_the_release_before_the_first(tmp_path, word, message):
    cfg = to_plain(compose("release", line(tmp_path / "out", word)))
    with pytest.raises(ConfigError, match=message):
        release.train_release(cfg, run_command, Console(quiet=True))
    assert not (tmp_path / "out").exists()


def test_other_photos_are_refused_unless_told(tmp_path):
    (tmp_path / "photos").mkdir()
    cfg = to_plain(compose("release", [f"photos={tmp_path}/photos", "out=/out"]))
    with pytest.raises(ConfigError, match=r"'missing': 861.*other_photos=true"):
        release.check_photos(cfg)
    assert release.check_photos(cfg | {"other_photos": True}) == {"photos": {"missing": 861}}
    with pytest.raises(ConfigError, match="expected photos as the folder"):
        release.check_photos(cfg | {"photos": None})
    with pytest.raises(FacesError, match="expected a folder of faces"):
        release.check_photos(cfg | {"photos": f"{tmp_path}/none"})


# The plan itself.


def test_the_full_plan_composes_and_has_at_most_four_phases_a_network():
    jobs = read_plan(with_evaluations(options()))
    phases = dict.fromkeys(("encoder", "teacher", "lite_m", "lite_s"), 0)
    for job in jobs.values():
        composed = compose(job.command, job.overrides) if job.name != "photos" else None
        if job.command == "train":
            assert composed.steps % composed.data.steps_per_epoch == 0
            phases[next(name for name in phases if job.name.startswith(name))] += 1
            is_network = composed.get("model") is not None
            assert (f"{job.name}_val" in jobs) == is_network
            assert not is_network or composed.data.most_generated == 0.25
            named = {need for need in jobs if f"/out/{need}/" in job.line()}
            assert named <= {*job.needs, job.name}
    assert all(1 <= count <= 4 for count in phases.values())


PHOTO_WORDS = ("photos=/photos", "bad_photos=/bad")


def test_the_plan_for_photos_composes_and_measures_each_network_as_it_is_used():
    cfg = with_evaluations(options("plan=photos", *PHOTO_WORDS))
    jobs = read_plan(cfg)
    trained = trainings_of(jobs)
    assert list(trained) == ["photo_m_start", "photo_m", "photo_s_start", "photo_s"]
    for name, composed in trained.items():
        folder, size = ("faces_384", 384) if name.endswith("start") else ("faces", 512)
        assert composed.data.faces == f"/out/{folder}"
        assert composed.data.size == composed.model.size == size
    measured = {name: compose("evaluate", job.overrides)
                for name, job in jobs.items() if job.command == "evaluate"}  # fmt: skip
    assert measured["photo_m_val"].photos == "/photos/val"
    assert measured["photo_m_test_photograph"].photos == "/photos/test"
    assert measured["photo_m_test_photograph"].kind == "photograph"
    assert set(cfg["models"]) == {"photo-m", "photo-s"}


def test_the_plan_for_backgrounds_composes():
    cfg = with_evaluations(options("plan=scene", "scenes=/scenes", *PHOTO_WORDS))
    jobs = read_plan(cfg)
    assert list(jobs) == ["photos", "pools", "scene"]
    assert list(trainings_of(jobs)) == ["scene"]
    assert set(cfg["models"]) == {"scene"}


def test_the_folders_that_a_plan_reads_count_by_their_content(tmp_path):
    for name in ("photos", "scenes", "bad_photos"):
        (tmp_path / name).mkdir()
    cfg = to_plain(compose("release", ["plan=scene", "out=/out", *places_at(tmp_path, "scene")]))
    given = {name: job.given for name, job in release.planned(cfg).items() if job.given}
    assert given == {name: tmp_path / name for name in ("photos", "scenes", "bad_photos")}
    (tmp_path / "scenes").rmdir()
    with pytest.raises(
        ConfigError, match=r"expected a file or folder for scenes at .*, found none"
    ):
        release.planned(cfg)


@pytest.mark.parametrize("first", [0, 1])
def test_the_plan_that_compares_students_with_and_without_a_teacher_trains_them_equally(first):
    words = ("plan=photo_distillation", f"seed={first}", *PHOTO_WORDS)
    jobs = read_plan(with_evaluations(options(*words)))
    trained = trainings_of(jobs)
    students = {name: config for name, config in trained.items() if name != "teacher_photo"}
    assert len(students) == 4 and all(config.data.size == 256 for config in trained.values())
    for seed, suffix in enumerate(("", "_seed1"), start=first):
        alone = to_plain(students[f"photo_s_whole{suffix}"])
        distilled = to_plain(students[f"photo_s_distilled{suffix}"])
        assert alone["seed"] == distilled["seed"] == seed
        changed = {key.split(".")[0] for key in differing(alone, distilled)}
        assert changed == {"engine", "teacher_dictionary", "name"}
    assert compose("evaluate", jobs["teacher_photo_val"].overrides).faces == "/out/faces"
    assert "teacher_photo_test_photograph" not in jobs


def trainings_of(jobs, *, pools=True):
    """The configs of the trainings, by their names; with `pools`, all others use these."""
    trained = {name: compose("train", job.overrides)
               for name, job in jobs.items() if job.command == "train"}  # fmt: skip
    for composed in trained.values():
        assert composed.steps % composed.data.steps_per_epoch == 0
        if pools:
            assert composed.data.degradation.pools == "/out/pools/pools.safetensors"
    return trained


@pytest.mark.parametrize("only", ["lite_m_start", ["lite_m_start"]])
def test_some_trainings_with_what_they_need_and_their_evaluation(only):
    plan = read_plan(with_evaluations(options("photos=/photos", f"only={only}")))
    assert set(plan) == {"photos", "faces", "lite_m_start", "lite_m_start_val"}


def test_the_plan_of_the_ablations_repeats_the_smallest_network_only():
    cfg = with_evaluations(with_ablations(options("plan=ablations", "photos=/photos")))
    trained = trainings_of(read_plan(cfg), pools=False)
    assert all(name.startswith("lite_s") for name in trained)
    assert {config.steps for config in trained.values()} == {500, 1500}
    names = set(options()["ablations"]) - {"teacher"}
    assert {name.removeprefix("lite_s_") for name in trained if "start" not in name} == {
        "lite_s", *names
    }  # fmt: skip
    assert not cfg["models"]


def test_the_plan_of_the_encoders_trains_two_teachers_that_differ_in_their_encoder_only(
    monkeypatch, tmp_path
):
    (tmp_path / "vgg19_quarter_conv5_1.pth").touch()
    monkeypatch.setenv("FACESKD_WEIGHTS", str(tmp_path))
    cfg = options("plan=encoders", "photos=/photos")
    jobs = read_plan(with_evaluations(with_ablations(cfg)))
    trained = {name for name, job in jobs.items() if job.command == "train"}
    pretrained = "teacher_pretrained_encoder"
    assert trained == {
        "encoder", "teacher_start", "teacher", "teacher_start_pretrained_encoder", pretrained
    }  # fmt: skip
    own, other = (
        to_plain(compose("train", jobs[name].overrides)) for name in ("teacher", pretrained)
    )
    assert set(differing(own, other)) == {"name", "init"}  # besides the files in /out
    assert own["model"]["encoder"]["weights"] == "/out/encoder/weights.safetensors"
    assert other["model"]["encoder"]["weights"] == str(tmp_path / "vgg19_quarter_conv5_1.pth")
    assert other["model"]["dictionary"] == "/out/dictionary_pretrained/weights.safetensors"
    dictionary = compose("dictionary", jobs["dictionary_pretrained"].overrides)
    assert dictionary.encoder.weights == other["model"]["encoder"]["weights"]
    assert not cfg["models"]["teacher"]


@pytest.mark.parametrize("name", list(options()["ablations"]))
def test_an_ablation_changes_its_term_and_nothing_else(name):
    cfg = options("photos=/photos", f"ablate={name}")
    jobs = read_plan(with_evaluations(with_ablations(cfg)))
    chain = cfg["ablations"][name]["jobs"]
    for job in chain:
        other = jobs[f"{job}_{name}"]
        assert select_jobs(jobs, [f"{job}_{name}_val"])
        whole, without = (to_plain(compose("train", j.overrides)) for j in (jobs[job], other))
        changed = set(differing(whole, without))
        assert {key for key in changed if key not in ("name", "out", "init")}
        assert ("init" in changed) == (len(chain) > 1 and job == chain[-1])


def differing(first, second, prefix=""):
    if isinstance(first, dict) and isinstance(second, dict):
        for key in first.keys() | second.keys():
            yield from differing(first.get(key), second.get(key), f"{prefix}{key}.")
    elif first != second and not str(first).startswith("/out/"):
        yield prefix.removesuffix(".")
    elif first != second and prefix == "init.":
        yield "init"


def test_an_unknown_ablation_is_refused():
    with pytest.raises(
        ConfigError, match=r"expected ablate of all, no_lpips_distance, .*; got 'no_luck'"
    ):
        with_ablations(options("photos=/photos", "ablate=no_luck"))


@pytest.mark.parametrize("plan", ["photos", "photo_distillation", "scene", "drawings"])
def test_a_plan_without_the_jobs_of_an_ablation_has_none(plan):
    words = [f"plan={plan}", "out=/out", *places_at("/a", plan), "ablate=all"]
    cfg = to_plain(compose("release", words))
    assert with_ablations(cfg)["jobs"] == cfg["jobs"]
    with pytest.raises(ConfigError, match="expected ablate of all; got 'no_average'"):
        with_ablations(cfg | {"ablate": "no_average"})


@pytest.mark.parametrize("out", ["/out", "/my out", "/it's out"])
def test_an_ablation_starts_from_what_it_changed(out):
    cfg = to_plain(compose("release", with_literal_paths([f"out={out}", "ablate=no_warp"])))
    cfg["jobs"]["photos"] = {"command": "portraits"}
    job = read_plan(with_ablations(cfg))["lite_s_no_warp"]
    init = compose("train", job.overrides).init
    assert init == f"{out}/lite_s_start_no_warp/weights.safetensors"


@pytest.mark.parametrize(
    "plan", ["photos", "photo_distillation", "scene", "drawings", "ablations", "encoders"]
)
def test_the_hash_of_a_plan_does_not_depend_on_where_its_folders_are(plan):
    there = to_plain(compose("release", [f"plan={plan}", "out=/x y/out", *places_at("/a b", plan)]))
    _, now = plan_now(plan, 0)
    assert now and plan_sha256(with_evaluations(there)) == now


def places_at(root, plan):
    places = compose("release", [f"plan={plan}", "out=/out"]).places
    return [f"{place}={root}/{place}" for place in places]


def hash_of(cfg):
    """The hash of three jobs, since composing all of them takes long."""
    jobs = {name: cfg["jobs"][name] for name in ("photos", "faces", "lite_m_start")}
    return plan_sha256(cfg | {"jobs": jobs})


def test_the_hash_of_a_plan_is_that_of_its_settings_and_not_of_its_places():
    first = hash_of(options())
    moved = to_plain(compose("release", ["out=/else where", "photos=/my/photos"]))
    moved["jobs"]["photos"] = {"command": "portraits"}
    assert hash_of(moved) == first
    near = to_plain(compose("release", ["out=out", "photos=photos"]))
    near["jobs"]["photos"] = {"command": "portraits"}
    assert hash_of(near) == first
    for word in ("seed=1", "steps.lite_m_start=10250", "shared.lite_m=['model=lite_l']"):
        assert hash_of(options("photos=/photos", word)) != first
    assert hash_of(options("photos=/photos", "slice=9")) == first


def test_hashes(out):
    for model in available_models(out / "models"):
        assert sha256(out / "models" / f"{model.full_name}.safetensors") == model.sha256


def test_the_plan_of_the_drawings_writes_its_cards(tmp_path):
    """Of a plan without photos; the networks see portraits instead of drawings, for two steps."""
    for split in ("train", "val"):
        write_portraits(tmp_path / "drawings" / split, count=2, size=128, processes=1)
    small = ["data.batch_size=1", "data.val_limit=1", "data.workers=0", "data.steps_per_epoch=2"]
    small += ["trainer.accelerator=cpu", "callbacks.progress=null", "callbacks.pictures=null"]
    words = [f"drawings='{tmp_path / 'drawings'}'", "steps.drawing=2", "dirty=true"]
    words += [
        "plan=drawings",
        f"out='{tmp_path / 'out'}'",
        f"++more.train=[{','.join(map(repr, small))}]",
    ]
    release_command.task(compose("release", words))
    models = tmp_path / "out" / "models"
    assert {model.name for model in available_models(models)} == {f"drawing-{n}" for n in range(4)}
    card = model_card("drawing-2", models)
    assert card["plan"]["name"] == "drawings" and "photos" not in card
    assert find_model("drawing-2", models, role="scene").bytes < 12e6
