"""NegCLIP: CLIP with captions whose phrases are swapped as further texts, and with images that are near each other.

    L = 1/2 [ - mean_i log e^{s(i,i)} / (sum_j e^{s(i,j)} + sum_k e^{s(i,k)})  - mean_j log e^{s(j,j)} / sum_i e^{s(i,j)} ]

k runs over the swapped captions of the whole batch: negatives of every image, and themselves never asked for an image.
Yuksekgonul et al. 2023, "When and Why Vision-Language Models Behave like Bags-Of-Words", arXiv 2210.01936, section 4. Departures:
swaps come of this project's tagger and checks (``udfs.variant_swap``), not of spaCy's; a swapped caption is no negative of images
of which it may be true (theirs: of all); half of a batch's images are near neighbours of the other half (theirs add one to each),
near by their captions (theirs: by CLIP's image features), so that every method has equally many passes of the image tower.
"""

from training.batch import Needs
from training.methods.base import Method


class NegClip(Method):
    """InfoNCE with swapped captions and mined images; both are the reader's work, the loss is CLIP's over more texts."""

    name = "negclip"
    needs = Needs(own="original", variants=(("swap", 1),), mined=0.5)
