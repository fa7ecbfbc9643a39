"""What sets teacher and student apart, and the decoder that they share."""

import pytest
import torch
from helpers.tiny_faces import SIZE, faces, random_dictionary
from torch import nn
from torch.nn.utils import parametrize

from faceskd.common.errors import ConfigError, DictionaryError
from faceskd.faces.components import COMPONENTS, mirror_boxes
from faceskd.models import (
    VGG19,
    FeatureInfo,
    Student,
    Teacher,
)
from faceskd.models.blocks import MultiDilationBlock, ResidualBlock, bicubic, conv3x3
from faceskd.models.decoder import SFTDecoder, SFTStage
from faceskd.models.dictionary import Dictionary
from faceskd.models.transfer import FeatureTransfer

TAPS = ("relu2_2", "relu3_4", "relu4_4", "conv5_4")


@pytest.fixture
def teacher() -> Teacher:
    torch.manual_seed(0)
    encoder = VGG19(width=2, weights="random")
    return Teacher(encoder=encoder, dictionary=random_dictionary(encoder)).eval()


def test_a_teacher_without_a_dictionary_trains_the_same_weights(teacher: Teacher) -> None:
    own = Teacher(encoder=VGG19(width=2, weights="random"), selection="own")
    lr, boxes = faces(2)
    assert own(lr, boxes).shape == teacher(lr, boxes).shape
    shapes = [
        {name: (p.shape, p.requires_grad) for name, p in network.named_parameters()}
        for network in (teacher, own)
    ]
    assert shapes[0] == shapes[1]
    assert teacher.uses_dictionary and not own.uses_dictionary
    with pytest.raises(ConfigError, match="expected no dictionary with selection=own"):
        own.load_random_dictionary(atoms=2)
    with pytest.raises(ConfigError, match="privileged=false with selection=own"):
        Teacher(encoder=own.encoder, selection="own", privileged=True)


class TestTeacher:
    def test_needs_a_dictionary(self) -> None:
        lr, boxes = faces(1)
        with pytest.raises(DictionaryError, match="no dictionary"):
            Teacher(encoder=VGG19(width=1, weights="random"))(lr, boxes)

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
            teacher.load_dictionary(random_dictionary(VGG19(width=1, weights="random")))

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

    def test_a_privileged_teacher_chooses_with_the_hr_face(self, teacher: Teacher) -> None:
        """Where the HR face has other atoms than the LR face, other faces come out."""
        lr, boxes = faces(2)
        hr = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(4))
        blind = teacher(lr, boxes)
        with pytest.raises(ValueError, match="not privileged"):
            teacher(lr, boxes, hr)
        teacher.privileged = True
        assert torch.equal(teacher(lr, boxes), blind)
        assert torch.equal(teacher(lr, boxes, bicubic(lr, 8)), blind)
        chosen = teacher(lr, boxes, hr)
        assert not torch.allclose(chosen, blind)
        assert torch.isfinite(chosen).all()

    def test_only_the_choice_is_privileged(self, teacher: Teacher) -> None:
        """With a single atom there is nothing to choose, and the HR face changes nothing."""
        lr, boxes = faces(2)
        encoder = teacher.encoder
        teacher.load_dictionary(
            Dictionary.random(encoder.taps, encoder.feature_info, atoms=1, seed=0)
        )
        teacher.privileged = True
        hr = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(4))
        assert torch.equal(teacher(lr, boxes, hr), teacher(lr, boxes))

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

    def test_the_mirrored_face_is_privileged_too(self, teacher: Teacher) -> None:
        lr, boxes = faces(2)
        hr = torch.rand(2, 3, 8 * SIZE, 8 * SIZE, generator=torch.Generator().manual_seed(4))
        teacher.privileged = True
        with torch.no_grad():
            here = teacher(lr, boxes, hr)
            there = teacher(lr.flip(-1), mirror_boxes(boxes, 8 * SIZE), hr.flip(-1)).flip(-1)
            teacher.mirror_share = 0.5
            torch.testing.assert_close(teacher(lr, boxes, hr), (here + there) / 2)

    @pytest.mark.parametrize("share", [-0.1, 1.5])
    def test_a_share_is_from_0_to_1(self, share: float) -> None:
        with pytest.raises(ConfigError, match=f"mirror_share from 0 to 1, got {share}"):
            Teacher(encoder=VGG19(width=2, weights="random"), mirror_share=share)

    def test_sizes_of_the_dictionary(self, teacher: Teacher) -> None:
        atoms = random_dictionary(teacher.encoder).atoms.values()
        values = sum(value.numel() for value in atoms)
        assert teacher.dictionary_bytes == 4 * values
        buffers = [name for name, _ in teacher.named_buffers() if ".atoms_" in name]
        assert len(buffers) == 16
        assert not [key for key in teacher.state_dict() if "atoms" in key]


class TestStudent:
    def test_contains_nothing_of_dictionaries(self) -> None:
        student = Student(encoder=VGG19(width=1, weights="random"))
        assert not student.needs_boxes
        assert not [m for m in student.modules() if isinstance(m, FeatureTransfer)]
        graph = torch.export.export(student.eval(), (torch.rand(2, 3, 32, 32),)).graph
        called = {str(node.target) for node in graph.nodes if node.op == "call_function"}
        assert any("convolution" in name or "conv2d" in name for name in called)
        assert not [name for name in called if "roi" in name or "argmax" in name or "grid" in name]

    def test_ignores_boxes(self) -> None:
        student, (lr, boxes) = Student(encoder=VGG19(width=1, weights="random")).eval(), faces(1)
        with torch.no_grad():
            assert torch.equal(student(lr, boxes), student(lr))

    def test_features_are_those_of_the_teacher_of_its_width(self, teacher: Teacher) -> None:
        student = Student(encoder=VGG19(width=2, weights="random"))
        assert student.feature_info == teacher.feature_info
        assert student.feature_info == [
            FeatureInfo(16, 8), FeatureInfo(8, 4), FeatureInfo(4, 2), FeatureInfo(2, 1),
        ]  # fmt: skip
        ours = {key for key in student.state_dict() if key.startswith("decoder.")}
        theirs = {key for key in teacher.state_dict() if key.startswith("decoder.")}
        assert ours == theirs

    def test_starts_near_the_bicubic_enlargement(self) -> None:
        torch.manual_seed(0)
        student, (lr, _) = Student(encoder=VGG19(width=4, weights="random")).eval(), faces(1)
        with torch.no_grad():
            assert (student(lr) - bicubic(lr, 8)).abs().mean() < 0.1

    @pytest.mark.parametrize(
        "taps", [TAPS[:3], ("relu1_2", *TAPS), ("relu1_2", "relu2_2", "relu3_4", "relu4_4")]
    )
    def test_taps_that_the_decoder_does_not_fit(self, taps: tuple[str, ...]) -> None:
        with pytest.raises(ConfigError, match=r"strides \(2, 4, 8, 16\), got"):
            Student(encoder=VGG19(width=1, taps=taps, weights="random"))


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
        decoder = SFTDecoder(encoder_info=VGG19(width=1, weights="random").feature_info, width=1)
        for name, module in decoder.named_modules():
            if isinstance(module, nn.Conv2d):
                assert parametrize.is_parametrized(module) != name.startswith("head"), name

    def test_spectral_norm_is_one(self) -> None:
        conv = conv3x3(4, 6, spectral=True)
        for _ in range(100):
            conv(torch.rand(1, 4, 3, 3))  # power iterations
        largest = torch.linalg.matrix_norm(conv.weight.flatten(1), 2)
        assert largest.item() == pytest.approx(1, abs=1e-3)
