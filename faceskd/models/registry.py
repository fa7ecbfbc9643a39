"""Names of networks in weights files.

A weights file stores a name, such as `"network": "lite"`, and this table gives the class. So a
class can move without breaking files, and only these classes can be built from a file. A new
network needs a line here. Never change a name.
"""

from typing import Any

from faceskd.common.errors import ConfigError

NETWORKS = {
    "teacher": "faceskd.models.teacher.Teacher",
    "student": "faceskd.models.student.Student",
    "lite": "faceskd.models.lite.Lite",
    "photo": "faceskd.models.photo.PhotoNet",
    "scene": "faceskd.models.scene.SceneNet",
    "cyclegan": "faceskd.models.cyclegan.CycleGenerator",
    "old_photo": "faceskd.models.old_photo.OldPhotoNet",
    "old_photo_vae": "faceskd.models.old_photo_vae.OldPhotoVAE",
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
"""Parts of networks: name -> class."""
TARGETS = NETWORKS | PARTS
NAMES = {target: name for name, target in TARGETS.items()}
OF_RELEASE_0_1 = {target.replace(".baselines.", "."): target for target in TARGETS.values()}
"""Import paths in the files of release 0.1 -> import paths of today."""
TARGET, NAME = "_target_", "network"


def check_registered(config: Any) -> None:
    """Raise a ConfigError if a config contains a class, at any depth, that is not registered."""
    if isinstance(config, dict):
        if TARGET in config and not (isinstance(config[TARGET], str) and config[TARGET] in NAMES):
            raise ConfigError(
                f"expected a class listed in faceskd.models.registry, got {config[TARGET]!r}"
            )
        config = list(config.values())
    if isinstance(config, (list, tuple)):
        for value in config:
            check_registered(value)


def to_stored(config: Any) -> Any:
    """Replace the import paths in a config of `conf/model/` by names, for a weights file.

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
    """Undo `to_stored`: the config of `conf/model/`. Also accepts the files of release 0.1.

    Unknown import paths stay unchanged; `check_registered` refuses them.

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
            f"expected one of the networks {', '.join(TARGETS)}, got {name!r}: the file is from a "
            "later version of faceskd, or from another program"
        )
    return TARGETS[name]
