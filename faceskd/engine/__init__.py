"""Lightning modules: how networks are trained."""

from faceskd.engine.adversarial import Adversarial
from faceskd.engine.autoencoder import Autoencoder
from faceskd.engine.base import Engine
from faceskd.engine.cycle import Cycle
from faceskd.engine.distillation import Distillation
from faceskd.engine.encoder_distillation import EncoderDistillation
from faceskd.engine.soft_targets import SoftTargets
from faceskd.engine.supervised import Supervised

__all__ = [
    "Adversarial",
    "Autoencoder",
    "Cycle",
    "Distillation",
    "EncoderDistillation",
    "Engine",
    "SoftTargets",
    "Supervised",
]
