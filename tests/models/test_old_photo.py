"""Old photos: the block against a loop, masks, tiles, the detector, whole pictures."""

import math

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from faceskd.common.config import compose_model
from faceskd.common.errors import ConfigError, ImageError, WeightsError
from faceskd.models.blocks import fuse
from faceskd.models.old_photo import LatentMapping, OldPhotoNet, PartialNonLocal
from faceskd.models.old_photo_vae import OldPhotoVAE, drawn
from faceskd.models.old_picture import OldPhoto
from faceskd.models.scratches import ScratchNet, load_scratches, scratch_mask
from faceskd.models.tiling import blended_tiles
from faceskd.models.weights import build_network, load_network, save_network

SMALL = {"widths": (4, 6, 8), "latent": 5, "blocks": 1}


def net(**options):
    torch.manual_seed(0)
    return OldPhotoNet(**{**SMALL, "width": 8, "mapping": (1, 1, 1)} | options).eval()


# The partial non-local block.


def literal(block, features, mask):
    """Section 3.2 of the paper, one place after the other."""
    theta, phi, mu = (
        conv(features)[0].flatten(1).double() for conv in (block.theta, block.phi, block.mu)
    )
    m = mask.flatten().double()
    places = []
    for i in range(theta.shape[1]):
        f = [math.exp(float(theta[:, i] @ phi[:, j])) for j in range(theta.shape[1])]
        total = sum((1 - m[k]) * f[k] for k in range(len(f)))
        places.append(sum((1 - m[j]) * f[j] / total * mu[:, j] for j in range(len(f))))
    found = torch.stack(places, dim=1).float().view(1, -1, *features.shape[-2:])
    return block.nu(found)


@pytest.mark.parametrize("kind", ["none", "some", "soft", "unknown"])
def test_the_block_is_the_equation(kind):
    torch.manual_seed(0)
    block, features = PartialNonLocal(6, 4), 2 * torch.randn(1, 6, 4, 5)
    masks = {
        "none": torch.zeros(1, 1, 4, 5),
        "some": (torch.rand(1, 1, 4, 5) < 0.4).float(),
        "soft": torch.rand(1, 1, 4, 5),
        "unknown": torch.full((1, 1, 4, 5), 0.5),
    }
    with torch.no_grad():
        came = block(features, masks[kind])
        torch.testing.assert_close(came, literal(block, features, masks[kind]), atol=1e-5, rtol=0)
        if kind == "unknown":  # equal weights cancel
            torch.testing.assert_close(came, block(features, masks["none"]), atol=1e-5, rtol=0)


def test_masked_places_give_nothing():
    torch.manual_seed(0)
    block, features = PartialNonLocal(6, 4), torch.randn(2, 6, 5, 5)
    mask = torch.zeros(2, 1, 5, 5)
    mask[:, :, 1:3, 2:4] = 1
    other = torch.where(mask > 0, 100 * torch.randn_like(features), features)
    with torch.no_grad():
        same = (mask == 0).expand_as(features)
        torch.testing.assert_close(block(other, mask)[same], block(features, mask)[same])
        assert not torch.allclose(block(other, 0 * mask)[same], block(features, 0 * mask)[same])


def test_a_photo_that_is_masked_everywhere_counts_everywhere():
    torch.manual_seed(0)
    block, features = PartialNonLocal(6, 4), torch.randn(2, 6, 3, 3, requires_grad=True)
    mask = torch.zeros(2, 1, 3, 3)
    mask[1] = 1
    came = block(features, mask)
    torch.testing.assert_close(came, block(features, torch.zeros_like(mask)))
    came.sum().backward()
    assert features.grad.isfinite().all()


def test_the_branches_are_chosen_by_the_mask():
    """F_fused = (1 - m) local(F) + m global(O)."""
    torch.manual_seed(0)
    mapping, latent = LatentMapping(latent=5, width=8, blocks=(1, 1, 1)), torch.randn(1, 5, 4, 4)
    mask = torch.rand(1, 1, 4, 4)
    with torch.no_grad():
        features = mapping.before(latent)
        near = mapping.local_branch(features)
        far = mapping.global_branch(mapping.non_local(features, mask))
        expected = mapping.after((1 - mask) * near + mask * far)
        torch.testing.assert_close(mapping(latent, mask), expected)


# The network and the VAE.


@pytest.mark.parametrize("size", [(64, 64), (33, 50), (4, 4), (1, 9)])
def test_any_size_comes_back_as_it_was(size):
    lr = torch.rand(2, 3, *size)
    assert net()(lr, mask=torch.zeros(2, 1, *size)).shape == lr.shape
    assert OldPhotoVAE(**SMALL).eval()(lr).shape == lr.shape


