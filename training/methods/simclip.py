"""SimCLIP: CLIP's loss on batches of similar captions.

The control for the question whether batching similar pairs alone explains the gain. Batches consist of clusters of neighbouring
captions; the loss is InfoNCE as in ``training.methods.clip``. After "an empirical study of CLIP fine-tuning with similarity
clusters" (OpenReview, NmNmlAEBAl), as in its public code: clusters of 16 captions, a random one with its 15 nearest neighbours.
Departures: each image once an epoch, so that the last batches have fewer neighbours to choose from, where the original draws each
batch from all; similarity by the weights that the run starts from, where the original embeds again in each epoch; and the masking
that all methods share, without which similar captions of other images are often false negatives.
"""

from training.data.batch import Needs
from training.methods.base import Method


class SimClip(Method):
    """InfoNCE on neighbouring captions; the method is in how batches are drawn."""

    name = "simclip"
    needs = Needs(own="original", neighbours=True)
