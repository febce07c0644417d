"""NegCLIP: CLIP with captions with swapped phrases as hard negatives, and with mined batches of near images.

    L = 1/2 [ - mean_i log e^{s(i,i)} / (sum_j e^{s(i,j)} + sum_k e^{s(i,k)})  - mean_j log e^{s(j,j)} / sum_i e^{s(i,j)} ]

k runs over the swapped captions of the whole batch. They are negatives of every image, but have no row in the second mean.
Yuksekgonul et al. 2023, "When and Why Vision-Language Models Behave like Bags-Of-Words", arXiv 2210.01936, section 4. Departures:
swaps use this project's tagger and checks (``udfs.variants.swap``) instead of spaCy; a swapped caption is no negative of images
of which it may be true (in the paper: of all images); half of a batch's images are near neighbours of the other half (in the
paper one is added to each image), so that all methods have equally many forward passes of the image tower; neighbours are near by
their captions (in the paper: by CLIP's image features).
"""

from training.data.batch import Needs
from training.methods.base import Method


class NegClip(Method):
    """InfoNCE with swapped captions and mined images. The reader provides both; the loss is CLIP's over more texts."""

    name = "negclip"
    needs = Needs(own="original", variants=(("swap", 1),), mined=0.5)
