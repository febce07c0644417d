"""CoCa: CLIP's contrastive loss plus a captioning loss.

    L     = w_con L_con + w_cap L_cap,   w_con = 1, w_cap = 2
    L_cap = - mean over the tokens y of images' own texts of log P(y_l | y_<l, image), padding left out

Yu et al. 2022, "CoCa: Contrastive Captioners are Image-Text Foundation Models", arXiv 2205.01917, section 3, with open_clip's
model and weights. It is the captioning baseline; the benchmarks compare its contrastive embeddings, as those of every other
method. Limits: open_clip pads with token 0, which its tokenizer also uses for "!", and both are left out; a model without a text
decoder cannot be trained this way; hard negatives are not captioned.
"""

from torch import Tensor
from torch.nn import functional as F

from training.data.batch import Needs
from training.gather import reduced, world
from training.methods.base import Masking, Method, Positives, Targets

PAD = 0  # open_clip's


class CoCa(Method):
    """The contrastive loss; the captioning loss is in ``extra``, as its logits never leave their process."""

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
        """CLIP's contrastive loss, weighted."""
        return self.contrast_weight * super().contrast(logits, targets)

    def extra(self, output: dict[str, Tensor], tokens: Tensor) -> Tensor:
        """The captioning loss, to be added to the total.

        Args:
            output: of open_clip's CoCa for I images and their own texts: "logits" [I, L - 1 or L, vocabulary].
            tokens: int64 [I, L], of these texts.

        Returns:
            A scalar: the mean over the tokens of all processes. Its gradient in each process is ``world`` times this process's
            share, as for gathered features, so that averaging over processes gives the gradient of the mean.
        """
        likelihood, is_token = token_likelihood(output["logits"], tokens)
        local, count = -likelihood[is_token].sum(), reduced(is_token.sum()).clamp(min=1)
        share = local * world() / count
        mean = reduced(local) / count
        return self.caption_weight * (share + (mean - share).detach())


def token_likelihood(logits: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Log likelihood of all tokens but the first, float32 [I, L - 1], and which of them are not padding, bool [I, L - 1].

    Raises:
        ValueError: the shapes of logits and tokens do not match.
    """
    following = tokens[:, 1:]
    if logits.shape[0] != tokens.shape[0] or logits.shape[1] not in (following.shape[1], tokens.shape[1]):
        raise ValueError(f"logits {tuple(logits.shape)} do not fit tokens {tuple(tokens.shape)}")
    logits = logits[:, : following.shape[1]].float()
    likelihood = -F.cross_entropy(logits.transpose(1, 2), following, reduction="none")
    return likelihood, following != PAD