def test_a_cell_is_masked_if_one_of_its_pixels_is():
    network, lr = net(), torch.rand(1, 3, 16, 16)
    one, cell = torch.zeros(1, 1, 16, 16), torch.zeros(1, 1, 16, 16)
    one[..., 6, 9] = 1
    cell[..., 4:8, 8:12] = 1
    with torch.no_grad():
        assert torch.equal(network(lr, mask=one), network(lr, mask=cell))
        assert not torch.equal(network(lr, mask=one), network(lr, mask=0 * one))
        half = torch.full_like(one, 0.5)
        assert torch.equal(network(lr), network(lr, mask=half))


def test_a_mask_of_another_size_is_refused():
    with pytest.raises(ImageError, match=r"of the images, \(1, 1, 8, 8\), got \(1, 1, 8, 9\)"):
        net()(torch.rand(1, 3, 8, 8), mask=torch.zeros(1, 1, 8, 9))


def test_at_most_twenty_gmacs_for_256_px():
    for name, most in (("old_photo", 12), ("old_photo_vae", 4)):
        network = fuse(build_network(compose_model(name))).to("meta")
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, 3, 256, 256, device="meta"))
        assert most / 2 < counter.get_total_flops() / 2e9 <= most


def test_encoder_and_decoder_come_from_the_vaes():
    torch.manual_seed(1)
    old, clean, network = OldPhotoVAE(**SMALL), OldPhotoVAE(**SMALL), net()
    network.load_vaes(old, clean)
    lr = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        _, (latent,) = network.forward_features(lr)
        torch.testing.assert_close(network(lr), clean.decoder(latent))
        assert torch.equal(network.encoder(lr)[0], old.encoder(lr)[0])
    trained = {name.split(".")[0] for name, p in network.named_parameters() if p.requires_grad}
    assert trained == {"mapping"}
    with pytest.raises(WeightsError, match="the decoder of the VAE of clean photos does not fit"):
        network.load_vaes(old, OldPhotoVAE(**SMALL | {"widths": (4, 6, 9)}))


def test_a_sample_has_its_mean_and_variance():
    torch.manual_seed(0)
    sample = drawn(torch.full((20000,), 3.0), torch.full((20000,), math.log(4.0)))
    assert sample.mean().item() == pytest.approx(3, abs=0.06)  # four standard errors
    assert sample.std().item() == pytest.approx(2, abs=0.04)


def test_a_vae_samples_in_training_only():
    vae, lr = OldPhotoVAE(**SMALL), torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        assert not torch.equal(vae.train()(lr), vae(lr))
        mean = vae.eval().encoder(lr)[0]
        assert torch.equal(vae(lr), vae.decoder(mean))


@pytest.mark.parametrize("network", [OldPhotoVAE, OldPhotoNet])
def test_three_widths(network):
    with pytest.raises(ConfigError, match=r"expected three widths, got \[4, 8\]"):
        network(widths=(4, 8))


# Tiles.


@pytest.mark.parametrize("size", [(5, 7), (40, 40), (64, 33), (45, 49), (130, 97)])
def test_tiles_of_a_pixelwise_function_are_the_whole(size):
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    came = blended_tiles(
        picture, lambda part, *_: 255.0 - part.astype(np.float32), channels=3, tile=40, overlap=16
    )
    np.testing.assert_array_equal(came, 255 - picture)


@pytest.mark.parametrize("length", [39, 41, 97, 130])
def test_tiles_begin_at_multiples_of_the_stride(length):
    rows_of, picture = [], np.random.default_rng(0).integers(0, 256, (length, 20, 3), np.uint8)

    def same(part, rows, columns):
        rows_of.append(rows)
        assert len(part) == rows.stop - rows.start <= 40
        return part.astype(np.float32)

    came = blended_tiles(picture, same, channels=3, tile=40, overlap=12, stride=4)
    np.testing.assert_array_equal(came, picture)
    assert all(rows.start % 4 == 0 for rows in rows_of) and rows_of[-1].stop == length


def test_overlaps_are_linear_ramps_in_both_directions():
    """Tiles of different values: along each axis the result goes from one to the next in steps."""
    values = iter([0.0, 100.0, 200.0, 60.0])
    came = blended_tiles(
        np.zeros((70, 70, 3), np.uint8),
        lambda part, *_: np.full((*part.shape[:2], 1), next(values), np.float32),
        channels=1, tile=40, overlap=10,
    )[..., 0].astype(int)  # fmt: skip
    ramp = (np.arange(10) + 0.5) / 10
    np.testing.assert_allclose(came[0, 30:40], 100 * ramp, atol=1)
    np.testing.assert_allclose(came[30:40, 0], 200 * ramp, atol=1)
    upper, lower = 100 * ramp, 200 - 140 * ramp
    expected = upper + ramp[:, None] * (lower - upper)
    np.testing.assert_allclose(came[30:40, 30:40], expected, atol=1)
    assert (came[0, 0], came[0, -1], came[-1, 0], came[-1, -1]) == (0, 100, 200, 60)


