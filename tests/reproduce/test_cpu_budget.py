"""`faceskd reproduce budget=cpu` at toy size: every kind of job, through to the page."""

import json
import os

import pytest
import torch
from helpers.tiny_reproduction import METRICS, make_tiny

from faceskd.commands.reproduce import main as reproduce_command
from faceskd.common.config import compose
from faceskd.models import VGG19
from faceskd.reproduce.page import END, START
from faceskd.reproduce.rates import choice, trial

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not os.environ.get("FACESKD_LONG_PAGES"), reason="minutes: FACESKD_LONG_PAGES=1 runs it"
    ),
    pytest.mark.filterwarnings("ignore:The number of training batches"),
]

PARTS = ("dictionary", "distillation", "light", "printed", "methods")
SAME_KIND = ("rdn", "rcan", "dbpn", "rrdb")
"""Baselines that are trained as srresnet is."""
RATES = ["srresnet", "srgan", "teacher", "student_mskd", "lite_mskd"]
BUDGET = {
    "encoder": "tiny",
    "deep_channels": 64,
    "losses": "own_encoder",
    "lite": "lite_s",
    "plain": "plain_tiny",
}
TRAINING = ["logger.tensorboard=null", "engine.metrics=[psnr]"]


def toy(out, faces, page, encoder):
    cfg = compose(
        "reproduce",
        ["budget=cpu", f"out={out}", f"faces={faces}", f"second={faces}", f"page={page}"],
    )
    make_tiny(cfg, BUDGET | {"encoder_weights": str(encoder)}, TRAINING)
    for name in SAME_KIND:
        cfg.jobs[name] = None
    for name, job in cfg.jobs.items():
        if name.startswith("dictionary") and job and job.command == "dictionary":
            job.overrides.extend(["atoms=3", "passes=1", "iterations=1", "initialisations=1"])
    cfg.seeds = {"teacher": 2, "student_mskd": 2}
    cfg.rates["values"] = [1e-4, 1e-3]
    cfg.rates.methods = RATES
    cfg.shared.rates = [METRICS, "show=1", "groups=null", f"faces={faces}", "split=val"]
    return cfg


def test_every_kind_of_job(prepared_faces, tmp_path):
    page = tmp_path / "docs" / "page.md"
    page.parent.mkdir()
    blocks = "".join(
        f"{START.format(f'cpu-{part}')}\n\nearlier results\n\n{END.format(f'cpu-{part}')}\n\n"
        for part in PARTS
    )
    page.write_text(f"# Page\n\n{blocks}after\n")
    torch.manual_seed(0)
    VGG19(width=8, taps=("relu2_2", "relu3_4", "relu4_4", "conv5_4"), weights="random").save(
        tmp_path / "encoder.safetensors"
    )
    out = tmp_path / "out"
    cfg = toy(out, prepared_faces, page, tmp_path / "encoder.safetensors")
    reproduce_command.task(cfg)

    records = [json.loads((out / f"results-{part}.json").read_text()) for part in PARTS]
    assert [record["failures"] for record in records] == [{}] * len(PARTS)
    commands = {name: line for each in records for name, line in each["commands"].items()}
    planned = {name for name, job in cfg.jobs.items() if job} - {"faces", "second"}
    for method in RATES:
        planned |= {trial(method, 1), trial(method, 2), choice(method)}
    planned -= {"portraits", "second_portraits"}
    assert planned <= set(commands)
    rates = {word for word in commands["student_strong"].split() if "rate=" in word}
    chosen = json.loads((out / choice("student_mskd") / "metrics.json").read_text())["metrics"]
    psnr = [chosen[trial("student_mskd", number)]["values"]["psnr"] for number in (1, 2)]
    best = ("0.0001", "0.001")[psnr[1] > psnr[0]]
    assert f"learning_rate={best}" in rates

    text = page.read_text()
    assert "earlier results" not in text
    assert text.startswith("# Page\n") and text.endswith("after\n")
    for heading in (
        "Table 1a",
        "Table 2b",
        "Table 2c",
        "Table 4c",
        "Table 3",
        "Figure 1",
        "How the learning rates",
    ):
        assert f"### {heading}" in text
    assert "psnr, paper" in text
    assert "teacher_extended" in text
    links = [part.split(")")[0] for part in text.split("](")[1:]]
    assert len(links) > 3
    assert [link for link in links if not (page.parent / link).is_file()] == []
