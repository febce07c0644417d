"""CLIP: symmetric InfoNCE over images and their captions, the plain fine-tuning that all other methods are compared with.

    L = 1/2 [ - mean_i log e^{s(i,i)} / sum_j e^{s(i,j)}  - mean_j log e^{s(j,j)} / sum_i e^{s(i,j)} ],   s = scaled cosine

Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision", arXiv 2103.00020, figure 3.
Departure: pairs within a family that are true or may be true are left out of the sums; ``masking=False`` is the published form.
"""

from training.data.batch import Needs
from training.methods.base import Method


class Clip(Method):
    """InfoNCE on originals and their captions."""

    name = "clip"
    needs = Needs(own="original")
