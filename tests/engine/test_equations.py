"""What `experiment=paper_*` computes, against the equations of Jo et al. 2021 spelled out.

Eq. 1 (K-means) is tested in tests/dictionary/test_kmeans.py, eq. 8 in
tests/data/test_degradation.py.
"""

import numpy as np
import pytest
import torch

from faceskd.common.config import compose
from faceskd.engine.building import build_engine
from faceskd.models.blocks import upsample

TINY = ("model.encoder.width=2", "engine.metrics=[psnr]")


@pytest.fixture
def build(materials, quarter_weights):
    def make(experiment, *overrides):
        torch.manual_seed(0)
        given = [f"experiment={experiment}", "name=test", "out=out", *TINY, *overrides]
        if experiment.endswith("skd"):
            given += [f"engine.teacher={materials}/teacher.safetensors"]
        if experiment == "paper_teacher":
            given += ["model=teacher_tiny", f"model.dictionary={materials}/dictionary.safetensors"]
        given += [f"model.encoder.weights={materials}/encoder.safetensors"]
        return build_engine(compose("train", given))

    return make


@pytest.fixture
def faces():
    """Two smooth faces with boxes of their components."""
    generator = torch.Generator().manual_seed(1)
    hr = upsample(torch.rand(2, 3, 32, 32, generator=generator), 8)
    boxes = torch.tensor([[60, 90, 110, 130], [140, 90, 190, 130], [100, 110, 150, 170]])
    boxes = torch.cat((boxes, torch.tensor([[80, 170, 170, 220]])))
    return {
        "hr": hr,
        "lr": torch.nn.functional.avg_pool2d(hr, 8),
        "boxes": boxes.float().expand(2, 4, 4),
    }


def array(tensor):
    return tensor.detach().double().numpy()


def image_terms(engine, sr, hr):
    """100 L_recon + 20 L_vgg: eq. 4 on images in [-1, 1], and eq. 5."""
    recon = np.mean((2 * array(sr) - 1 - (2 * array(hr) - 1)) ** 2)
    vgg = engine.losses.losses["perceptual"].vgg
    pairs = list(zip(vgg(sr), vgg(hr), strict=True))
    assert len(pairs) == 5
    return 100 * recon + 20 * sum(np.mean(np.abs(array(s) - array(t))) for s, t in pairs)


def test_eq_2_a_decoder_stage_scales_and_shifts(build):
    stage = build("paper_student_no_kd").network.decoder.stages[0]
    generator = torch.Generator().manual_seed(2)
    channels, condition = stage.conv.in_channels, stage.scale[0].in_channels
    feature = torch.randn(1, channels, 4, 4, generator=generator)
    encoded = torch.randn(1, condition, 4, 4, generator=generator)
    stage.eval()
    literal = stage.up(upsample(stage.conv(feature) * stage.scale(encoded) + stage.shift(encoded)))
    assert torch.equal(stage(feature, encoded), literal)


def test_eq_3_without_distillation(build, faces):
    engine = build("paper_student_no_kd").eval()
    total, _, _ = engine.generator_loss(faces)
    expected = image_terms(engine, engine.network(faces["lr"]), faces["hr"])
    assert total.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("experiment", "levels"), [("paper_student_mskd", (0, 1, 2, 3)), ("paper_student_sskd", (3,))]
)
def test_eq_3_to_7(build, faces, experiment, levels):
    engine = build(experiment).eval()
    total, _, kept = engine.generator_loss(faces)
    sr, student = engine.network.forward_features(faces["lr"])
    _, teacher = engine.teacher.forward_features(faces["lr"], faces["boxes"])
    student, teacher = ([maps[level] for level in levels] for maps in (student, teacher))
    scored_student, scored_teacher = engine.discriminator(student), engine.discriminator(teacher)
    adversarial = sum(np.mean((array(score) - 1) ** 2) for score in scored_student)
    distance = sum(
        np.mean((array(s) - array(t)) ** 2) for s, t in zip(student, teacher, strict=True)
    )
    expected = image_terms(engine, sr, faces["hr"]) + adversarial + distance
    assert total.item() == pytest.approx(expected, rel=1e-4)
    discriminator = sum(
        np.mean((array(t) - 1) ** 2) + np.mean(array(s) ** 2)
        for s, t in zip(scored_student, scored_teacher, strict=True)
    )
    assert engine.discriminator_loss(kept).item() == pytest.approx(discriminator, rel=1e-4)


def test_the_teacher_of_dfdnet(build, faces):
    engine = build("paper_teacher").eval()
    total, _, kept = engine.generator_loss(faces)
    sr = engine.network(faces["lr"], faces["boxes"])
    scores, real = engine.discriminator(sr), engine.discriminator(faces["hr"])
    expected = image_terms(engine, sr, faces["hr"])
    expected += sum(np.mean((array(score) - 1) ** 2) for score in scores)
    assert total.item() == pytest.approx(expected, rel=1e-4)
    discriminator = sum(
        np.mean((array(r) - 1) ** 2) + np.mean(array(f) ** 2)
        for r, f in zip(real, scores, strict=True)
    )
    assert engine.discriminator_loss(kept).item() == pytest.approx(discriminator, rel=1e-4)


@pytest.mark.parametrize("experiment", ["paper_teacher", "paper_student_no_kd"])
def test_the_decoder_makes_the_whole_image(build, faces, experiment):
    """Without a bicubic skip the image of a head that gives zero is grey, whatever the face."""
    engine = build(experiment)
    last = engine.network.decoder.head[-1]
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.zeros_(last.bias)
    sr = engine.network(faces["lr"], faces["boxes"])
    assert torch.equal(sr, torch.full_like(sr, 0.5))


def test_the_paper_s_optimiser_and_batch(build):
    cfg = compose("train", ["experiment=paper_student_mskd", "engine.teacher=x", "out=o", "name=n"])
    assert cfg.data.batch_size == 24
    engine = build("paper_student_mskd")
    (network, discriminator), schedulers = engine.configure_optimizers()
    for optimizer in (network, discriminator):
        assert type(optimizer) is torch.optim.Adam
        assert optimizer.defaults["betas"] == (0.9, 0.999)
        assert [group["lr"] for group in optimizer.param_groups] == [2e-4]
    for scheduler in schedulers:
        for _ in range(3):
            scheduler.optimizer.step()
            scheduler.step()
        assert scheduler.get_last_lr() == [2e-4]
    assert engine.average is None
    assert engine.clip is None