# The detector.


@pytest.mark.parametrize("size", [(64, 64), (33, 50), (1, 9)])
def test_the_detector_takes_any_size(size):
    image = torch.rand(2, 3, *size)
    assert ScratchNet(widths=(4, 6, 8))(image).shape == (2, 1, *size)
    with pytest.raises(ConfigError, match="at least two widths"):
        ScratchNet(widths=(4,))


def test_a_detector_is_written_and_read(tmp_path):
    path, image = tmp_path / "s.safetensors", torch.rand(1, 3, 20, 20)
    detector = ScratchNet(widths=(4, 6)).eval()
    detector.save(path, {"steps": 3})
    with torch.no_grad():
        assert torch.equal(load_scratches(path)(image), detector(image))
    write_network(tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=r"expected a scratch detector in .*'faceskd-network"):
        load_scratches(tmp_path / "other.safetensors")


class White(ScratchNet):
    """Finds what is lighter than a level; the logit is 0 there."""

    def forward(self, image):
        return 40 * (image.mean(1, keepdim=True) - 0.8)


def test_the_mask_of_a_picture_is_what_the_detector_finds():
    picture = np.random.default_rng(0).integers(0, 256, (600, 530, 1), np.uint8).repeat(3, axis=2)
    mask = scratch_mask(White(widths=(4, 6)), picture)
    assert mask.shape == (600, 530) and mask.dtype == np.uint8
    level = picture[..., 0] / 255
    np.testing.assert_array_equal(mask[level > 0.81], 255)
    np.testing.assert_array_equal(mask[level < 0.79], 0)


# Whole pictures.


def write_network(path):
    target = {"_target_": "faceskd.models.old_photo.OldPhotoNet"}
    config = {"widths": [4, 6, 8], "latent": 5, "blocks": 1, "width": 8, "mapping": [1, 1, 1]}
    torch.manual_seed(0)
    save_network(path, OldPhotoNet(**config), target | config)


def test_a_picture_is_restored_with_the_mask_that_is_found_or_given(tmp_path):
    write_network(tmp_path / "net.safetensors")
    White(widths=(4, 6)).save(tmp_path / "scratches.safetensors")
    picture = np.random.default_rng(0).integers(0, 256, (40, 51, 3), np.uint8)
    plain = OldPhoto.load(tmp_path / "net.safetensors")
    restored, mask = plain.restore(picture)
    assert restored.shape == picture.shape and restored.dtype == np.uint8 and not mask.any()
    loaded = OldPhoto.load(tmp_path / "net.safetensors", tmp_path / "scratches.safetensors")
    assert loaded.detector is not None
    detecting = OldPhoto(plain.network, White(widths=(4, 6)))
    found, mask = detecting.restore(picture)
    np.testing.assert_array_equal(mask, scratch_mask(detecting.detector, picture))
    again, used = plain.restore(picture, mask // 2 + 60)  # an edited mask may be grey
    np.testing.assert_array_equal(used, mask)
    np.testing.assert_array_equal(again, found)
    assert (found != restored).any()


def test_large_pictures_go_through_in_tiles_and_grey_stays_grey():
    sizes = []
    network = net()
    forward = network.forward
    network.forward = lambda lr, **given: (sizes.append(lr.shape[-2:]), forward(lr, **given))[1]
    picture = np.random.default_rng(0).integers(0, 256, (60, 1200, 1), np.uint8).repeat(3, axis=2)
    restored, _ = OldPhoto(network).restore(picture)
    assert restored.shape == picture.shape
    assert (restored == restored[..., :1]).all()
    assert len(sizes) == 3 and max(max(size) for size in sizes) <= 512


def test_masks_and_weights_that_do_not_fit(tmp_path):
    picture = np.zeros((8, 9, 3), np.uint8)
    for mask in (np.zeros((9, 8), np.uint8), np.zeros((8, 9), bool)):
        with pytest.raises(ImageError, match=r"expected a mask as uint8 of \(8, 9\), got"):
            OldPhoto(net()).restore(picture, mask)
    config = {"_target_": "faceskd.models.old_photo_vae.OldPhotoVAE", "latent": 4}
    save_network(tmp_path / "vae.safetensors", build_network(config), config)
    assert isinstance(load_network(tmp_path / "vae.safetensors"), OldPhotoVAE)
    with pytest.raises(WeightsError, match=r"expected a network for old photos .* OldPhotoVAE"):
        OldPhoto.load(tmp_path / "vae.safetensors")
