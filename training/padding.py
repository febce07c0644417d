"""No text tower computes padding: behind a text's end nothing is, and nothing that counts sees it.

CLIP's tokenizer fills every text up to the context's length (77), of which captions take 10 to 20; with causal attention and
the feature taken at the end-of-text token, what stands behind that token has no effect on the feature or its gradient
(Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision", section 2.4). So the
transformer gets a batch only as far as its longest text.
"""

from typing import Any

MULTIPLE = 8  # lengths are rounded up: few shapes, and such as tensor cores like


def cut_padding(network: Any) -> bool:
    """Let an open_clip network's text tower, from now on, compute as much of [T, L] tokens as the longest text takes.

    Its methods and weights stay as they are: two hooks see the tokens and shorten what goes into the transformer. Returns False,
    and does nothing, where padding is seen or the feature is taken elsewhere: another pooling, attention to both sides, a class
    token behind the text (CoCa), features of all tokens, or text towers of other libraries.
    """
    tower = getattr(network, "text", network)
    pool = getattr(tower, "pool_type", getattr(tower, "text_pool_type", None))
    mask = getattr(tower, "attn_mask", None)
    plain = getattr(tower, "cls_emb", None) is None and not getattr(tower, "use_pad_mask", False)
    if pool != "argmax" or not plain or getattr(tower, "output_tokens", False) or mask is None or not _is_causal(mask):
        return False
    cut = _Cut()
    tower.token_embedding.register_forward_pre_hook(cut.see)
    tower.transformer.register_forward_pre_hook(cut.shorten, with_kwargs=True)
    return True


class _Cut:
    """What the two hooks share: how long the texts are that have just been embedded and not gone into the transformer yet."""

    def __init__(self) -> None:
        self.length: int | None = None

    def see(self, _: Any, inputs: tuple[Any, ...]) -> None:
        tokens = inputs[0]
        if tokens.ndim != 2 or not tokens.numel():
            return
        # The end-of-text token has the largest number of all: what pools by it finds it so, too.
        longest = int(tokens.argmax(dim=-1).max()) + 1
        self.length = min(tokens.shape[1], -(-longest // MULTIPLE) * MULTIPLE)

    def shorten(self, _: Any, inputs: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        length, self.length = self.length, None
        if length is None or len(inputs) != 1 or "attn_mask" not in named:
            return None  # not called as the text tower calls it: nothing is known of these
        return (inputs[0][:, :length],), named | {"attn_mask": named["attn_mask"][:length, :length]}


def _is_causal(mask: Any) -> bool:
    """Whether an additive mask [L, L] keeps each token from all later ones, and only from these."""
    import torch

    later = torch.ones_like(mask, dtype=torch.bool).triu(1)
    return bool((mask[later] == -torch.inf).all() and (mask[~later] == 0).all())
