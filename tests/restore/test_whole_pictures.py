"""Pictures that one network restores as a whole."""

import numpy as np
import pytest
import torch
from helpers.fakes import Brighter, Known, noise, write_nearest
from helpers.photo_runs import rows
from PIL import Image

from faceskd.commands.restore import main
from faceskd.common.errors import ConfigError, ImageError, WeightsError
from faceskd.common.images import write_image
from faceskd.export import export_network
from faceskd.export.onnx import Onnx
from faceskd.models.baselines.rdn import RDN
from faceskd.models.cyclegan import TRANSLATION, CycleGenerator
from faceskd.models.old_photo import OldPhotoNet
from faceskd.models.old_photo_vae import OldPhotoVAE
from faceskd.models.photo import PhotoNet
from faceskd.models.scene import SceneNet
from faceskd.models.weights import save_network
from faceskd.restore import whole_pictures
from faceskd.restore.background import TiledScene, enlarged_background
from faceskd.restore.photo_files import spread_colours
from faceskd.restore.plan import plan_inputs
from faceskd.restore.restorer import Restorer
from faceskd.restore.stream import restore_inputs
from faceskd.restore.whole_pictures import PictureRestorer, Translator, WholePictures

TINY = {"width": 8, "blocks": 1, "narrow": 8}


@pytest.fixture
def unchanging():
    """A network that adds nothing, so that the result is Lanczos enlargement."""
    network = SceneNet(**TINY)
    for parameter in network.head.parameters():
        torch.nn.init.zeros_(parameter)
    return network


@pytest.fixture
def weights(tmp_path, unchanging):
    path = tmp_path / "net.safetensors"
    save_network(path, unchanging, {"_target_": "faceskd.models.scene.SceneNet", **TINY})
    return path


def command(tmp_path, weights, *options):
    given = ["-i", tmp_path / "in", "-o", tmp_path / "out", "-w", weights, "--kind", "drawing"]
    return main([str(word) for word in (*given, *options)])


class TestPictureRestorer:
    @pytest.mark.parametrize("scale", [1, 1.5, 2])
    def test_the_network_adds_to_the_enlarged_picture(self, unchanging, scale):
        picture = noise(70, 41, 3)
        size = (round(41 * scale), round(70 * scale))
        restored = PictureRestorer(unchanging, scale=scale, precision="fp32")(picture)
        np.testing.assert_array_equal(restored, enlarged_background(picture, size, "lanczos"))

    def test_beyond_the_trained_scale_its_result_is_enlarged(self):
        picture, network = noise(30, 40, 3), Brighter(0.1)
        twice = PictureRestorer(network, scale=2, precision="fp32")(picture)
        thrice = PictureRestorer(network, scale=3, precision="fp32")(picture)
        np.testing.assert_array_equal(thrice, enlarged_background(twice, (120, 90), "lanczos"))
        further = PictureRestorer(network, scale=3, trained_scale=3, precision="fp32")(picture)
        assert (further != thrice).any()

    @pytest.mark.parametrize("scale", [0.5, 5, float("nan")])
    def test_other_scales_are_refused(self, unchanging, scale):
        with pytest.raises(ConfigError, match="a scale from 1 to 4"):
            PictureRestorer(unchanging, scale=scale)

    def test_too_large_results_are_refused(self, unchanging, monkeypatch):
        monkeypatch.setattr("faceskd.restore.background.MAX_RESULT_PIXELS", 9_000)
        with pytest.raises(ImageError, match=r"at most 9,000 pixels, got 120x80"):
            PictureRestorer(unchanging, scale=4, precision="fp32")(noise(20, 30, 3))
        scene = TiledScene(lambda part: part.repeat(1, 1, 4, 4), scale=4)
        with pytest.raises(ImageError, match=r"at most 9,000 pixels, got 120x80"):
            scene(noise(20, 30, 3), (30, 20))  # what the network makes first is as large

    def test_networks_for_faces_are_refused(self, tmp_path):
        with pytest.raises(ConfigError, match=r"of scale 1 or 4 .*, got one of scale 8"):
            PictureRestorer(write_nearest(tmp_path))


