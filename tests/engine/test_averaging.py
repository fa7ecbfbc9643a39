"""The average of the weights: its recurrence, and who is validated."""

from functools import partial

import pytest
import torch
from helpers.tiny_engines import fit, make_engine, make_teacher, moved, weights
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from faceskd.engine.averaging import WeightAverage

pytestmark = pytest.mark.filterwarnings(
    "ignore:You defined a `validation_step`", "ignore:Found .* in eval mode"
)


@given(
    values=st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=40),
    decay=st.floats(0.0, 0.999),
)
def test_the_average_is_its_recurrence(values, decay):
    network = nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(0.5)
    average = WeightAverage(network, decay=decay)
    expected = 0.5
    for step, value in enumerate(values, 1):
        network.weight.data.fill_(value)
        average.update(network)
        now = min(decay, (1 + step) / (10 + step))
        expected = now * expected + (1 - now) * value
    assert average.get_buffer("weight").item() == pytest.approx(expected, abs=1e-4)
    assert int(average.step) == len(values)


def test_swapping_gives_the_average_and_gives_it_back():
    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    average = WeightAverage(network, decay=0.9)
    old = weights(network)
    for parameter in network.parameters():
        parameter.data += 1
    new = weights(network)
    with average.swapped(network):
        assert all(torch.equal(p, old[n]) for n, p in network.named_parameters())
    assert not moved(new, network)
    with pytest.raises(KeyError), average.swapped(network):
        raise KeyError
    assert not moved(new, network)
    assert torch.equal(average.get_buffer("0/weight"), old["0.weight"])


def test_frozen_weights_are_not_averaged():
    teacher = make_teacher()
    names = dict(WeightAverage(teacher, decay=0.9).named_buffers())
    assert not any(name.startswith("encoder") for name in names)
    assert any(name.startswith("decoder") for name in names)


def psnr(network, batch):
    """The mean over the faces; what the network makes is rounded to 8 bits."""
    with torch.no_grad():
        sr = (network(batch["lr"]).clamp(0, 1) * 255).round() / 255
    mse = (sr - batch["hr"]).square().mean(dim=(1, 2, 3))
    return (-10 * mse.log10()).mean().item()


def test_validation_measures_the_averaged_weights(batch):
    engine = make_engine("supervised", optimizer=partial(torch.optim.SGD, lr=0.5))
    trainer = fit(engine, batch, 3, validate=True)
    after = weights(engine.network)
    engine.eval()  # spectral norm moves with every pass in training
    with engine.averaged():
        assert moved(after, engine.network)
        expected = psnr(engine.network, batch)
    assert trainer.callback_metrics["val/psnr"].item() == pytest.approx(expected, abs=1e-4)
    assert not moved(after, engine.network)


def test_without_an_average_the_weights_are_validated(batch):
    engine = make_engine("supervised", average_decay=None)
    trainer = fit(engine, batch, 3, validate=True)
    expected = psnr(engine.eval().network, batch)
    assert trainer.callback_metrics["val/psnr"].item() == pytest.approx(expected, abs=1e-4)
