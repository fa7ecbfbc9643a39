"""Initial weights that several networks share."""

from torch import nn


def normal_weights(module: nn.Module) -> None:
    """Draw the weights of all convolutions from N(0, 0.02^2); biases become 0.

    The initial values of DCGAN (Radford et al., ICLR 2016), pix2pix and CycleGAN.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.normal_(part.weight, 0.0, 0.02)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