class TestColoursUnderTransparency:
    def test_hidden_pixels_get_the_nearest_colour_that_shows(self):
        image = np.zeros((1, 6, 3), np.uint8)
        image[0, 1], image[0, 5] = (200, 0, 0), (0, 0, 90)
        alpha = np.array([[0, 255, 0, 0, 0, 10]], np.uint8)
        spread = spread_colours(image, alpha)[0]
        assert spread[:3, 0].tolist() == [200] * 3
        assert spread[4:, 2].tolist() == [90] * 2

    def test_pictures_without_hidden_pixels_stay(self):
        image = noise(4, 4, 3)
        assert spread_colours(image, None) is image
        assert spread_colours(image, np.full((4, 4), 7, np.uint8)) is image
        assert spread_colours(image, np.zeros((4, 4), np.uint8)) is image


class TestCommand:
    def test_transparency_is_kept_and_nothing_shines_through(self, tmp_path, weights):
        picture = np.zeros((40, 30, 4), np.uint8)  # black where it is transparent
        picture[10:30, 8:22] = (250, 240, 230, 255)
        (tmp_path / "in").mkdir()
        Image.fromarray(picture).save(tmp_path / "in/a.png")
        assert command(tmp_path, weights, "--scale", "2") == 0
        result = np.asarray(Image.open(tmp_path / "out/restored_imgs/a.png"))
        assert result.shape == (80, 60, 4)
        assert (result[..., :3] == (250, 240, 230)).all()
        assert result[0, 0, 3] == 0 and result[40, 30, 3] == 255

    def test_transparency_goes_through_the_network(self, tmp_path):
        picture = np.full((20, 30, 4), 100, np.uint8)
        (tmp_path / "in").mkdir()
        Image.fromarray(picture).save(tmp_path / "in/flat.png")
        picture[:, 15:, 3] = 200
        Image.fromarray(picture).save(tmp_path / "in/a.png")
        restorer = PictureRestorer(Brighter(0.2), scale=2, precision="fp32")
        inputs = plan_inputs(tmp_path / "in", tmp_path / "out", folders=("restored_imgs",))
        for alpha, expected in ((True, [151, 251]), (False, [100, 200])):
            restore_inputs(restorer, inputs, tmp_path / "out", WholePictures(alpha=alpha))
            result = np.asarray(Image.open(tmp_path / "out/restored_imgs/a.png"))
            assert result.shape == (40, 60, 4)
            assert (result[..., :3] == 151).all() and result[9, [9, 50], 3].tolist() == expected
            flat = np.asarray(Image.open(tmp_path / "out/restored_imgs/flat.png"))
            assert (flat[..., :3] == 151).all() and (flat[..., 3] == 100).all()

    def test_a_broken_file_costs_only_itself(self, tmp_path, weights):
        write_image(tmp_path / "in/a.png", noise(20, 30, 3))
        (tmp_path / "in/b.png").write_bytes(b"no picture")
        assert command(tmp_path, weights, "--scale", "1") == 1
        table = rows(tmp_path / "out")
        assert (table["a.png"]["status"], table["b.png"]["status"]) == ("ok", "unreadable")
        assert table["a.png"]["image"] == "restored_imgs/a.png"

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (("--faces", "force"), "--faces has no effect with --kind drawing"),
            (("--only-center-face",), "--only-center-face has no effect"),
            (("--scale", "8"), "a scale from 1 to 4"),
        ],
    )
    def test_what_has_no_effect_is_refused(self, tmp_path, weights, capsys, options, message):
        write_image(tmp_path / "in/a.png", noise(20, 30, 3))
        with pytest.raises(SystemExit) as ended:
            command(tmp_path, weights, *options)
        assert ended.value.code == 2
        assert message in capsys.readouterr().err

    def test_noise_is_for_drawings(self, tmp_path, capsys):
        write_image(tmp_path / "in/a.png", noise(40, 40, 3))
        given = ["-i", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--noise", "3"]
        with pytest.raises(SystemExit):
            main([*given, "-w", str(write_nearest(tmp_path))])
        assert "--noise has no effect with --kind photo" in capsys.readouterr().err


class TestTranslation:
    @pytest.fixture
    def translation(self, tmp_path):
        """Weights of a translation with random values, and its network."""
        config = {"width": 4, "blocks": 1}
        network = CycleGenerator(**config).eval()
        path = tmp_path / "translation.safetensors"
        target = {"_target_": "faceskd.models.cyclegan.CycleGenerator", **config}
        save_network(path, network, target, {TRANSLATION: "a to b"})
        return path, network

    def translate(self, tmp_path, *options):
        given = ["-i", tmp_path / "in", "-o", tmp_path / "out", "--kind", "translation"]
        return main([str(word) for word in (*given, "--precision", "fp32", *options)])

    def test_the_whole_picture_goes_through_the_network(self, tmp_path, translation):
        weights, network = translation
        picture = noise(37, 50, 3)
        write_image(tmp_path / "in/a.png", picture)
        assert self.translate(tmp_path, "--weights", weights) == 0
        with torch.no_grad():
            wanted = network(torch.from_numpy(picture).movedim(-1, 0)[None] / 255)[0]
        got = np.asarray(Image.open(tmp_path / "out/restored_imgs/a.png")).astype(float)
        assert np.abs(got - 255 * wanted.movedim(0, -1).numpy()).max() <= 0.51

    def test_a_picture_that_is_too_large_costs_only_itself(
        self, tmp_path, translation, monkeypatch
    ):
        monkeypatch.setattr(whole_pictures, "LARGEST_TRANSLATED", 1000)
        write_image(tmp_path / "in/large.png", noise(40, 40, 3))
        write_image(tmp_path / "in/small.png", noise(20, 20, 3))
        assert self.translate(tmp_path, "--weights", translation[0]) == 1
        table = rows(tmp_path / "out")
        assert table["small.png"]["status"] == "ok"
        assert table["large.png"]["status"] == "unreadable"
        assert "make the picture smaller first" in table["large.png"]["message"]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (("--scale", "3"), "--scale has no effect with --kind translation"),
            (("--noise", "2"), "--noise has no effect with --kind translation"),
            ((), "expected --weights for --kind translation"),
        ],
    )
    def test_what_cannot_work_is_refused(self, tmp_path, capsys, options, message):
        write_image(tmp_path / "in/a.png", noise(20, 30, 3))
        with pytest.raises(SystemExit) as ended:
            self.translate(tmp_path, *options)
        assert ended.value.code == 2
        assert message in capsys.readouterr().err


