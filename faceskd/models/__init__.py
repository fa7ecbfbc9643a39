"""Networks: the teacher, the students, the discriminators, and the baselines."""

from faceskd.models.base import FeatureInfo, SuperResolver
from faceskd.models.discriminators import (
    FeatureDiscriminators,
    MultiScaleDiscriminator,
    PatchDiscriminator,
    PatchGAN,
    ProjectedDiscriminator,
)
from faceskd.models.ensemble import Ensemble
from faceskd.models.student import Student
from faceskd.models.teacher import Teacher
from faceskd.models.vgg import VGG19

__all__ = [
    "VGG19",
    "Ensemble",
    "FeatureDiscriminators",
    "FeatureInfo",
    "MultiScaleDiscriminator",
    "PatchDiscriminator",
    "PatchGAN",
    "ProjectedDiscriminator",
    "Student",
    "SuperResolver",
    "Teacher",
]
