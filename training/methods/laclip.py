"""LaCLIP: CLIP with each caption replaced by one of its rewrites, by chance.

    L as in ``training.methods.clip``, with text t_i drawn evenly from {t_i, its rewrites}

Fan et al. 2023, "Improving CLIP Training with Language Rewrites", arXiv 2305.20088, equation 4. Departures: theirs are four
rewrites by LLaMA, these are what ``jobs.variants`` made, by rules or by a language model; theirs trains from scratch.
"""

from training.batch import Needs
from training.methods.base import Method


class LaClip(Method):
    """InfoNCE with rewrites standing in for captions; drawing them is the reader's work."""

    name = "laclip"
    needs = Needs(own="original", rewrites="rewrite")