VAE = {"widths": [4, 4, 4], "latent": 4, "blocks": 1}
NETWORKS = {
    "faces": (PhotoNet, {"widths": [8, 16, 16], "blocks": 1, "mixing": [0, 0], "size": 64}),
    "pictures": (SceneNet, TINY),
    "translations": (CycleGenerator, {"width": 4, "blocks": 1}),
    "old photos": (OldPhotoNet, VAE | {"width": 8, "mapping": [1, 1, 1]}),
    "old photos, its VAE": (OldPhotoVAE, VAE),
}
USES = {
    "faces": Restorer,
    "pictures": PictureRestorer,
    "translations": Translator,
    "pictures, as background": lambda scene: Restorer(Brighter(), scene=scene, detector=Known()),
}


class TestPurpose:
    """Networks of scale 1 are refused where they are for something else."""

    def write(self, path, kind, options, **metadata):
        target = f"{kind.__module__}.{kind.__qualname__}"
        save_network(path, kind(**options), {"_target_": target, **options}, metadata)
        return path

    @pytest.mark.parametrize("use", USES)
    @pytest.mark.parametrize("name", NETWORKS)
    def test_a_network_is_taken_for_its_purpose_only(self, tmp_path, use, name):
        path = self.write(tmp_path / "net.safetensors", *NETWORKS[name])
        wanted, purpose = use.split(",")[0], name.split(",")[0]
        kind, options = NETWORKS[name]
        for weights, origin in ((path, str(path)), (kind(**options), kind.__name__)):
            if purpose == wanted:
                USES[use](weights)
                continue
            message = f"for {wanted} in '{origin}', got one for {purpose}: "
            with pytest.raises(WeightsError, match=message):
                USES[use](weights)

    def test_exported_files_say_their_purpose(self, tmp_path):
        path = tmp_path / "net.onnx"
        network = CycleGenerator(width=4, blocks=1)
        config = {"_target_": "faceskd.models.cyclegan.CycleGenerator", "width": 4, "blocks": 1}
        export_network(network, path, backend=Onnx(), model_config=config)
        with pytest.raises(WeightsError, match="got one for translations"):
            PictureRestorer(path)
        Translator(path)

    def test_of_other_networks_the_metadata_decide(self, tmp_path):
        network = RDN, {"width": 4, "growth": 4, "blocks": 1, "layers": 1, "scale": 1}
        PictureRestorer(self.write(tmp_path / "a.safetensors", *network))
        with pytest.raises(WeightsError, match=r"for translations .* got one for another use"):
            Translator(tmp_path / "a.safetensors")
        Translator(self.write(tmp_path / "b.safetensors", *network, **{TRANSLATION: "a to b"}))
        with pytest.raises(WeightsError, match=r"for pictures .* got one for translations"):
            PictureRestorer(tmp_path / "b.safetensors")
