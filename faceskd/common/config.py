"""The config files, and commands as Hydra applications."""

import functools
import hashlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
import hydra.utils
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue
from rich.console import Console

from faceskd.common.arguments import expanded, quoted, with_literal_paths
from faceskd.common.errors import ConfigError, FaceskdError, disk_full_as_error, reason

EXIT_SOME_FAILED = 1
"""Exit status of a command that did its work, but not for all files."""
EXIT_UNFINISHED = 75
"""Exit status for unfinished work (EX_TEMPFAIL of sysexits.h): run the command again."""
LONGEST_NAME = 120


def conf_dir() -> Path:
    """The folder of configs: inside the package if it is installed, beside it in a clone."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parent / "conf"):
        if folder.is_dir():
            return folder
    raise ConfigError(f"no folder conf/ in {package} or beside it: the installation is incomplete")


def _absolute(path: str | None) -> str | None:
    """The absolute path; None for none, and for an environment variable that is empty."""
    return str(Path(expanded(path)).absolute()) if path else None


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _chosen(*groups: str, _root_: Any) -> str | None:
    """The chosen option of the first config group that has one, such as an experiment's name.

    While Hydra composes the folder of a sweep, `HydraConfig` is not set yet, and the choices are in
    the config itself.
    """
    hydra_config = _root_.get("hydra") or HydraConfig.get()
    return _first(*(hydra_config.runtime.choices.get(group) for group in groups))


def _weights_file(name: str) -> str | None:
    """Path of a file in the folder FACESKD_WEIGHTS, or None if it does not exist."""
    folder = os.environ.get("FACESKD_WEIGHTS")
    path = Path(expanded(folder)).absolute() / name if folder else None
    return str(path) if path and path.is_file() else None


def folder_name(text: str) -> str:
    """A text as the name of a folder: short, without separators, different for different texts.

    Examples:
        >>> folder_name("seed=0"), folder_name("init=a/b.safetensors")
        ('seed=0', 'init=a_b.safetensors-dc44ee44')
    """
    safe = re.sub(r"[^\w.,=+\[\]-]|^\.", "_", text)[:LONGEST_NAME]  # "." and ".." are no names
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return text if safe == text else f"{safe}-{digest}"


def register_resolvers() -> None:
    """Register the functions that configs can use, such as `${absolute:PATH}`."""
    OmegaConf.register_new_resolver("folder_name", folder_name, replace=True)
    OmegaConf.register_new_resolver("first", _first, replace=True)
    OmegaConf.register_new_resolver("chosen", _chosen, replace=True)
    OmegaConf.register_new_resolver("sum", lambda *values: sum(values), replace=True)
    OmegaConf.register_new_resolver("quoted", quoted, replace=True)
    OmegaConf.register_new_resolver("absolute", _absolute, replace=True)
    OmegaConf.register_new_resolver("weights_file", _weights_file, replace=True)


register_resolvers()


def fail(error: FaceskdError) -> SystemExit:
    """Print the message of an error to stderr; return the SystemExit to raise."""
    Console(stderr=True, soft_wrap=True).print(f"error: {error}", style="bold red", markup=False)
    return SystemExit(error.exit_status)


@contextmanager
def errors_end_command() -> Iterator[None]:
    """Within the block, an error for the user ends the command: a message and an exit status.

    Every command runs its work in this block. A full disk is such an error, too. Other exceptions
    keep their traceback.
    """
    try:
        with disk_full_as_error():
            yield
    except FaceskdError as error:
        raise fail(error) from None
    except MissingMandatoryValue as error:
        key = error.full_key or str(error).splitlines()[0]
        raise fail(ConfigError(f"a value is missing: Missing mandatory value: {key}")) from None


def hydra_main(config_name: str) -> Callable[[Callable[[DictConfig], Any]], Callable[[], Any]]:
    """Decorator that makes a function of a config a Hydra application of `conf/<config_name>.yaml`.

    Paths on the command line are read literally (`faceskd.common.arguments`). Errors end it as in
    `errors_end_command`. The function itself is available as `.task`, for jobs.
    """

    def decorate(task: Callable[[DictConfig], Any]) -> Callable[[], Any]:
        started = False

        @functools.wraps(task)
        def guarded(cfg: DictConfig) -> Any:
            nonlocal started
            started = True
            with errors_end_command():
                return task(cfg)

        application = hydra.main(
            version_base="1.3", config_path=str(conf_dir()), config_name=config_name
        )(guarded)

        @functools.wraps(application)
        def entry() -> Any:
            sys.argv[1:] = with_literal_paths(sys.argv[1:])
            try:
                with errors_end_command():  # errors while the config is composed
                    return application()
            except SystemExit as end:
                if end.code == 1 and not started:  # Hydra found an unknown option or choice
                    raise SystemExit(ConfigError.exit_status) from None
                raise

        entry.task = task  # type: ignore[attr-defined]
        return entry

    return decorate


def is_sweep() -> bool:
    """Whether the command line runs a command for several values (`-m`)."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def given_options(config_name: str) -> dict[str, str]:
    """The options on the command line of `config_name`: name -> the word that sets it.

    Of `methods.student=FILE`, the name is `methods`. Empty where the command is a job of a plan:
    the command line is then that of the plan.
    """
    if not HydraConfig.initialized() or HydraConfig.get().job.config_name != config_name:
        return {}
    words = HydraConfig.get().overrides.task
    return {re.split("[.@=]", word.lstrip("+~"))[0]: word for word in words}


