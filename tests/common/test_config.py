"""The configs: every file composes and is used, and what is wrong is a sentence."""

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from faceskd.cli import HYDRA_COMMANDS
from faceskd.common import config
from faceskd.common.arguments import quoted
from faceskd.common.config import (
    compose,
    compose_model,
    conf_dir,
    folder_name,
    hydra_main,
    instantiate,
    to_plain,
)
from faceskd.common.errors import ConfigError
from faceskd.models.weights import build_network

CONF = conf_dir()
FILES = sorted(CONF.rglob("*.yaml"))
GROUPS = sorted(path.name for path in CONF.iterdir() if path.is_dir())
PRIMARY = sorted(path.stem for path in CONF.glob("*.yaml"))


def name_of(path):
    return str(path.relative_to(CONF).with_suffix(""))


def targets(node: Any) -> Iterator[str]:
    """Every `_target_` of a config."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield node["_target_"]
        for value in node.values():
            yield from targets(value)
    elif isinstance(node, list):
        for value in node:
            yield from targets(value)


def raw(cfg):
    return OmegaConf.to_container(cfg, resolve=False)


def test_every_command_has_its_config():
    assert set(PRIMARY) == {name.replace(" ", "_") for name in HYDRA_COMMANDS}


@pytest.mark.parametrize("name", PRIMARY)
def test_every_option_of_a_command_can_be_set(name):
    """`key=value` is an option's, unless the key is a group that the command does not use."""
    text = (CONF / f"{name}.yaml").read_text()
    used = {
        re.sub(r"[@:].*", "", line) for line in re.findall(r"^  - (?:override )?(\S+)", text, re.M)
    }
    own = set(compose(name)) - used
    assert not own & set(GROUPS)


@pytest.mark.parametrize("name", PRIMARY)
def test_every_option_has_a_comment_or_speaks_for_itself(name):
    lines = (CONF / f"{name}.yaml").read_text().splitlines()
    missing = [line for line in lines if "???" in line and "#" not in line]
    assert not missing


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_file_composes_and_names_what_exists(path):
    cfg = (
        compose(name_of(path))
        if path.parent.name != "experiment"
        else compose("train", [f"experiment={path.stem}"])
    )
    assert "defaults" not in cfg
    for target in targets(raw(cfg)):
        module, name = target.rsplit(".", 1)
        assert callable(getattr(import_module(module), name)), target


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_file_can_be_chosen(path):
    """A file of a group is an option of a command; its files take turns in several commands."""
    if path.parent == CONF:
        return
    group, name = path.parent.name, path.stem
    if group == "model":
        assert compose_model(name)["_target_"]
        return
    users = [
        command
        for command in PRIMARY
        if re.search(
            rf"^  - (override )?/?{group}[@:]", (CONF / f"{command}.yaml").read_text(), re.M
        )
    ]
    assert users, f"no command has the group {group}"
    command = users[FILES.index(path) % len(users)]
    part = {"degradation": "data", "augment": "data", "optimizer": "engine", "scheduler": "engine"}
    package = f"@{part[group]}.{group}" if command == "train" and group in part else ""
    compose(command, [f"{group}{package}={name}"])


def test_compose_model_knows_its_names():
    with pytest.raises(ConfigError, match=r"no network named 'studnet_tiny' .*'student_tiny'"):
        compose_model("studnet_tiny")


def test_compose_model_takes_overrides_relative_to_the_network():
    plain = compose_model("student_tiny", ["encoder.width=3"])
    assert type(plain) is dict
    assert plain["encoder"]["width"] == 3
    assert build_network(plain, pretrained=False).encoder.width == 3


def test_paths_of_the_environment(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FACESKD_PREPARED", "faces")
    assert compose("train").data.faces == f"{tmp_path}/faces"
    monkeypatch.setenv("FACESKD_PREPARED", "")  # as `FACESKD_PREPARED=$UNSET` leaves it
    assert compose("train").data.faces is None
    monkeypatch.delenv("FACESKD_PREPARED")
    assert compose("train").data.faces is None
    weights = "vgg19_quarter_conv5_1.pth"
    monkeypatch.setenv("FACESKD_WEIGHTS", str(tmp_path))
    assert compose_model("student_quarter")["encoder"]["weights"] is None
    (tmp_path / weights).touch()
    assert compose_model("student_quarter")["encoder"]["weights"] == f"{tmp_path}/{weights}"
    monkeypatch.delenv("FACESKD_WEIGHTS")
    assert compose_model("student_quarter")["encoder"]["weights"] is None


def test_to_plain_leaves_plain_ones_alone():
    plain = {"a": [1, 2]}
    assert to_plain(plain) is plain
    resolved = to_plain(OmegaConf.create({"a": 1, "b": "${a}", "c": [{"d": "${b}"}]}))
    assert resolved == {"a": 1, "b": 1, "c": [{"d": 1}]}
    assert type(resolved["c"]) is list


def test_a_sentence_comes_out_of_what_is_built():
    wrong = {"_target_": "faceskd.data.degradation.Eq8", "blur": [5, 3]}
    with pytest.raises(ConfigError, match="expected blur"):
        instantiate(wrong)
    with pytest.raises(ConfigError, match="expected blur"):
        instantiate({"_target_": "builtins.dict", "inner": wrong})
    with pytest.raises(Exception, match="no_such_thing"):
        instantiate({"_target_": "faceskd.data.degradation.no_such_thing"})


def test_an_installation_without_conf_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(config, "__file__", str(tmp_path / "faceskd" / "common" / "config.py"))
    with pytest.raises(ConfigError, match="the installation is incomplete"):
        conf_dir()


def start(monkeypatch, capsys, task, *overrides):
    """The status and what is printed to stderr of a Hydra application of `conf/portraits.yaml`."""
    monkeypatch.setattr("sys.argv", ["faceskd portraits", *overrides])
    with pytest.raises(SystemExit) as end:
        hydra_main("portraits")(task)()
    return end.value.code, capsys.readouterr().err


def test_an_error_for_users_ends_a_command_with_status_2(monkeypatch, capsys):
    def task(cfg):
        raise ConfigError("expected [b]this[/b], got that")

    assert start(monkeypatch, capsys, task, "dst=x") == (
        2,
        "error: expected [b]this[/b], got that\n",
    )


def test_a_missing_value_is_named(monkeypatch, capsys):
    status, shown = start(monkeypatch, capsys, lambda cfg: cfg.dst)
    assert status == 2
    assert shown == "error: a value is missing: Missing mandatory value: dst\n"


letters = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="$")
texts = st.text(letters | st.sampled_from("'\"\\ ,=[]{}0"), min_size=1)


@given(text=texts)
def test_a_quoted_value_comes_back(text):
    assert OverridesParser.create().parse_override(f"dst={quoted(text)}").value() == text


@given(text=texts.filter(lambda text: len(text) < 400), other=texts)
@example(text=".", other="..")
@example(text="..", other=".")
def test_folder_names_are_names_and_tell_texts_apart(text, other):
    name = folder_name(text)
    assert len(name) <= 130
    assert Path(name).name == name
    assert (folder_name(other) == name) == (other == text)
