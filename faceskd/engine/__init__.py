"""Lightning modules: how networks are trained."""

from faceskd.engine.adversarial import Adversarial
from faceskd.engine.autoencoder import Autoencoder
from faceskd.engine.base import Engine
from faceskd.engine.cycle import Cycle
from faceskd.engine.distillation import Distillation
from faceskd.engine.encoder_distillation import EncoderDistillation
from faceskd.engine.latent_mapping import MappingTraining
from faceskd.engine.scratches import ScratchTraining
from faceskd.engine.soft_targets import SoftTargets
from faceskd.engine.supervised import Supervised
from faceskd.engine.variational import Variational

__all__ = [
    "Adversarial",
    "Autoencoder",
    "Cycle",
    "Distillation",
    "EncoderDistillation",
    "Engine",
    "MappingTraining",
    "ScratchTraining",
    "SoftTargets",
    "Supervised",
    "Variational",
]