def compose(config_name: str, overrides: list[str] | tuple[str, ...] = ()) -> DictConfig:
    """Compose a config by its name, inside or outside a running Hydra application.

    Examples:
        >>> compose("model/bicubic")["model"]["_target_"]
        'faceskd.models.baselines.interpolation.Interpolation'
    """
    if GlobalHydra.instance().is_initialized():
        return hydra.compose(config_name, overrides=list(overrides))
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return hydra.compose(config_name, overrides=list(overrides))


def compose_model(name: str, overrides: list[str] | tuple[str, ...] = ()) -> dict[str, Any]:
    """The config of `conf/model/<name>.yaml` as a plain dictionary.

    Args:
        name: name of the network.
        overrides: overrides relative to the network, such as `width=16`.

    Raises:
        ConfigError: there is no such file.
    """
    known = sorted(path.stem for path in (conf_dir() / "model").glob("*.yaml"))
    if name not in known:
        raise ConfigError(f"no network named {name!r} in conf/model; there are {known}")
    prefixed = [f"model.{override}" for override in overrides]
    return to_plain(compose(f"model/{name}", prefixed)["model"])


def instantiate(config: Any, **arguments: Any) -> Any:
    """Hydra's `instantiate`, with errors for the user.

    Raises:
        FaceskdError: raised by the object that is built.
        ConfigError: a class refuses a value of the config.
    """
    try:
        return hydra.utils.instantiate(config, **arguments)
    except InstantiationException as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, FaceskdError):
                raise cause from None
            if isinstance(cause, (TypeError, ValueError)):
                raise ConfigError(f"{_key_of(error)} is invalid: {reason(cause)}") from error
            cause = cause.__cause__
        raise


def _key_of(error: InstantiationException) -> str:
    """The part of the config that could not be built."""
    text = str(error)
    found = re.search(r"^full_key: (.+)$", text, re.M) or re.search(r"target '(.+?)'", text)
    return found[1] if found else "the config"


def listed(value: Any) -> list[Any]:
    """One value, several, or none, as a list: on the command line, `models=a` means `models=[a]`.

    Examples:
        >>> listed("psnr"), listed(["psnr", "ssim"]), listed(None)
        (['psnr'], ['psnr', 'ssim'], [])
    """
    return value if isinstance(value, list) else [] if value is None else [value]


def to_plain(config: DictConfig | dict[str, Any]) -> dict[str, Any]:
    """A config as plain dictionaries and lists, with interpolations resolved."""
    if isinstance(config, DictConfig):
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        assert isinstance(plain, dict)
        return {str(key): value for key, value in plain.items()}
    return config
