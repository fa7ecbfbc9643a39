"""The contract of every file of conf/model/, and what sets teacher and student apart."""

import math
from copy import deepcopy
from functools import cache

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from faceskd.components import COMPONENTS
from faceskd.config import compose_model, conf_dir
from faceskd.dictionary import Dictionary
from faceskd.errors import ConfigError, DictionaryError
from faceskd.models import (
    VGG19,
    FeatureDiscriminators,
    FeatureInfo,
    MultiScaleDiscriminator,
    PatchDiscriminator,
    ProjectedDiscriminator,
    Student,
    SuperResolver,
    Teacher,
)
from faceskd.models.blocks import MultiDilationBlock, ResidualBlock, bicubic, conv3x3, fold
from faceskd.models.decoder import SFTDecoder, SFTStage
from faceskd.models.transfer import FeatureTransfer
from faceskd.weights import build_network, without_files

NAMES = sorted(path.stem for path in (conf_dir() / "model").glob("*.yaml"))
INTERPOLATIONS = ("bicubic", "bilinear", "lanczos", "nearest")
FULL_SIZE = {
    *("dbpn", "hifacegan", "rcan", "rdn", "rrdb", "srfeat"),
    *("student_paper", "teacher_paper", "teacher_literal"),
}
"""Too large for gradients here: held to shapes and `feature_info` only."""
SMALL = [name for name in NAMES if name not in FULL_SIZE]
SIZE = 16
"""Side of LR faces: a component is still more than a cell at stride 16."""


@cache
def build(name: str) -> SuperResolver:
    """One network for all tests, in the state that the test before left it in."""
    torch.manual_seed(0)
    return with_dictionary(build_network(without_files(compose_model(name))))


def with_dictionary(network: SuperResolver) -> SuperResolver:
    if isinstance(network, Teacher):
        network.load_dictionary(random_dictionary(network.encoder))
    return network


def random_dictionary(encoder: VGG19) -> Dictionary:
    return Dictionary.random(encoder.taps, encoder.feature_info, atoms=4)


def build_without_initialisation(name: str) -> SuperResolver:
    """Values that keep every map finite, and vectors of norm 1, at a tenth of the time."""
    with torch.device("meta"):
        network = build_network(without_files(compose_model(name)))
    network.to_empty(device="cpu")
    for value in network.state_dict().values():
        value.fill_(value.numel() ** -0.5 / (10 if value.ndim > 1 else 1))
    return with_dictionary(network)


def faces(batch: int, size: int = SIZE) -> tuple[Tensor, Tensor]:
    """LR faces, and component boxes that differ from face to face."""
    generator = torch.Generator().manual_seed(batch)
    side = 8 * size
    typical = torch.tensor(
        [[0.16, 0.2, 0.42, 0.46], [0.58, 0.2, 0.84, 0.46], [0.38, 0.42, 0.6, 0.64],
         [0.28, 0.6, 0.72, 0.96]]
    )  # fmt: skip
    shifts = 0.05 * torch.rand(batch, 1, 2, generator=generator).repeat(1, 1, 2)
    return torch.rand(batch, 3, size, size, generator=generator), (typical + shifts) * side


def check_shapes(network: SuperResolver, batch: int, size: int, device: str = "cpu") -> None:
    lr, boxes = faces(batch, size)
    with torch.no_grad():
        sr, features = network.eval().forward_features(lr.to(device), boxes.to(device))
    assert network.scale == 8
    assert sr.shape == (batch, 3, 8 * size, 8 * size)
    assert len(features) == len(network.feature_info)
    for feature, info in zip(features, network.feature_info, strict=True):
        side = math.ceil(8 * size / info.stride)
        assert feature.shape == (batch, info.channels, side, side)
    if device != "meta":
        assert sr.isfinite().all()
        assert all(feature.isfinite().all() for feature in features)


def test_every_config_is_known() -> None:
    assert len(NAMES) >= 25
    assert set(NAMES) > FULL_SIZE


@pytest.mark.parametrize("name", SMALL)
def test_shapes_are_those_of_the_contract(name: str) -> None:
    for batch in (1, 3):
        check_shapes(build(name), batch, SIZE)


