"""`faceskd restore --kind old`: photos are repaired before their faces are found."""

import numpy as np
import pytest
import torch
from helpers.fakes import noise, write_nearest
from helpers.photo_runs import rows
from PIL import Image

from faceskd.commands.restore import main
from faceskd.common.errors import ConfigError
from faceskd.common.images import read_image, write_image
from faceskd.models.old_photo import OldPhotoNet
from faceskd.models.old_picture import OldPhoto
from faceskd.models.scratches import ScratchNet
from faceskd.models.weights import save_network
from faceskd.restore.old_photos import Repair, read_mask

TINY = {"widths": [4, 6, 8], "latent": 5, "blocks": 1, "width": 8, "mapping": [1, 1, 1]}


@pytest.fixture
def old_weights(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "old.safetensors"
    target = {"_target_": "faceskd.models.old_photo.OldPhotoNet"}
    save_network(path, OldPhotoNet(**TINY), target | TINY)
    return path


@pytest.fixture
def photo(tmp_path):
    picture = noise(40, 52, 3)
    write_image(tmp_path / "in/a.png", picture)
    return picture


def command(tmp_path, *options):
    """Restore at scale 1 with a known network for faces; noise shows none."""
    given = ["-i", tmp_path / "in", "-o", tmp_path / "out", "--scale", 1]
    return main([str(word) for word in (*given, "-w", write_nearest(tmp_path), *options)])


def restored(tmp_path):
    return read_image(tmp_path / "out/restored_imgs/a.png")


def mask(tmp_path):
    return np.asarray(Image.open(tmp_path / "out/masks/a.png").convert("L"))


def test_an_old_photo_is_repaired(tmp_path, old_weights, photo):
    assert command(tmp_path, "--kind", "old", "--old-weights", old_weights) == 0
    expected, _ = OldPhoto.load(old_weights).restore(photo)
    np.testing.assert_array_equal(restored(tmp_path), expected)
    assert not mask(tmp_path).any()


def test_scratches_are_found(tmp_path, old_weights, photo):
    torch.manual_seed(1)
    detector = ScratchNet(widths=(4, 6))
    detector.save(tmp_path / "scratches.safetensors")
    files = ("--old-weights", old_weights, "--scratch-weights", tmp_path / "scratches.safetensors")
    assert command(tmp_path, "--kind", "old-scratched", *files) == 0
    loaded = OldPhoto.load(old_weights, tmp_path / "scratches.safetensors")
    expected, found = loaded.restore(photo)
    np.testing.assert_array_equal(restored(tmp_path), expected)
    np.testing.assert_array_equal(mask(tmp_path), found)


def test_a_mask_that_was_edited_is_used(tmp_path, old_weights, photo):
    edited = np.zeros((40, 52), np.uint8)
    edited[10:14] = 255
    (tmp_path / "masks").mkdir()
    Image.fromarray(edited).save(tmp_path / "masks/a.png")
    files = ("--old-weights", old_weights, "--masks", tmp_path / "masks")
    assert command(tmp_path, "--kind", "old-scratched", *files) == 0
    expected, _ = OldPhoto.load(old_weights).restore(photo, edited)
    np.testing.assert_array_equal(restored(tmp_path), expected)
    np.testing.assert_array_equal(mask(tmp_path), edited)


def test_without_a_network_what_a_mask_marks_is_filled_in(tmp_path):
    y, x = np.mgrid[:40, :52]
    photo = np.repeat((2 * x + 2 * y)[..., None], 3, axis=2).astype(np.uint8)
    scratched, drawn = photo.copy(), np.zeros((40, 52), np.uint8)
    scratched[:, 20:22], drawn[:, 20:22] = 255, 255
    write_image(tmp_path / "in/a.png", scratched)
    write_image(tmp_path / "in/b.png", scratched)
    (tmp_path / "masks").mkdir()
    Image.fromarray(drawn).save(tmp_path / "masks/a.png")
    assert command(tmp_path, "--kind", "old-scratched", "--masks", tmp_path / "masks") == 1
    result = restored(tmp_path)
    np.testing.assert_array_equal(result[drawn == 0], photo[drawn == 0])
    assert np.abs(result.astype(int) - photo)[5:-5].max() <= 4
    table = rows(tmp_path / "out")
    assert table["b.png"]["status"] == "unreadable"
    assert "expected a mask b.png" in table["b.png"]["message"]


def test_a_missing_mask_is_said(tmp_path, old_weights, photo):
    (tmp_path / "masks").mkdir()
    files = ("--old-weights", old_weights, "--masks", tmp_path / "masks")
    assert command(tmp_path, "--kind", "old-scratched", *files) == 0
    assert "expected a mask a.png" in rows(tmp_path / "out")["a.png"]["message"]


def test_without_mask_and_detector_the_damage_is_unknown(old_weights, photo):
    loaded, masks = OldPhoto.load(old_weights), []
    forward = loaded.network.forward

    def recording(lr, *, mask):
        masks.append(mask)
        return forward(lr, mask=mask)

    loaded.network.forward = recording
    _, used = loaded.restore(photo)
    assert masks == [None] and not used.any()
    loaded.restore(photo, used)
    assert masks[1].shape == (1, 1, 40, 52) and not masks[1].any()


def painted(mask, kind):
    """A mask, bool (H, W), as different programs save it."""
    level = np.where(mask, 255, 0).astype(np.uint8)
    if kind == "16 bit":
        return Image.fromarray(level.astype(np.uint16) * 257)
    if kind == "white on transparent white":
        return Image.fromarray(np.stack([np.full_like(level, 255)] * 3 + [level], axis=2))
    if kind == "red":
        return Image.fromarray(np.stack([level, 0 * level, 0 * level], axis=2))
    return Image.fromarray(level)


@pytest.mark.parametrize("kind", ["8 bit", "16 bit", "white on transparent white", "red"])
def test_masks_of_any_program_mark_what_was_painted(tmp_path, kind):
    mask = np.zeros((9, 12), bool)
    mask[2:4, 5:] = True
    painted(mask, kind).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png") >= 128, mask)


def test_a_mask_that_marks_nothing_is_said(tmp_path, old_weights, photo):
    write_image(tmp_path / "masks/a.png", np.full((40, 52, 3), 90, np.uint8))
    files = ("--old-weights", old_weights, "--masks", tmp_path / "masks")
    assert command(tmp_path, "--kind", "old-scratched", *files) == 0
    assert "the mask a.png marks nothing" in rows(tmp_path / "out")["a.png"]["message"]


@pytest.mark.parametrize("detects", [False, True])
def test_a_mask_of_another_suffix_is_said(tmp_path, old_weights, photo, detects):
    write_image(tmp_path / "masks/a.jpg", np.full((40, 52, 3), 255, np.uint8))
    (tmp_path / "masks/a.txt").write_text("no mask")
    files = ["--old-weights", old_weights, "--masks", tmp_path / "masks"]
    if detects:
        ScratchNet(widths=(4, 6)).save(tmp_path / "scratches.safetensors")
        files += ["--scratch-weights", tmp_path / "scratches.safetensors"]
    assert command(tmp_path, "--kind", "old-scratched", *files) == 0
    then = "scratches were searched instead" if detects else "its scratches are not marked"
    assert f"found a.jpg: {then}" in rows(tmp_path / "out")["a.png"]["message"]


def test_a_repair_runs_on_its_device(old_weights):
    detector = old_weights.with_name("scratches.safetensors")
    ScratchNet(widths=(4, 6)).save(detector)
    loaded = OldPhoto.load(old_weights, detector, device="meta")
    for network in (loaded.network, loaded.detector):
        assert {value.device.type for value in network.parameters()} == {"meta"}
    with pytest.raises(ConfigError, match="expected a device"):
        Repair(old_weights, device="gpu")


def test_a_mask_of_another_size_costs_only_its_photo(tmp_path, old_weights, photo):
    write_image(tmp_path / "in/b.png", noise(30, 30, 3))
    (tmp_path / "masks").mkdir()
    Image.fromarray(np.zeros((9, 12), np.uint8)).save(tmp_path / "masks/a.png")
    files = ("--old-weights", old_weights, "--masks", tmp_path / "masks")
    assert command(tmp_path, "--kind", "old-scratched", *files) == 1
    table = rows(tmp_path / "out")
    assert table["a.png"]["status"] == "unreadable"
    expected = "the mask a.png is 12x9 pixels, the photo 52x40: give a mask of the photo's size"
    assert expected in table["a.png"]["message"]
    assert (tmp_path / "out/restored_imgs/b.png").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--kind", "old"), "expected --old-weights for --kind old"),
        (("--kind", "old", "--masks", "x"), "--masks has no effect with --kind old"),
        (("--kind", "old", "--noise", "2"), "--noise has no effect"),
        (("--old-weights", "x"), "--old-weights has no effect with --kind photo"),
    ],
)
def test_what_is_missing_or_has_no_effect_is_said(tmp_path, photo, capsys, options, message):
    with pytest.raises(SystemExit) as ended:
        command(tmp_path, *options)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_scratches_need_a_detector_or_masks(tmp_path, old_weights, photo, capsys):
    with pytest.raises(SystemExit):
        command(tmp_path, "--kind", "old-scratched", "--old-weights", old_weights)
    assert "expected --scratch-weights or --masks" in capsys.readouterr().err
