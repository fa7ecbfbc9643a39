"""The network that restores old photographs: a translation between two latent spaces.

Wan et al., "Bringing Old Photos Back to Life" (CVPR 2020, arXiv 2004.09484): the encoder of the
VAE of old photos, a mapping network, and the decoder of the VAE of clean photos. Where a mask marks
structural damage, such as a scratch, the mapping takes what it needs from intact places of the
whole image, by a *partial non-local block* (section 3.2). Ours is lighter than the paper's network,
and also works if the mask is not known. Large photos are given to it in tiles
(`faceskd.models.old_picture`), so that a place sees its own tile only.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faceskd.common.errors import ImageError
from faceskd.models.base import OLD_PHOTOS, FeatureInfo, SuperResolver
from faceskd.models.blocks import SLOPE, conv3x3
from faceskd.models.frozen import frozen
from faceskd.models.old_photo_vae import (
    STRIDE,
    OldPhotoDecoder,
    OldPhotoEncoder,
    OldPhotoVAE,
    blocks_of,
    check_widths,
    cropped,
    padded,
)
from faceskd.models.weights import check_state

UNKNOWN = 0.5
"""Mask where nothing is known: both branches count the same, and all places as keys."""


class PartialNonLocal(nn.Module):
    """Features of the whole image for each place, without those of masked places.

    O_i = nu(sum_j s_ij mu(F_j)), s_ij = (1 - m_j) f_ij / sum_k (1 - m_k) f_ik,
    f_ij = exp(theta(F_i) . phi(F_j)), where theta, phi, mu and nu are 1x1 convolutions. The bias of
    phi would cancel, so it has none. If a whole image is masked, all places count.

    Args:
        channels: channels of the features.
        inner: channels of theta, phi and mu.
    """

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.theta = nn.Conv2d(channels, inner, 1)
        self.phi = nn.Conv2d(channels, inner, 1, bias=False)
        self.mu = nn.Conv2d(channels, inner, 1)
        self.nu = nn.Conv2d(inner, channels, 1)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Features (B, C, h, w) and a mask (B, 1, h, w) in [0, 1] -> (B, C, h, w)."""
        query, key, value = (
            conv(features).flatten(2).transpose(1, 2)[:, None].contiguous()
            for conv in (self.theta, self.phi, self.mu)
        )
        intact = 1 - mask.flatten(2)[:, None].float()  # (B, 1, 1, hw)
        intact = torch.where(intact.amax(-1, keepdim=True) > 0, intact, torch.ones_like(intact))
        found = F.scaled_dot_product_attention(
            query, key, value, attn_mask=intact.log().to(query.dtype), scale=1.0
        )
        return self.nu(found[:, 0].transpose(1, 2).unflatten(2, features.shape[-2:]))


class LatentMapping(nn.Module):
    """Latent maps of old photos (B, C, h, w) -> latent maps of clean photos (B, C, h, w).

    F_fused = (1 - m) local(F) + m global(O): where the mask m is 1, the features come from the
    partial non-local block, elsewhere from their own neighbourhood. `local` and `global` are
    residual blocks.

    Args:
        latent: channels of the latent maps.
        width: channels inside.
        blocks: residual blocks before the branches, in each of the two branches, and after them.
    """

    def __init__(self, *, latent: int, width: int, blocks: Sequence[int]) -> None:
        super().__init__()
        before, branch, after = blocks
        self.before = nn.Sequential(conv3x3(latent, width), blocks_of(width, before))
        self.non_local = PartialNonLocal(width, width // 2)
        self.local_branch = blocks_of(width, branch)
        self.global_branch = blocks_of(width, branch)
        self.after = nn.Sequential(
            blocks_of(width, after), nn.LeakyReLU(SLOPE, inplace=True), conv3x3(width, latent)
        )

    def forward(self, latent: Tensor, mask: Tensor) -> Tensor:
        """Latent maps, and a mask (B, 1, h, w) in [0, 1]."""
        features = self.before(latent)
        near = self.local_branch(features)
        far = self.global_branch(self.non_local(features, mask))
        return self.after(torch.lerp(near, far, mask.to(near.dtype).expand_as(near)))


class OldPhotoNet(SuperResolver):
    """A network of scale 1: RGB float in [0, 1], (B, 3, H, W) -> (B, 3, H, W), of any size.

    Encoder and decoder are frozen: they come from two `OldPhotoVAE`s. Only the mapping is trained.

    Args:
        widths, latent, blocks: of both VAEs, see `OldPhotoVAE`.
        width: channels of the mapping.
        mapping: its residual blocks before the branches, in each branch, and after them.

    Raises:
        ConfigError: not three widths.

    Example:
        >>> net = OldPhotoNet(widths=(4, 8, 8), latent=6, blocks=1, width=8, mapping=(1, 1, 1))
        >>> lr, mask = torch.rand(1, 3, 30, 64), torch.zeros(1, 1, 30, 64)
        >>> net(lr, mask=mask).shape
        torch.Size([1, 3, 30, 64])
    """

    scale = 1
    purpose = OLD_PHOTOS
    size = 256

    def __init__(
        self,
        *,
        widths: Sequence[int] = (16, 32, 64),
        latent: int = 48,
        blocks: int = 3,
        width: int = 96,
        mapping: Sequence[int] = (2, 1, 3),
    ) -> None:
        super().__init__()
        check_widths(widths)
        self.encoder = frozen(OldPhotoEncoder(widths=widths, latent=latent, blocks=blocks))
        self.decoder = frozen(OldPhotoDecoder(widths=widths, latent=latent, blocks=blocks))
        self.mapping = LatentMapping(latent=latent, width=width, blocks=mapping)
        self.feature_info = [FeatureInfo(latent, STRIDE)]

    def load_vaes(self, old: OldPhotoVAE, clean: OldPhotoVAE) -> None:
        """Copy the encoder of the VAE of old photos, and the decoder of that of clean photos.

        Raises:
            WeightsError: they have other widths.
        """
        for name, part, came in (
            ("the encoder of the VAE of old photos", self.encoder, old.encoder),
            ("the decoder of the VAE of clean photos", self.decoder, clean.decoder),
        ):
            check_state(part.state_dict(), came.state_dict(), f"{name} does not fit")
            part.load_state_dict(came.state_dict())

    def forward(
        self, lr: Tensor, boxes: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        return self.forward_features(lr, boxes, mask)[0]

    def forward_features(
        self, lr: Tensor, boxes: Tensor | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """The restored images, and the latent map that they are decoded from.

        Args:
            lr: images (B, 3, H, W).
            boxes: not used.
            mask: structural damage (B, 1, H, W), 1 where the image is damaged and 0 where it is
                not; None: unknown.

        Raises:
            ImageError: the mask is of another size.
        """
        if mask is None:
            mask = torch.full_like(lr[:, :1], UNKNOWN)
        if mask.shape != (len(lr), 1, *lr.shape[-2:]):
            raise ImageError(
                f"expected a mask of the size of the images, {(len(lr), 1, *lr.shape[-2:])}, got "
                f"{tuple(mask.shape)}"
            )
        cells = F.max_pool2d(padded(mask.to(lr.dtype)), STRIDE)
        latent = self.mapping(self.encoder(lr)[0], cells)
        return cropped(self.decoder(latent), lr), [latent]