@pytest.mark.parametrize("name", sorted(FULL_SIZE - {"teacher_literal"}))
def test_shapes_at_full_size(name: str) -> None:
    if name.startswith("teacher"):  # looking atoms up needs numbers
        check_shapes(build_without_initialisation(name), 1, 8)
        return
    with torch.device("meta"):
        check_shapes(build_network(without_files(compose_model(name))), 3, 32, "meta")


def test_the_literal_teacher_differs_in_its_selection_only() -> None:
    paper, literal = compose_model("teacher_paper"), compose_model("teacher_literal")
    assert (paper.pop("selection"), literal.pop("selection")) == ("product", "literal")
    assert paper == literal


@pytest.mark.parametrize("name", SMALL)
def test_gradients_reach_every_parameter(name: str) -> None:
    network = build(name)
    if name in INTERPOLATIONS:
        assert not list(network.parameters())
        return
    lr, boxes = faces(2)
    sr = network.train()(lr, boxes)
    (sr - torch.rand_like(sr)).square().mean().backward()
    trained = 0
    for key, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and parameter.grad.any(), f"no gradient for {key}"
            assert parameter.grad.isfinite().all(), f"gradient of {key} is not finite"
            trained += 1
        else:
            assert parameter.grad is None, key
    assert trained


@pytest.mark.parametrize("name", SMALL)
def test_eval_repeats_and_faces_do_not_touch_each_other(name: str) -> None:
    network = build(name)
    lr, boxes = faces(2)
    with torch.no_grad():
        network.train()(lr, boxes)  # moves running statistics and spectral norms
        network.eval()
        sr = network(lr, boxes)
        assert torch.equal(network(lr, boxes), sr)
        alone = torch.cat([network(lr[i : i + 1], boxes[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(alone, sr, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", SMALL)
def test_the_state_dict_is_all_there_is(name: str) -> None:
    network, other = build(name), deepcopy(build(name))
    lr, boxes = faces(1)
    for parameter in other.parameters():
        nn.init.uniform_(parameter)
    with torch.no_grad():
        network.train()(lr, boxes)
        other.load_state_dict(network.state_dict(), strict=True)
        assert torch.equal(other.eval()(lr, boxes), network.eval()(lr, boxes))


@pytest.mark.parametrize("name", SMALL)
def test_folding_changes_neither_figures_nor_the_original(name: str) -> None:
    network = build(name)
    lr, boxes = faces(2)
    with torch.no_grad():
        network.train()(lr, boxes)
        before = {key: value.clone() for key, value in network.state_dict().items()}
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        folded = fold(network)
        assert network.training
        network.eval()
        torch.testing.assert_close(folded(lr, boxes), network(lr, boxes), rtol=0, atol=1e-5)
    assert not folded.training
    assert not any(parametrize.is_parametrized(module) for module in folded.modules())
    assert not any(parameter.requires_grad for parameter in folded.parameters())
    assert list(before) == list(network.state_dict())
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert all(parameter.requires_grad for parameter in trained)


class TestFold:
    def test_several_norms_in_one_network(self) -> None:
        network = nn.Sequential(
            conv3x3(3, 4, spectral=True), parametrizations.weight_norm(nn.Conv2d(4, 2, 1))
        ).eval()
        image = torch.rand(1, 3, 5, 5)
        folded = fold(network)
        torch.testing.assert_close(folded(image), network(image), rtol=0, atol=1e-6)
        assert set(folded.state_dict()) == {"0.weight", "0.bias", "1.weight", "1.bias"}
        assert [parametrize.is_parametrized(module) for module in network] == [True, True]
        torch.testing.assert_close(fold(folded)(image), folded(image))

    def test_changing_one_leaves_the_other(self) -> None:
        network = conv3x3(2, 2, spectral=True)
        folded = fold(network)
        folded.weight.data.zero_()
        assert network.weight.any()


TAPS = ("relu2_2", "relu3_4", "relu4_4", "conv5_4")


@pytest.fixture
def teacher() -> Teacher:
    torch.manual_seed(0)
    encoder = VGG19(width=2)
    return Teacher(encoder=encoder, dictionary=random_dictionary(encoder)).eval()


class TestTeacher:
    def test_needs_a_dictionary(self) -> None:
        lr, boxes = faces(1)
        with pytest.raises(DictionaryError, match="no dictionary"):
            Teacher(encoder=VGG19(width=1))(lr, boxes)

    def test_needs_boxes(self, teacher: Teacher) -> None:
        assert teacher.needs_boxes
        lr, boxes = faces(2)
        with pytest.raises(ValueError, match=r"boxes \(2, 4, 4\), got None"):
            teacher(lr)
        with pytest.raises(ValueError, match=r"boxes \(2, 4, 4\), got \(1, 4, 4\)"):
            teacher(lr, boxes[:1])

    def test_refuses_a_dictionary_of_another_encoder(self, teacher: Teacher) -> None:
        atoms = random_dictionary(teacher.encoder).atoms
        with pytest.raises(DictionaryError, match="built with the encoder 0123"):
            teacher.load_dictionary(Dictionary(atoms, "0123"))
        teacher.load_dictionary(Dictionary(atoms, teacher.encoder.fingerprint()))
        with pytest.raises(DictionaryError, match="another width"):
            teacher.load_dictionary(random_dictionary(VGG19(width=1)))

    def test_the_encoder_is_frozen(self, teacher: Teacher) -> None:
        trained = {name for name, p in teacher.named_parameters() if p.requires_grad}
        assert trained
        assert not [name for name in trained if name.startswith("encoder.")]

    def test_one_confidence_for_each_scale_and_component(self, teacher: Teacher) -> None:
        scales = [module for module in teacher.modules() if isinstance(module, FeatureTransfer)]
        assert [list(scale.confidence) for scale in scales] == [list(COMPONENTS)] * 4
        assert [scale.stride for scale in scales] == [2, 4, 8, 16]

    def test_literal_selection_gives_the_same_face(self, teacher: Teacher) -> None:
        dictionary = random_dictionary(teacher.encoder)
        literal = Teacher(encoder=teacher.encoder, dictionary=dictionary, selection="literal")
        literal.load_state_dict(teacher.state_dict())
        lr, boxes = faces(3)
        with torch.no_grad():
            torch.testing.assert_close(literal.eval()(lr, boxes), teacher(lr, boxes))

    def test_the_dictionary_and_the_boxes_matter(self, teacher: Teacher) -> None:
        lr, boxes = faces(1)
        with torch.no_grad():
            sr = teacher(lr, boxes)
            assert not torch.equal(teacher(lr, boxes + 9), sr)
            encoder = teacher.encoder
            teacher.load_dictionary(
                Dictionary.random(encoder.taps, encoder.feature_info, atoms=4, seed=1)
            )
            assert not torch.equal(teacher(lr, boxes), sr)

    def test_a_share_of_the_mirrored_face(self, teacher: Teacher) -> None:
        lr, boxes = faces(2)
        width = 8 * SIZE
        left_eye, right_eye, nose, mouth = (width - boxes[..., [2, 1, 0, 3]]).unbind(1)
        mirror = torch.stack([right_eye, left_eye, nose, mouth], 1)
        mirror[..., [1, 3]] = width - mirror[..., [1, 3]]  # heights stay
        with torch.no_grad():
            here, there = teacher(lr, boxes), teacher(lr.flip(-1), mirror).flip(-1)
            features = teacher.forward_features(lr, boxes)[1]
            teacher.mirror_share = 0.25
            torch.testing.assert_close(teacher(lr, boxes), 0.75 * here + 0.25 * there)
            teacher.mirror_share = 0.5
            mean = (here + there) / 2
            sr, mirrored_features = teacher.forward_features(lr, boxes)
            torch.testing.assert_close(sr, mean)
            torch.testing.assert_close(teacher(lr.flip(-1), mirror), sr.flip(-1))
            torch.testing.assert_close(mirrored_features, features)
            assert not torch.allclose(teacher.train()(lr, boxes), mean)

    @pytest.mark.parametrize("share", [-0.1, 1.5])
    def test_a_share_is_from_0_to_1(self, share: float) -> None:
        with pytest.raises(ConfigError, match=f"mirror_share from 0 to 1, got {share}"):
            Teacher(encoder=VGG19(width=2), mirror_share=share)

    def test_sizes_of_the_dictionary(self, teacher: Teacher) -> None:
        atoms = random_dictionary(teacher.encoder).atoms.values()
        values = sum(value.numel() for value in atoms)
        assert teacher.dictionary_bytes == 4 * values
        buffers = [name for name, _ in teacher.named_buffers() if ".atoms_" in name]
        assert len(buffers) == 16
        assert not [key for key in teacher.state_dict() if "atoms" in key]


class TestStudent:
    def test_contains_nothing_of_dictionaries(self) -> None:
        student = Student(encoder=VGG19(width=1))
        assert not student.needs_boxes
        assert not [m for m in student.modules() if isinstance(m, FeatureTransfer)]
        graph = torch.export.export(student.eval(), (torch.rand(2, 3, 32, 32),)).graph
        called = {str(node.target) for node in graph.nodes if node.op == "call_function"}
        assert any("convolution" in name or "conv2d" in name for name in called)
        assert not [name for name in called if "roi" in name or "argmax" in name or "grid" in name]

    def test_ignores_boxes(self) -> None:
        student, (lr, boxes) = Student(encoder=VGG19(width=1)).eval(), faces(1)
        with torch.no_grad():
            assert torch.equal(student(lr, boxes), student(lr))

    def test_features_are_those_of_the_teacher_of_its_width(self, teacher: Teacher) -> None:
        student = Student(encoder=VGG19(width=2))
        assert student.feature_info == teacher.feature_info
        assert student.feature_info == [
            FeatureInfo(16, 8), FeatureInfo(8, 4), FeatureInfo(4, 2), FeatureInfo(2, 1),
        ]  # fmt: skip
        ours = {key for key in student.state_dict() if key.startswith("decoder.")}
        theirs = {key for key in teacher.state_dict() if key.startswith("decoder.")}
        assert ours == theirs

    def test_starts_near_the_bicubic_enlargement(self) -> None:
        torch.manual_seed(0)
        student, (lr, _) = Student(encoder=VGG19(width=4)).eval(), faces(1)
        with torch.no_grad():
            assert (student(lr) - bicubic(lr, 8)).abs().mean() < 0.1

    @pytest.mark.parametrize(
        "taps", [TAPS[:3], ("relu1_2", *TAPS), ("relu1_2", "relu2_2", "relu3_4", "relu4_4")]
    )
    def test_taps_that_the_decoder_does_not_fit(self, taps: tuple[str, ...]) -> None:
        with pytest.raises(ConfigError, match=r"strides \(2, 4, 8, 16\), got"):
            Student(encoder=VGG19(width=1, taps=taps))


class TestDecoder:
    def test_stage_literal(self) -> None:
        """F_up = up(conv(F) * scale(F_hat) + shift(F_hat)), shift ending in a sigmoid."""
        stage = SFTStage(4, 6, 2).eval()
        x, condition = torch.randn(1, 4, 5, 5), torch.randn(1, 6, 5, 5)
        shift = torch.sigmoid(stage.shift[0](condition))
        modulated = stage.conv(x) * stage.scale(condition) + shift
        doubled = nn.functional.interpolate(modulated, size=(10, 10), mode="bilinear")
        torch.testing.assert_close(stage(x, condition), stage.up(doubled))
        assert stage.shift(condition).min() > 0
        assert stage.shift(condition).max() < 1

    def test_context_sees_four_dilations_and_adds(self) -> None:
        block, x = MultiDilationBlock(3).eval(), torch.randn(1, 3, 9, 9)
        assert [branch[0].dilation for branch in block.branches] == [(d, d) for d in (4, 3, 2, 1)]
        branches = torch.cat([nn.functional.leaky_relu(b[0](x), 0.2) for b in block.branches], 1)
        torch.testing.assert_close(block(x), x + block.fuse(branches))

    def test_residual_block(self) -> None:
        block, x = ResidualBlock(3), torch.randn(1, 3, 6, 6)
        first, _, second = block.body
        expected = x + second(nn.functional.leaky_relu(first(x), 0.2))
        torch.testing.assert_close(block(x), expected)

    def test_spectral_norm_everywhere_but_in_the_head(self) -> None:
        decoder = SFTDecoder(encoder_info=VGG19(width=1).feature_info, width=1)
        for name, module in decoder.named_modules():
            if isinstance(module, nn.Conv2d):
                assert parametrize.is_parametrized(module) != name.startswith("head"), name

    def test_spectral_norm_is_one(self) -> None:
        conv = conv3x3(4, 6, spectral=True)
        for _ in range(100):
            conv(torch.rand(1, 4, 3, 3))  # power iterations
        largest = torch.linalg.matrix_norm(conv.weight.flatten(1), 2)
        assert largest.item() == pytest.approx(1, abs=1e-3)


class TestDiscriminators:
    @pytest.mark.parametrize("layers", [1, 2, 3])
    def test_patch_scores(self, layers: int) -> None:
        scores = PatchDiscriminator(channels=5, width=4, layers=layers)(torch.rand(3, 5, 32, 32))
        assert scores.shape == (3, 1, 32 // 2**layers, 32 // 2**layers)

    def test_widths_double_up_to_eight_times(self) -> None:
        network = PatchDiscriminator(channels=3, width=2, layers=6)
        outs = [layer.out_channels for layer in network if isinstance(layer, nn.Conv2d)]
        assert outs == [2, 4, 8, 16, 16, 16, 1]

    def test_each_scale_has_its_judge(self) -> None:
        network, image = MultiScaleDiscriminator(scales=3, width=2), torch.rand(2, 3, 64, 64)
        scores = network(image)
        assert [score.shape[-1] for score in scores] == [8, 4, 2]
        halved = image.view(2, 3, 32, 2, 32, 2).mean((3, 5))
        network.eval()
        torch.testing.assert_close(network(image)[1], network.discriminators[1](halved))

    def test_projected_scores_are_of_the_vgg_features_at_unit_mean_square(self) -> None:
        torch.manual_seed(0)
        vgg = VGG19(width=2, taps=("relu1_1", "relu2_1"))
        network, image = (
            ProjectedDiscriminator(vgg=vgg, width=4, layers=1),
            torch.rand(2, 3, 32, 32),
        )
        for score, feature, judge in zip(
            network(image), vgg(image), network.discriminators, strict=True
        ):
            unit = feature / (feature.square().mean(1, keepdim=True) + 1e-4).sqrt()
            torch.testing.assert_close(score, judge(unit))
        assert [tuple(score.shape) for score in network(image)] == [(2, 1, 16, 16), (2, 1, 8, 8)]

    def test_projected_gradient_reaches_image_and_judges_but_not_the_vgg(self) -> None:
        torch.manual_seed(0)
        network = ProjectedDiscriminator(vgg=VGG19(width=2, taps=("relu1_1", "relu2_1")), crop=16)
        image = torch.zeros(1, 3, 32, 32, requires_grad=True)
        sum(score.sum() for score in network(image)).backward()
        assert image.grad is not None and image.grad.isfinite().all()
        assert image.grad.abs().sum((0, 1)).ne(0).sum() <= 16 * 16  # the window alone
        assert all(p.grad is not None for p in network.discriminators.parameters())
        assert all(p.grad is None for p in network.vgg.parameters())

    def test_each_feature_has_its_judge(self) -> None:
        network = FeatureDiscriminators(channels=[8, 4], width=2)
        maps = [torch.rand(1, 8, 16, 16), torch.rand(1, 4, 32, 32)]
        assert [tuple(score.shape) for score in network(maps)] == [(1, 1, 4, 4), (1, 1, 8, 8)]
        with pytest.raises(ValueError, match="zip"):
            network(maps[:1])

    def test_gradients_reach_every_parameter_and_the_maps(self) -> None:
        network = FeatureDiscriminators(channels=[8, 4], width=2)
        maps = [torch.rand(2, c, 16, 16, requires_grad=True) for c in (8, 4)]
        sum(score.square().mean() for score in network(maps)).backward()
        for key, parameter in network.named_parameters():
            assert parameter.grad is not None and parameter.grad.any(), f"no gradient for {key}"
        assert all(feature.grad.any() for feature in maps)
