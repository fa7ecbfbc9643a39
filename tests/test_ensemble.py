"""Several networks as one."""

import torch
from tiny_engines import make_teacher

from faceskd.models import VGG19, Ensemble, Student

BOXES = torch.tensor([[8, 12, 24, 28], [40, 12, 56, 28], [24, 28, 40, 44], [20, 40, 44, 64.0]])


def test_an_ensemble_makes_the_mean_of_its_faces_and_the_first_ones_features():
    torch.manual_seed(0)
    teacher, student = make_teacher().eval(), Student(encoder=VGG19(width=2)).eval()
    lr, boxes = torch.rand(2, 3, 8, 8), BOXES.expand(2, 4, 4)
    with torch.no_grad():
        sr, features = Ensemble(networks=[student, teacher]).forward_features(lr, boxes)
        own, own_features = student.forward_features(lr)
        torch.testing.assert_close(sr, (own + teacher(lr, boxes)) / 2)
    for feature, expected in zip(features, own_features, strict=True):
        torch.testing.assert_close(feature, expected)


def test_an_ensemble_needs_boxes_where_one_does():
    student = Student(encoder=VGG19(width=2))
    assert Ensemble(networks=[student, make_teacher()]).needs_boxes
    assert not Ensemble(networks=[student, student]).needs_boxes
