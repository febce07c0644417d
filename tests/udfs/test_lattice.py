"""Which subsets need a model call, and how the others are pasted together."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from udfs import masks
from udfs.inpaint import lattice
from udfs.inpaint.lattice import Patch

some_masks = st.lists(arrays(np.bool_, (6, 8), elements=st.sampled_from([False] * 7 + [True])), max_size=5)


def at(*boxes: tuple[int, int, int, int]) -> list[np.ndarray]:
    """One mask a box of (top, left, bottom, right) on 40 x 60 pixels."""
    out = []
    for top, left, bottom, right in boxes:
        mask = np.zeros((40, 60), np.bool_)
        mask[top:bottom, left:right] = True
        out.append(mask)
    return out


def test_components_that_touch_through_others_are_one_group() -> None:
    left, middle, right, far = at((5, 5, 10, 10), (5, 18, 10, 25), (8, 9, 12, 19), (30, 40, 35, 50))
    assert lattice.groups([left, middle, right, far]) == (0b0111, 0b1000)
    assert lattice.groups([left, middle, far]) == (0b001, 0b010, 0b100)
    neighbours = at((0, 0, 5, 5), (5, 5, 9, 9))  # share a corner
    assert lattice.groups(neighbours) == (0b11,)
    assert lattice.groups([]) == ()


@given(some_masks)
def test_groups_are_a_partition_and_do_not_touch(found: list[np.ndarray]) -> None:
    grouping = lattice.groups(found)
    assert sum(grouping) == (1 << len(found)) - 1
    assert all(a & b == 0 for i, a in enumerate(grouping) for b in grouping[:i])
    for i, a in enumerate(found):
        for j, b in enumerate(found[:i]):
            if (masks.dilate(a, 1.5) & b).any():
                assert any(g >> i & 1 and g >> j & 1 for g in grouping)


@given(some_masks)
def test_calls_are_the_subsets_within_one_group(found: list[np.ndarray]) -> None:
    n, grouping = len(found), lattice.groups(found)
    calls = lattice.own_calls(n, grouping)
    assert len(calls) == sum((1 << group.bit_count()) - 1 for group in grouping)
    for subset in range(1 << n):
        parts = lattice.parts(subset, grouping)
        assert sum(parts) == subset
        assert set(parts) <= set(calls)


def test_separate_components_need_one_call_each() -> None:
    assert lattice.own_calls(3, (1, 2, 4)) == (1, 2, 4)
    assert lattice.own_calls(4, (1, 2, 4, 8)) == (1, 2, 4, 8)
    assert lattice.own_calls(3, (0b111,)) == tuple(range(1, 8))


@given(st.integers(0, 39), st.integers(0, 59), st.integers(1, 40), st.integers(1, 60), st.floats(0, 2))
def test_a_crop_holds_its_hole_with_a_margin(top: int, left: int, height: int, width: int, context: float) -> None:
    (mask,) = at((top, left, top + height, left + width))
    box = lattice.crop_box(mask, context)
    assert lattice.cut(mask, box).sum() == mask.sum()
    assert 0 <= box[0] < box[2] <= 40
    assert 0 <= box[1] < box[3] <= 60
    assert mask.all() or not lattice.cut(mask, box).all()


def test_paste_blends_and_leaves_the_rest() -> None:
    base = np.full((4, 4, 3), 100, np.uint8)
    alpha = np.array([[0.0, 0.5], [1.0, 0.0]], np.float32)
    out = lattice.paste(base, [Patch((1, 1, 3, 3), np.full((2, 2, 3), 200, np.uint8), alpha)])
    assert out[1:3, 1:3, 0].tolist() == [[100, 150], [200, 100]]
    assert (base == 100).all()
