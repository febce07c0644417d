"""CoCa: CLIP's contrast and a captioner's loss; captions are ranked by how likely the captioner finds them.

    L     = w_con L_con + w_cap L_cap,   w_con = 1, w_cap = 2
    L_cap = - mean over the tokens y of images' own texts of log P(y_l | y_<l, image), padding left out

Yu et al. 2022, "CoCa: Contrastive Captioners are Image-Text Foundation Models", arXiv 2205.01917, section 3, with open_clip's
model and weights. It is the captioning baseline: what is compared by truth elsewhere is here compared by likelihood, which
knows how common a sentence is as well. Limits: open_clip pads with token 0, which its tokenizer also writes for "!", and both
are left out; a model without a text decoder cannot be trained or ranked so; hard negative texts are not captioned.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from training.batch import Needs
from training.gather import reduced, world
from training.methods.base import Masking, Method, Positives, Targets

PAD = 0  # open_clip's


class CoCa(Method):
    """The contrast here, the captioner's part in ``extra``, as its logits never leave their process."""

    name = "coca"
    needs = Needs(own="original")

    def __init__(
        self,
        masking: Masking = "family",
        positives: Positives = "masked",
        contrast_weight: float = 1.0,
        caption_weight: float = 2.0,
    ) -> None:
        super().__init__(masking, positives)
        self.contrast_weight, self.caption_weight = contrast_weight, caption_weight

    def contrast(self, logits: Tensor, targets: Targets) -> Tensor:
        """CLIP's, weighted."""
        return self.contrast_weight * super().contrast(logits, targets)

    def extra(self, output: dict[str, Tensor], tokens: Tensor) -> Tensor:
        """The captioner's loss, to be added to the total.

        Args:
            output: what open_clip's CoCa gave for I images and their own texts: "logits" [I, L - 1 or L, vocabulary].
            tokens: int64 [I, L], these texts.

        Returns:
            A scalar: the mean over all processes' tokens. Its gradient in each process is ``world`` times this process's share,
            as for gathered features, so that averaging gives the mean's.
        """
        likelihood, held = token_likelihood(output["logits"], tokens)
        mine, count = -likelihood[held].sum(), reduced(held.sum()).clamp(min=1)
        share = mine * world() / count
        everyone = reduced(mine) / count
        return self.caption_weight * (share + (everyone - share).detach())


def token_likelihood(logits: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Log likelihood of every token but the first, float32 [I, L - 1], and which of them are no padding, bool.

    Raises:
        ValueError: logits and tokens do not belong together.
    """
    following = tokens[:, 1:]
    if logits.shape[0] != tokens.shape[0] or logits.shape[1] not in (following.shape[1], tokens.shape[1]):
        raise ValueError(f"logits {tuple(logits.shape)} do not fit tokens {tuple(tokens.shape)}")
    logits = logits[:, : following.shape[1]].float()
    likelihood = -F.cross_entropy(logits.transpose(1, 2), following, reduction="none")
    return likelihood, following != PAD


@torch.no_grad()
def caption_scores(model: Any, pixels: Tensor, tokens: Tensor, mean: bool = True) -> Tensor:
    """How likely open_clip's CoCa finds each caption of each image: float32 [I, K]; the highest ranks first.

    Args:
        pixels: [I, 3, H, W].
        tokens: int64 [I, K, L]: K captions of each image.
        mean: per token, which does not favour short captions; False: of the whole caption.
    """
    images, captions, length = tokens.shape
    flat = tokens.reshape(images * captions, length)
    latent, patches = model._encode_image(pixels)
    output = model(None, flat, latent.repeat_interleave(captions, 0), patches.repeat_interleave(captions, 0))
    likelihood, held = token_likelihood(output["logits"], flat)
    total = (likelihood * held).sum(1)
    scores = total / held.sum(1).clamp(min=1) if mean else total
    return scores.reshape(images, captions)
