"""SimCLIP: CLIP's loss on batches of captions that are near each other.

The control for "does merely batching similar pairs explain the gain". Batches are made of clusters of neighbouring captions; the
loss is InfoNCE as in ``training.methods.clip``. After "an empirical study of CLIP fine-tuning with similarity clusters" (on
OpenReview, NmNmlAEBAl, as its public code does it: clusters of 16 captions, each one at random with the 15 nearest to it).
Departures: each image once an epoch, so that the last batches have fewer near ones to choose among, where theirs draws each batch
of all; nearness by the weights that the run starts from, where theirs embeds anew each epoch; and the masking that all methods
share, without which near captions of other images are often false negatives.
"""

from training.batch import Needs
from training.methods.base import Method


class SimClip(Method):
    """InfoNCE on neighbouring captions; the batch is the method."""

    name = "simclip"
    needs = Needs(own="original", neighbours=True)
