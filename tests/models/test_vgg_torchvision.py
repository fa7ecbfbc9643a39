"""VGG-19 is torchvision's network, layer by layer, and takes its weights from torch hub's cache."""

from collections.abc import Sequence
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchvision
from helpers.tiny_dictionary import LAYERS
from torch import Tensor, nn

from faceskd.common.errors import WeightsError
from faceskd.models.vgg import DICTIONARY_TAPS, VGG19

EVERY_TAP = [f"{kind}{name}" for name in LAYERS for kind in ("conv", "relu")]


@pytest.fixture(scope="module")
def reference() -> nn.Sequential:
    torch.manual_seed(0)
    return torchvision.models.vgg19(weights=None).features.eval()


def reference_maps(reference: nn.Sequential, image: Tensor) -> dict[str, Tensor]:
    """The output of every layer of torchvision's network, by the names of taps."""
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (image - mean[:, None, None]) / std[:, None, None]
    maps, names = {}, iter(LAYERS)
    for layer in reference:
        x = layer(x.clone())  # its ReLUs work in place
        if isinstance(layer, nn.Conv2d):
            name = next(names)
            maps[f"conv{name}"] = x
        elif isinstance(layer, nn.ReLU):
            maps[f"relu{name}"] = x
    return maps


def check_taps(taps: Sequence[str], reference: nn.Sequential, image: Tensor) -> list[Tensor]:
    """Ours with torchvision's weights makes its maps, which are given back."""
    vgg = VGG19(taps=taps, weights="random").eval()
    convs = [layer for layer in reference if isinstance(layer, nn.Conv2d)]
    for ours, theirs in zip(vgg.convs.values(), convs, strict=False):
        ours.load_state_dict(theirs.state_dict())
    with torch.no_grad():
        expected, found = reference_maps(reference, image), vgg(image)
    for tap, ours in zip(taps, found, strict=True):
        torch.testing.assert_close(ours, expected[tap], rtol=1e-4, atol=1e-5, msg=tap)
    return found


def test_every_layer_is_torchvisions(reference: nn.Sequential) -> None:
    check_taps(EVERY_TAP, reference, torch.rand(2, 3, 33, 48))


def test_taps_of_the_dictionary(reference: nn.Sequential) -> None:
    maps = check_taps(DICTIONARY_TAPS, reference, torch.rand(1, 3, 32, 32))
    assert maps[3].min() < 0  # conv5_4, before its ReLU


class TestTorchvision:
    """Weights through torch hub's cache, which no test may fill from the network."""

    @pytest.fixture
    def hub(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))

        def offline(*args: object, **kwargs: object) -> None:
            raise URLError("no route to host")

        monkeypatch.setattr(torch.hub, "urlopen", offline)
        return tmp_path / "hub" / "checkpoints" / "vgg19-dcbb9e9d.pth"

    def test_offline_says_what_from_where_and_the_choice(self, hub: Path) -> None:
        with pytest.raises(WeightsError) as caught:
            VGG19(weights="torchvision")
        message = str(caught.value)
        assert str(hub) in message
        assert "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth" in message
        assert "give a path to other weights" in message
        assert not list(hub.parent.iterdir())

    def test_from_the_cache_or_by_its_path(self, hub: Path, reference: nn.Sequential) -> None:
        hub.parent.mkdir(parents=True)
        state = {f"features.{key}": value for key, value in reference.state_dict().items()}
        torch.save(state | {"classifier.0.bias": torch.zeros(7)}, hub)
        image = torch.rand(1, 3, 32, 32)
        with torch.no_grad():
            expected = reference_maps(reference, image)["conv5_4"]
            for source in ("torchvision", hub):
                vgg = VGG19(taps=("conv5_4",), weights=source)
                torch.testing.assert_close(vgg(image)[0], expected, rtol=1e-4, atol=1e-5)

    def test_damaged_cache(self, hub: Path) -> None:
        hub.parent.mkdir(parents=True)
        hub.write_bytes(b"half a file")
        with pytest.raises(WeightsError, match=r"vgg19-dcbb9e9d\.pth.* is damaged"):
            VGG19(weights="torchvision")
