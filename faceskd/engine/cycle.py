"""CycleGAN: translation between two domains of pictures without pairs, in both directions.

Zhu, Park, Isola and Efros, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial
Networks", ICCV 2017, arXiv 1703.10593.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from faceskd.common.checks import check_not_negative, check_whole
from faceskd.common.errors import ConfigError
from faceskd.engine.base import Batch, Engine
from faceskd.engine.building import start_network
from faceskd.engine.image_buffer import ImageBuffer
from faceskd.engine.resumable import trained_parameters
from faceskd.losses.adversarial import AdversarialLoss
from faceskd.models.cyclegan import TRANSLATION
from faceskd.models.weights import save_network

BUFFERS = "image_buffers"
FORTH, BACK = "a to b", "b to a"


def back_path(path: Path) -> Path:
    """The weights file of B -> A beside that of A -> B.

    Examples:
        >>> back_path(Path("runs/day_night/weights.safetensors")).name
        'weights_back.safetensors'
    """
    return path.with_stem(f"{path.stem}_back")


class Cycle(Engine):
    """Trains G: A -> B (`network`) and F: B -> A (`back`) with discriminators of A and B.

    Batches have `a` and `b`, images (B, 3, H, W) of the two domains. The generators reduce

        adv(D_B(G(a))) + adv(D_A(F(b)))
        + d(F(G(a)), a) + d(G(F(b)), b)
        + identity_weight (d(G(b), b) + d(F(a), a))

    where d is the sum of `losses`: 10 times the L1 distance in the paper. Each discriminator
    reduces half of its adversarial loss, and is shown generated images from an `ImageBuffer`, which
    is part of checkpoints. With several processes, all resume from the buffer of the first. One
    optimiser trains both generators, another both discriminators.

    The metrics of the validation compare F(G(a)) with a and G(F(b)) with b. With batches that have
    `paired` (`faceskd.data.unpaired`) they compare G(a) with b and F(b) with a.

    `write` writes two files: G to the given path, F beside it (`back_path`). Both are weights of
    networks of scale 1. Their metadata has "translation": "a to b" or "b to a". A checkpoint is
    read as G.

    Args:
        model_config: config of both generators.
        discriminator: makes a discriminator, a network from images (B, 3, H, W) to scores
            (B, 1, h, w).
        adversarial: adversarial loss: LSGAN in the paper.
        adversarial_weight: weight of the adversarial term.
        identity_weight: weight of the identity term, as a multiple of the cycle term's; 0: none.
        buffer: number of images in the buffer of each domain.
        back_init: weights file that F starts from; `init` is that of G. None: random weights.

    Raises:
        ConfigError: the network is not of scale 1, `buffer` is no whole number of at least 0, or a
            weight is below 0.
    """

    needs = ("a", "b")
    discriminator: nn.ModuleDict

    def __init__(
        self,
        *,
        model_config: dict[str, Any],
        discriminator: Callable[[], nn.Module],
        adversarial: AdversarialLoss,
        adversarial_weight: float = 1.0,
        identity_weight: float = 0.5,
        buffer: int = 50,
        back_init: Path | str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(model_config=model_config, average_decay=None, **options)
        check_whole(0, **{"engine.buffer": buffer})
        check_not_negative(
            **{
                "engine.adversarial_weight": adversarial_weight,
                "engine.identity_weight": identity_weight,
            }
        )
        if self.network.scale != 1:
            raise ConfigError(
                "expected a network of scale 1, such as model=cyclegan, got a "
                f"{type(self.network).__name__} of scale {self.network.scale}"
            )
        self.back = start_network(model_config, back_init)
        self.discriminator = nn.ModuleDict({"a": discriminator(), "b": discriminator()})
        self.adversarial = adversarial
        self.adversarial_weight = adversarial_weight
        self.identity_weight = identity_weight
        self.earlier = {"a": ImageBuffer(buffer), "b": ImageBuffer(buffer)}

    def generator_parameters(self) -> list[nn.Parameter]:
        return trained_parameters(self.network) + trained_parameters(self.back)

    def generator_loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], Any]:
        a, b = batch["a"], batch["b"]
        fake_a, fake_b = self.back(b), self.network(a)
        judged = [self.discriminator["a"](fake_a), self.discriminator["b"](fake_b)]
        parts = {
            "adversarial": self.adversarial.generator(judged),
            "cycle": self._distance(self.back(fake_b), a) + self._distance(self.network(fake_a), b),
        }
        total = self.adversarial_weight * parts["adversarial"] + parts["cycle"]
        if self.identity_weight > 0:
            same_a, same_b = self.back(a), self.network(b)
            parts["identity"] = self._distance(same_a, a) + self._distance(same_b, b)
            total = total + self.identity_weight * parts["identity"]
        return total, parts, ({"a": a, "b": b}, {"a": fake_a.detach(), "b": fake_b.detach()})

    def _distance(self, image: Tensor, wanted: Tensor) -> Tensor:
        return self.losses(image, wanted)[0]

    def discriminator_loss(self, kept: Any) -> Tensor:
        real, fake = kept
        of_real = [judge(real[name]) for name, judge in self.discriminator.items()]
        of_fake = [
            judge(self.earlier[name].exchange(fake[name]))
            for name, judge in self.discriminator.items()
        ]
        return 0.5 * self.adversarial.discriminator(of_real, of_fake)

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        a, b = batch["a"], batch["b"]
        fake_a, fake_b = self.back(b), self.network(a)
        if "paired" in batch:
            made = ((fake_a, a), (fake_b, b))
        else:
            made = ((self.back(fake_b), a), (self.network(fake_a), b))
        for image, wanted in made:
            self.suite.update(image.cpu(), wanted.cpu())

    def pictures(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        a, b = batch["a"], batch["b"]
        fake_a, fake_b = self.back(b), self.network(a)
        columns = {"A": a, "A to B": fake_b, "A to B to A": self.back(fake_b)}
        columns |= {"B": b, "B to A": fake_a, "B to A to B": self.network(fake_a)}
        return {title: images.float() for title, images in columns.items()}

    def write(self, path: Path, metadata: dict[str, Any]) -> None:
        super().write(path, metadata | {TRANSLATION: FORTH})
        back = metadata | {TRANSLATION: BACK}
        save_network(back_path(path), self.back, self.model_config, back)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["hyper_parameters"]["metadata"][TRANSLATION] = FORTH
        checkpoint[BUFFERS] = {name: buffer.images for name, buffer in self.earlier.items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        for name, images in checkpoint[BUFFERS].items():
            self.earlier[name].images = list(images)
