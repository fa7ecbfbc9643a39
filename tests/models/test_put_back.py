"""Boxes are cut out and put back in place, and nothing else changes."""

import torch
from helpers.literal_transfer import changed, ramp
from hypothesis import given, settings
from hypothesis import strategies as st

from faceskd.models.transfer import cut_out, put_back

inside = st.tuples(
    st.floats(1, 12), st.floats(1, 12), st.floats(3, 10), st.floats(3, 10)
)  # corner and extent, away from the border of 24 cells


@settings(deadline=None, max_examples=100)
@given(inside, st.integers(3, 12))
def test_cut_out_coordinates_are_those_of_the_box(box: tuple[float, ...], size: int) -> None:
    x, y, w, h = box
    cut = cut_out(ramp(24, 24), torch.tensor([[x, y, x + w, y + h]]), size)[0]
    centres = (torch.arange(size) + 0.5) / size
    torch.testing.assert_close(cut[0, 0], x + w * centres, atol=1e-4, rtol=0)
    torch.testing.assert_close(cut[1, :, 0], y + h * centres, atol=1e-4, rtol=0)


@settings(deadline=None, max_examples=100)
@given(inside, st.integers(3, 12))
def test_cut_and_paste_of_coordinates_moves_nothing(box: tuple[float, ...], size: int) -> None:
    x, y, w, h = box
    features, boxes = ramp(24, 24), torch.tensor([[x, y, x + w, y + h]])
    out = put_back(features, cut_out(features, boxes, size), boxes)
    # Half a patch's cell at each edge of the box repeats its outermost value; the rest is exact.
    reach = torch.tensor([w, h]).view(1, 2, 1, 1) * (0.5 - 0.5 / size)
    middle = torch.tensor([x + w / 2, y + h / 2]).view(1, 2, 1, 1)
    exact = ((features - middle).abs() <= reach).all(1, keepdim=True).expand(1, 2, -1, -1)
    torch.testing.assert_close(out[exact], features[exact], atol=1e-4, rtol=0)
    assert (out - features).abs().amax() <= max(w, h) / size / 2 + 1e-4
    assert abs((out - features)[exact].sum()) < 1e-2  # no drift to a side


def test_whole_cells_are_put_back_as_they_were() -> None:
    features, patch = torch.randn(1, 3, 16, 16), torch.randn(1, 3, 5, 5)
    out = put_back(features, patch, torch.tensor([[4.0, 6, 9, 11]]))
    torch.testing.assert_close(out[..., 6:11, 4:9], patch)


boxes_anywhere = st.tuples(
    st.floats(-30, 40), st.floats(-30, 40), st.floats(-5, 60), st.floats(-5, 60)
)


@settings(deadline=None, max_examples=200)
@given(st.lists(boxes_anywhere, min_size=1, max_size=4), st.integers(1, 6))
def test_only_cells_whose_centre_lies_in_the_box_change(
    corners: list[tuple[float, ...]], size: int
) -> None:
    """Beyond the picture, empty or turned inside out: literal membership, cell by cell."""
    boxes = torch.tensor([[x, y, x + w, y + h] for x, y, w, h in corners])
    features = torch.zeros(len(boxes), 2, 11, 13)
    out = put_back(features, torch.ones(len(boxes), 2, size, size), boxes)
    assert out.isfinite().all()
    low, high = boxes[:, :2], torch.maximum(boxes[:, 2:], boxes[:, :2] + 1e-3)
    centres = ramp(11, 13)[0]
    slack = 1e-4  # float32 decides at the very edge
    margin = torch.minimum(centres - low[:, :, None, None], high[:, :, None, None] - centres).amin(
        1
    )
    assert changed(out, features)[margin > slack].all()
    assert not changed(out, features)[margin < -slack].any()
    cut = cut_out(features + 1, boxes, size)
    assert cut.isfinite().all()


@settings(deadline=None, max_examples=50)
@given(st.lists(boxes_anywhere, min_size=3, max_size=3), st.permutations(range(3)))
def test_a_batch_is_its_images_one_by_one(
    corners: list[tuple[float, ...]], order: list[int]
) -> None:
    boxes = torch.tensor([[x, y, x + w, y + h] for x, y, w, h in corners])
    features, patches = torch.randn(3, 2, 12, 12), torch.randn(3, 2, 4, 4)
    alone = [put_back(features[i : i + 1], patches[i : i + 1], boxes[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(put_back(features, patches, boxes), torch.cat(alone))
    torch.testing.assert_close(
        put_back(features[order], patches[order], boxes[order]),
        torch.cat([alone[i] for i in order]),
    )


def test_gradients_of_paste() -> None:
    """It is linear in both maps, so that wide steps are exact although it computes in float32."""
    features = torch.randn(2, 2, 6, 7, dtype=torch.float64, requires_grad=True)
    patches = torch.randn(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    boxes = torch.tensor([[1.2, 0.7, 4.9, 5.1], [-2.0, 3.0, 3.5, 9.0]])
    assert torch.autograd.gradcheck(
        lambda f, p: put_back(f, p, boxes), (features, patches), eps=0.5, atol=1e-4, rtol=1e-4
    )


def test_what_a_box_covers_gets_its_gradient_from_the_patch() -> None:
    features = torch.randn(1, 1, 8, 8, requires_grad=True)
    patches = torch.randn(1, 1, 4, 4, requires_grad=True)
    put_back(features, patches, torch.tensor([[2.0, 2, 6, 6]])).sum().backward()
    expected = torch.ones(8, 8)
    expected[2:6, 2:6] = 0
    assert torch.equal(features.grad[0, 0], expected)
    torch.testing.assert_close(patches.grad, torch.ones_like(patches))
