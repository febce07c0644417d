"""A family's images as the inpainter made them, and after a pixel was changed, in each format."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.tiny_models import picture
from udfs import images, masks
from udfs.inpaint.inpainter import Inpainter
from udfs.inpaint.verify import FamilyVerifier
from udfs.settings import RoleSettings


def family(settings: RoleSettings) -> dict[str, Any]:
    """A picture with two components that are apart, and all its duals."""
    outlines = []
    for left in (10, 140):
        mask = np.zeros((160, 200), dtype=np.bool_)
        mask[20:50, left : left + 30] = True
        outlines.append({"label": f"at {left}", "masks": [masks.to_rle(mask)]})
    row = {"record_id": "a", "image": picture(160, 200), "components": outlines}
    (made,) = Inpainter(settings, "cpu")([row])
    assert [dual["status"] for dual in made["duals"]] == ["ok"] * 4
    return row | {"duals": [{"subset": dual["subset"], "image": dual["image"]} for dual in made["duals"]]}


@pytest.mark.parametrize("format", ["png", "jpeg", "webp"])
def test_what_the_inpainter_makes_is_right_and_a_changed_corner_is_not(format: str) -> None:
    settings = RoleSettings.model_validate({"inpainter": {"kind": "opencv"}, "codec": {"format": format}})
    row, verify = family(settings), FamilyVerifier(settings, "cpu")
    assert verify([row]) == [{"problems": [], "images": 4}]

    rgb = images.decode(row["duals"][2]["image"]).copy()
    rgb[-8:, :8] = 255 - rgb[-8:, :8]
    row["duals"][2]["image"] = images.encode(rgb, settings.codec)
    (verified,) = verify([row])
    said = [problem.partition(":")[0] for problem in verified["problems"]]
    # WebP's blocks depend on one another: there only sizes are compared.
    assert said == ([] if format == "webp" else ["subset 2", "subset 3"])


def test_sizes_and_damage() -> None:
    settings = RoleSettings.model_validate({"inpainter": {"kind": "opencv"}, "codec": {"format": "png"}})
    row, verify = family(settings), FamilyVerifier(settings, "cpu")
    small = io.BytesIO()
    Image.new("RGB", (20, 10)).save(small, "PNG")
    row["duals"][1]["image"], row["duals"][3]["image"] = small.getvalue(), b"no image"
    (verified,) = verify([row])
    cut, size = verified["problems"]
    assert cut.startswith("subset 3 cannot be decoded: ")
    assert size == "subset 1 has 20 x 10 pixels, its original 200 x 160"
