"""The names that files of weights know networks by.

A file says `"network": "lite"`, and this table says where that is: a class can move, and its files
still load. Nothing else can be built from a file. A new network needs a line here; a name is for
good.
"""

from typing import Any

from faceskd.common.errors import ConfigError

NETWORKS = {
    "teacher": "faceskd.models.teacher.Teacher",
    "student": "faceskd.models.student.Student",
    "lite": "faceskd.models.lite.Lite",
    "interpolation": "faceskd.models.baselines.interpolation.Interpolation",
    "srresnet": "faceskd.models.baselines.srresnet.SRResNet",
    "srfeat": "faceskd.models.baselines.srfeat.SRFeat",
    "rdn": "faceskd.models.baselines.rdn.RDN",
    "rcan": "faceskd.models.baselines.rcan.RCAN",
    "rrdb": "faceskd.models.baselines.rrdb.RRDBNet",
    "dbpn": "faceskd.models.baselines.dbpn.DBPN",
    "hifacegan": "faceskd.models.baselines.hifacegan.HiFaceGAN",
}
"""Whole networks: name -> class."""
PARTS = {
    "vgg19": "faceskd.models.vgg.VGG19",
    "sft_decoder": "faceskd.models.decoder.SFTDecoder",
    "residual_decoder": "faceskd.models.residual_decoder.ResidualDecoder",
}
"""What whole networks are made of."""
TARGETS = NETWORKS | PARTS
NAMES = {target: name for name, target in TARGETS.items()}
OF_RELEASE_0_1 = {target.replace(".baselines.", "."): target for target in TARGETS.values()}
"""Files of release 0.1 have import paths, as they were then."""
TARGET, NAME = "_target_", "network"


def check_registered(config: Any) -> None:
    """Raise a ConfigError if a config, however deep, would build what is not registered."""
    if isinstance(config, dict):
        if TARGET in config and not (isinstance(config[TARGET], str) and config[TARGET] in NAMES):
            raise ConfigError(
                f"expected a network of faceskd.models.registry, got {config[TARGET]!r}"
            )
        config = list(config.values())
    if isinstance(config, (list, tuple)):
        for value in config:
            check_registered(value)


def to_stored(config: Any) -> Any:
    """A config of `conf/model/` as files hold it: names in the place of import paths.

    Raises:
        ConfigError: something in it is not registered.

    Examples:
        >>> to_stored({"_target_": "faceskd.models.lite.Lite", "width": 48})
        {'network': 'lite', 'width': 48}
    """
    check_registered(config)
    if isinstance(config, dict):
        return {
            **({NAME: NAMES[config[TARGET]]} if TARGET in config else {}),
            **{key: to_stored(value) for key, value in config.items() if key != TARGET},
        }
    return [to_stored(value) for value in config] if isinstance(config, (list, tuple)) else config


def from_stored(config: Any) -> Any:
    """The config of `conf/model/` that `to_stored`, or release 0.1, made a file's of.

    Import paths that were never ours stay as they are: `check_registered` refuses them.

    Raises:
        ConfigError: a name that is not registered.

    Examples:
        >>> from_stored({"network": "lite", "width": 48})
        {'_target_': 'faceskd.models.lite.Lite', 'width': 48}
        >>> from_stored({"_target_": "faceskd.models.rdn.RDN"})
        {'_target_': 'faceskd.models.baselines.rdn.RDN'}
    """
    if isinstance(config, dict):
        config = {key: from_stored(value) for key, value in config.items()}
        if NAME in config:
            return {TARGET: _target(config.pop(NAME)), **config}
        if isinstance(config.get(TARGET), str):
            config[TARGET] = OF_RELEASE_0_1.get(config[TARGET], config[TARGET])
        return config
    return [from_stored(value) for value in config] if isinstance(config, (list, tuple)) else config


def _target(name: Any) -> str:
    if not isinstance(name, str) or name not in TARGETS:
        raise ConfigError(
            f"expected a network of {', '.join(TARGETS)}, got {name!r}: the file is of a later "
            "version, or of another program"
        )
    return TARGETS[name]
