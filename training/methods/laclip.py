"""LaCLIP: CLIP with each caption randomly replaced by one of its rewrites.

    L as in ``training.methods.clip``, with text t_i drawn uniformly from {t_i, its rewrites}

Fan et al. 2023, "Improving CLIP Training with Language Rewrites", arXiv 2305.20088, equation 4. Departures: the paper
has four rewrites by LLaMA, here rewrites come from ``jobs.variants``, by rules or by a language model; the paper trains from
scratch.
"""

from training.data.batch import Needs
from training.methods.base import Method


class LaClip(Method):
    """InfoNCE with rewrites in place of captions; the reader draws them."""

    name = "laclip"
    needs = Needs(own="original", rewrites="rewrite")
