"""Several networks as one."""

import pytest
import torch
from helpers.tiny_engines import make_teacher

from faceskd.common.errors import ConfigError
from faceskd.models import VGG19, Ensemble, Student, Teacher


def test_an_ensemble_makes_the_mean_of_its_faces_and_the_first_ones_features(batch):
    torch.manual_seed(0)
    teacher, student = (
        make_teacher().eval(),
        Student(encoder=VGG19(width=2, weights="random")).eval(),
    )
    lr, boxes = batch["lr"], batch["boxes"]
    with torch.no_grad():
        sr, features = Ensemble(networks=[student, teacher]).forward_features(lr, boxes)
        own, own_features = student.forward_features(lr)
        torch.testing.assert_close(sr, (own + teacher(lr, boxes)) / 2)
    for feature, expected in zip(features, own_features, strict=True):
        torch.testing.assert_close(feature, expected)


def test_an_ensemble_needs_boxes_where_one_does():
    student = Student(encoder=VGG19(width=2, weights="random"))
    assert Ensemble(networks=[student, make_teacher()]).needs_boxes
    assert not Ensemble(networks=[student, student]).needs_boxes


def test_hr_faces_reach_the_privileged_networks(batch):
    torch.manual_seed(0)
    teacher, privileged = make_teacher().eval(), make_teacher(privileged=True).eval()
    lr, boxes, hr = batch["lr"], batch["boxes"], batch["hr"]
    ensemble = Ensemble(networks=[teacher, privileged])
    assert ensemble.privileged
    assert not Ensemble(networks=[teacher]).privileged
    with torch.no_grad():
        expected = (teacher(lr, boxes) + privileged(lr, boxes, hr)) / 2
        assert not torch.allclose(privileged(lr, boxes, hr), privileged(lr, boxes))
        torch.testing.assert_close(ensemble(lr, boxes, hr), expected)


def test_networks_for_other_faces_or_none_are_refused():
    student = Student(encoder=VGG19(width=2, weights="random"))
    photo = Teacher(encoder=VGG19(width=2, weights="random"), scale=1, size=512)
    with pytest.raises(ConfigError, match=r"scale 8 and 256 px and a Teacher of scale 1 and 512"):
        Ensemble(networks=[student, photo])
    with pytest.raises(ConfigError, match="at least one network in an ensemble"):
        Ensemble(networks=[])
