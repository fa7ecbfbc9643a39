"""The settings that a run was started with, and whether others may go on with it.

`faceskd train` writes them to OUT/config.yaml, interpolations resolved, with the SHA-256 of every
file that they name. A run that resumes must have the same: weights of two experiments in one
folder would have the label of the later one.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from faceskd.common.config import to_plain
from faceskd.common.errors import ConfigError
from faceskd.common.files import sha256, write_text
from faceskd.data.manifest import MANIFEST

RECORD = "config.yaml"
FREE = (
    *("name", "out", "resume", "threads", "optimized_metric", "logger", "callbacks"),
    *("data.workers", "data.cache", "trainer.max_time", "trainer.accelerator"),
    *("trainer.log_every_n_steps", "trainer.enable_progress_bar", "trainer.enable_model_summary"),
)
"""Settings that change nothing in the weights, or only where and how fast they are made."""
NOT_SET = "not set"
MOST_TOLD = 20
HEADER = """\
# What this run was started with; `faceskd train` resumes it with the same settings only.
# `files` has the SHA-256 of each file that the settings name, or of a folder's manifest.
"""


@dataclass(frozen=True)
class RunRecord:
    """The settings of a run.

    Attributes:
        config: all of the config but what is `FREE`, resolved.
        files: path -> SHA-256 of the files that it names; of a folder of prepared faces, that of
            its manifest.
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
        named = {text for _, value in _leaves(config) for text in _texts(value)}
        digests = {text: _digest(text) for text in sorted(named)}
        return cls(config, {path: digest for path, digest in digests.items() if digest})

    @classmethod
    def read(cls, out: Path) -> "RunRecord | None":
        """What an earlier run left in its folder; None where there is nothing."""
        path = out / RECORD
        if not path.is_file():
            return None
        content = OmegaConf.to_container(OmegaConf.load(path))
        if not isinstance(content, dict) or not isinstance(content.get("config"), dict):
            raise ConfigError(f"{str(path)!r} is no record of a training: start anew, resume=false")
        return cls(content["config"], content.get("files") or {})

    def write(self, out: Path) -> None:
        """Write it into the run's folder."""
        content = OmegaConf.to_yaml(OmegaConf.create({"config": self.config, "files": self.files}))
        write_text(out / RECORD, HEADER + content)

    def applied_to(self, cfg: DictConfig) -> DictConfig:
        """This record's config, with what is `FREE` as it is in `cfg`."""
        merged = OmegaConf.create(self.config)
        for key in FREE:
            value = OmegaConf.select(cfg, key, default=NOT_SET)
            if value is not NOT_SET:
                OmegaConf.update(merged, key, value, force_add=True)
        return merged

    def check_same(self, cfg: DictConfig) -> None:
        """Whether a run of this record may go on with a config; it may have more steps.

        Raises:
            ConfigError: it may not; the message lists what differs, and the choices.
        """
        differences = list(self._differences(cfg))
        if not differences:
            return
        shown = differences[:MOST_TOLD]
        if len(differences) > MOST_TOLD:
            shown.append(f"... and {len(differences) - MOST_TOLD} more")
        lines = "\n".join(f"  {difference}" for difference in shown)
        raise ConfigError(
            f"{str(cfg.out)!r} holds a training with other settings:\n{lines}\n"
            "resume=stored goes on with its own settings, resume=false deletes it and starts "
            "again with yours, and another out= leaves it alone"
        )

    def _differences(self, cfg: DictConfig) -> Iterator[str]:
        steps, now_steps = self.config["steps"], cfg.steps
        if now_steps < steps:
            yield f"steps: {steps}, now {now_steps} (a training can only be made longer)"
        same_length = cfg.copy()
        same_length.steps = steps  # what is made of it, such as a schedule's length, may differ
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
    """Dotted keys and their values; a list is one value."""
    if isinstance(config, dict) and config:
        for key, value in config.items():
            yield from _leaves(value, f"{prefix}{key}.")
    else:
        yield prefix.removesuffix("."), config


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [text for text in values if isinstance(text, str)]


def _digest(text: str) -> str | None:
    """The SHA-256 of a file or of a folder's manifest, where the text names one."""
    path = Path(text)
    try:
        path = path / MANIFEST if path.is_dir() else path
        return sha256(path) if path.is_file() else None
    except (OSError, ValueError):  # too long for a path, or of characters that no path has
        return None


def _same(was: Any, came: Any, before: dict[str, str], after: dict[str, str]) -> bool:
    """Whether two values are equal, or name files of one content."""
    if isinstance(was, list) and isinstance(came, list) and len(was) == len(came):
        return all(_same(*pair, before, after) for pair in zip(was, came, strict=True))
    if isinstance(was, str) and isinstance(came, str) and was in before and came in after:
        return before[was] == after[came]
    return was == came
