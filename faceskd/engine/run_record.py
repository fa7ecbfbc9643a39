"""The settings of a run, and whether a run with other settings may resume it.

`faceskd train` writes the settings to OUT/config.yaml, with the SHA-256 of every file that they
name. A run may resume only with the same settings. Otherwise the weights would be labelled with
settings that they were not trained with.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from faceskd.common.config import to_plain
from faceskd.common.errors import ConfigError
from faceskd.common.files import sha256, write_text
from faceskd.common.listing import list_files
from faceskd.data.manifest import MANIFEST

RECORD = "config.yaml"
FREE = (
    *("name", "out", "resume", "threads", "optimized_metric", "logger", "callbacks"),
    *("data.workers", "data.cache", "trainer.max_time", "trainer.accelerator"),
    *("trainer.log_every_n_steps", "trainer.enable_progress_bar", "trainer.enable_model_summary"),
)
"""Settings that may change when a run resumes: they do not affect the weights."""
NOT_SET = "not set"
MOST_TOLD = 20
HEADER = """\
# What this run was started with; `faceskd train` resumes it with the same settings only.
# `files` has the SHA-256 of each file that the settings name, or of a folder's manifest; of a
# folder of data without one, that of the list of its files and their sizes.
"""


@dataclass(frozen=True)
class RunRecord:
    """The settings of a run.

    Attributes:
        config: the config without the settings in `FREE`; interpolations are resolved.
        files: SHA-256 by path, for each file that the config names; for a folder of prepared faces
            it is the SHA-256 of its manifest, for another folder of data that of the list of its
            files and their sizes.
    """

    config: dict[str, Any]
    files: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, cfg: DictConfig) -> "RunRecord":
        """The record of a run with this config."""
        config = to_plain(cfg)
        for key in FREE:
            *parents, last = key.split(".")
            section = config
            for parent in parents:
                section = section.get(parent) or {}
            section.pop(last, None)
        named = {text: key for key, value in _leaves(config) for text in _texts(value)}
        digests = {text: _digest(text, key) for text, key in sorted(named.items())}
        return cls(config, {path: digest for path, digest in digests.items() if digest})

    @classmethod
    def read(cls, out: Path) -> "RunRecord | None":
        """The record of an earlier run in its folder; None if there is none."""
        path = out / RECORD
        if not path.is_file():
            return None
        content = OmegaConf.to_container(OmegaConf.load(path))
        if not isinstance(content, dict) or not isinstance(content.get("config"), dict):
            raise ConfigError(
                f"expected the settings of a training in {str(path)!r}, got something else: set "
                "resume=false to start again"
            )
        return cls(content["config"], content.get("files") or {})

    def write(self, out: Path) -> None:
        """Write the record into the folder of the run."""
        content = OmegaConf.to_yaml(OmegaConf.create({"config": self.config, "files": self.files}))
        write_text(out / RECORD, HEADER + content)

    def applied_to(self, cfg: DictConfig) -> DictConfig:
        """The config of this record, with the settings in `FREE` taken from `cfg`."""
        merged = OmegaConf.create(self.config)
        for key in FREE:
            value = OmegaConf.select(cfg, key, default=NOT_SET)
            if value is not NOT_SET:
                OmegaConf.update(merged, key, value, force_add=True)
        return merged

    def check_same(self, cfg: DictConfig, *, made: int = 0) -> None:
        """Check that a config may resume the run of this record. It may have another length.

        Args:
            cfg: the config.
            made: number of steps that the run has made; there cannot be fewer.

        Raises:
            ConfigError: settings differ; the message lists the differences and the choices.
        """
        differences = list(self._differences(cfg, made))
        if not differences:
            return
        shown = differences[:MOST_TOLD]
        if len(differences) > MOST_TOLD:
            shown.append(f"... and {len(differences) - MOST_TOLD} more")
        lines = "\n".join(f"  {difference}" for difference in shown)
        raise ConfigError(
            f"{str(cfg.out)!r} holds a training with other settings:\n{lines}\n"
            "Set resume=stored to resume with its settings, resume=false to delete it and start "
            "again with yours, or out=FOLDER to use another folder"
        )

    def _differences(self, cfg: DictConfig, made: int) -> Iterator[str]:
        steps, now_steps = self.config["steps"], cfg.steps
        if now_steps < made:
            yield f"steps: {steps}, now {now_steps} ({made} are made already)"
        same_length = cfg.copy()
        same_length.steps = (
            steps  # settings that are computed from it may differ, such as a schedule's length
        )
        now = RunRecord.of(same_length)
        before, after = dict(_leaves(self.config)), dict(_leaves(now.config))
        for key in dict.fromkeys([*before, *after]):
            was, came = before.get(key, NOT_SET), after.get(key, NOT_SET)
            if _same(was, came, self.files, now.files):
                continue
            changed = " (the same path, but its content has changed)" if was == came else ""
            yield f"{key}: {was}, now {came}{changed}"
        epoch = self.config["data"].get("steps_per_epoch")
        if epoch is not None and min(epoch, steps) != min(epoch, now_steps):
            yield (
                f"data.steps_per_epoch: {min(epoch, steps)}, now {min(epoch, now_steps)} (it was "
                f"cut to the steps there were: give data.steps_per_epoch={min(epoch, steps)})"
            )


def _leaves(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Keys with dots, and their values; a list counts as one value."""
    if isinstance(config, dict) and config:
        for key, value in config.items():
            yield from _leaves(value, f"{prefix}{key}.")
    else:
        yield prefix.removesuffix("."), config


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [text for text in values if isinstance(text, str)]


def _digest(text: str, key: str) -> str | None:
    """The SHA-256 of what a text names, if it is the path of a file or folder: see `RunRecord`."""
    path = Path(text)
    try:
        if path.is_dir() and not (path / MANIFEST).is_file():
            return _listing_digest(path) if text and key.startswith("data.") else None
        path = path / MANIFEST if path.is_dir() else path
        return sha256(path) if path.is_file() else None
    except (OSError, ValueError):  # too long for a path, or with characters that paths cannot have
        return None


def _listing_digest(folder: Path) -> str:
    """The SHA-256 of the names and sizes of a folder's files; reading them all takes too long."""
    files = [file for file in list_files(folder) if not file.problem]
    lines = "\n".join(f"{file.source} {file.path.stat().st_size}" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def _same(was: Any, came: Any, before: dict[str, str], after: dict[str, str]) -> bool:
    """Whether two values are equal, or name files with the same content."""
    if isinstance(was, list) and isinstance(came, list) and len(was) == len(came):
        return all(_same(*pair, before, after) for pair in zip(was, came, strict=True))
    if isinstance(was, str) and isinstance(came, str) and was in before and came in after:
        return before[was] == after[came]
    if isinstance(was, str) and isinstance(came, str):
        return was.rstrip("/") == came.rstrip("/")  # folders were once recorded as they were typed
    return was == came
