"""The trainings for old photos, a few steps each, in their order."""

import numpy as np
import pytest
import torch
from helpers.tiny_training import QUICK, checkpoint, train_here

from faceskd.common.config import compose
from faceskd.common.errors import ConfigError, WeightsError
from faceskd.common.images import write_image
from faceskd.engine.building import build_engine
from faceskd.engine.training import train
from faceskd.engine.variational import NOT_ALIGNED, kl_divergence
from faceskd.models.old_picture import OldPhoto
from faceskd.models.scratches import load_scratches
from faceskd.models.weights import load_network

VAE = ("model.widths=[4,6,8]", "model.latent=5", "model.blocks=1")
SMALL = (
    "data.size=32",
    "engine.metrics=[psnr]",
    "engine.average_decay=0.9",
    "engine.discriminator.width=2",
)

pytestmark = [
    pytest.mark.usefixtures("quarter_weights"),
    pytest.mark.filterwarnings("ignore:The number of training batches"),
]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Folders of two clean and two real old photos."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name in ("clean", "old"):
        for number in range(2):
            photo = rng.integers(0, 256, (40, 50, 3), np.uint8)
            write_image(folder / name / f"{number}.png", photo)
    return folder


def line(photos, experiment, out, *overrides):
    given = f"{{path:{photos}/clean,share:1}}"
    data = (f"+data.folders.a={given}", f"+data.val_folders.a={given}")
    return [*QUICK, f"experiment={experiment}", *data, f"out={out}", *overrides]


def run(*words):
    return train(compose("train", line(*words)))


@pytest.fixture(scope="module")
def vaes(photos, tmp_path_factory, quarter_folder):
    """Both VAEs, trained for four steps."""
    folder = tmp_path_factory.mktemp("vaes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACESKD_WEIGHTS", str(quarter_folder))
        old = run(photos, "old_vae_photos", folder / "old", *VAE, *SMALL, f"data.real={photos}/old")
        clean = run(photos, "old_vae_clean", folder / "clean", *VAE, *SMALL)
    return {"old": old, "clean": clean}


def test_the_vaes_train(vaes):
    for trained in vaes.values():
        assert trained.steps == 4 and np.isfinite(trained.metrics["val/psnr"])
        assert load_network(trained.weights).feature_info[0].channels == 5
    assert {"train/alignment", "train/kl"} <= vaes["old"].metrics.keys()
    assert "train/alignment" not in vaes["clean"].metrics
    judges = [
        key for key in checkpoint(vaes["old"].weights.parent)["state_dict"] if "latents" in key
    ]
    assert judges


def test_the_mapping_trains_between_them_and_leaves_them_as_they_are(vaes, photos, tmp_path):
    files = (f"engine.old_vae={vaes['old'].weights}", f"engine.clean_vae={vaes['clean'].weights}")
    words = (*VAE, *SMALL, *files, "model.width=8", "model.mapping=[1,1,1]", "steps=4")
    trained = run(photos, "old_mapping", tmp_path / "run", *words)
    assert trained.steps == 4 and np.isfinite(trained.metrics["val/psnr"])
    assert {"train/latent", "train/matching", "train/adversarial"} <= trained.metrics.keys()
    network = load_network(trained.weights)
    for name, part in (("old", network.encoder), ("clean", network.decoder)):
        vae = load_network(vaes[name].weights)
        source = vae.encoder if name == "old" else vae.decoder
        state = source.state_dict()
        assert all(torch.equal(value, state[key]) for key, value in part.state_dict().items())
    assert not any(key.startswith("clean.") for key in checkpoint(tmp_path / "run")["state_dict"])
    restored, _ = OldPhoto.load(trained.weights).restore(np.full((20, 30, 3), 90, np.uint8))
    assert restored.shape == (20, 30, 3)
    with pytest.raises(WeightsError, match=r"experiment=old_vae_clean as engine.clean_vae, got a"):
        wrong = ["engine.clean_vae=" + str(trained.weights)]
        build_engine(compose("train", line(photos, "old_mapping", tmp_path, *words, *wrong)))


def test_the_detector_trains(photos, tmp_path):
    small = ("engine.detector.widths=[4,6]", "data.size=32")
    trained = run(photos, "scratches", tmp_path / "run", *small)
    assert trained.steps == 4
    assert 0 <= trained.metrics["val/dice"] <= 1
    assert load_scratches(trained.weights).widths == [4, 6]


def test_real_old_photos_are_left_out_only_if_somebody_says_so(photos, tmp_path):
    words = line(photos, "old_vae_photos", tmp_path / "run", *VAE, *SMALL, "steps=1")
    status, output = train_here(*words)
    assert status == 2 and "a value is missing" in output and "data.real" in output
    status, output = train_here(*words, "data.real=null")
    assert status == 0 and NOT_ALIGNED in output


def test_latent_maps_of_real_photos_learn_and_those_of_generated_ones_do_not(photos, tmp_path):
    """The alignment moves real photos towards generated ones, which the mapping knows."""
    words = [*VAE, *SMALL, f"data.real={photos}/old"]
    engine = build_engine(compose("train", line(photos, "old_vae_photos", tmp_path, *words)))
    batch = {name: torch.rand(2, 3, 32, 32) for name in ("lr", "real")}
    _, parts, kept = engine.generator_loss(batch)
    (gradient,) = torch.autograd.grad(
        parts["alignment"], engine.network.encoder.moments.weight, retain_graph=True
    )
    assert gradient.any()
    images, sr, generated, aligned = kept
    assert len(images) == len(sr) == 4 and len(generated) == len(aligned) == 2
    engine.discriminator.eval()  # in train mode spectral norms iterate
    loss = engine.discriminator_loss(kept)
    judge, latents = engine.discriminator["images"], engine.discriminator["latents"]
    expected = sum(
        ((real - 1) ** 2).mean() + (fake**2).mean()
        for real, fake in zip(judge(images), judge(sr), strict=True)
    )
    expected += ((latents(generated) - 1) ** 2).mean() + (latents(aligned) ** 2).mean()
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        engine.adversarial.generator([latents(aligned)]), ((latents(aligned) - 1) ** 2).mean(),
        rtol=1e-5, atol=1e-5,
    )  # fmt: skip


def test_kl_divergence_is_that_of_torch():
    mean, log_variance = torch.randn(2, 5, 4, 4), torch.randn(2, 5, 4, 4)
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(
        normal(mean, (0.5 * log_variance).exp()), normal(0.0, 1.0)
    )
    torch.testing.assert_close(kl_divergence(mean, log_variance), expected.mean())


def test_networks_that_do_not_fit(photos, tmp_path):
    words = line(photos, "old_vae_clean", tmp_path, *SMALL, "model=scene")
    words.append("engine.latent_discriminator=null")
    with pytest.raises(ConfigError, match="expected a VAE"):
        build_engine(compose("train", words))
