"""Skips padding in the text tower.

CLIP's tokenizer pads every text to the context length (77), of which captions use 10 to 20 tokens. With causal attention and the
feature taken at the end-of-text token, the tokens after it affect neither the feature nor its gradient (Radford et al. 2021,
"Learning Transferable Visual Models From Natural Language Supervision", section 2.4). So the transformer gets a batch only up to
the end of its longest text.
"""

from typing import Any

MULTIPLE = 8  # lengths are rounded up to it: fewer shapes, and they suit tensor cores


def cut_padding(network: Any) -> bool:
    """Make an open_clip network's text tower cut [T, L] tokens to the longest text, from now on. Returns whether it can.

    Methods and weights stay as they are: one hook sees the tokens, another shortens the transformer's input. The function returns
    False and does nothing where padding affects the feature: other pooling, bidirectional attention, a class token after the text
    (CoCa), features of all tokens, or text towers of other libraries.
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
    """What the two hooks share: the length of the longest text between token embedding and transformer."""

    def __init__(self) -> None:
        self.length: int | None = None

    def see(self, _: Any, inputs: tuple[Any, ...]) -> None:
        tokens = inputs[0]
        if tokens.ndim != 2 or not tokens.numel():
            return
        # The end-of-text token has the largest id; open_clip's pooling finds it by argmax as well.
        longest = int(tokens.argmax(dim=-1).max()) + 1
        self.length = min(tokens.shape[1], -(-longest // MULTIPLE) * MULTIPLE)

    def shorten(self, _: Any, inputs: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        length, self.length = self.length, None
        if length is None or len(inputs) != 1 or "attn_mask" not in named:
            return None  # not called by the text tower: leave the input as it is
        return (inputs[0][:, :length],), named | {"attn_mask": named["attn_mask"][:length, :length]}


def _is_causal(mask: Any) -> bool:
    """Whether an additive mask [L, L] hides exactly the later tokens from each token."""
    import torch

    later = torch.ones_like(mask, dtype=torch.bool).triu(1)
    return bool((mask[later] == -torch.inf).all() and (mask[~later] == 0).all())
