"""Variants by a language model: one phrase replaced, or the caption reworded. ``udfs.variants.generator`` checks the meaning."""

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from udfs.language import model as language
from udfs.rewrite.llm import read_reply
from udfs.role import Failure
from udfs.variants.substitutions import SYNONYMS

if TYPE_CHECKING:
    from udfs.language.settings import LanguageModel

PROMPTS = {"llm_replace": "variant_replace", "rewrite": "variant_rewrite"}
_MOST_WORDS = 3  # in the replaced phrase
_DENIES = frozenset({"no", "not", "without", "nothing", "nobody", "none", "never", "empty", "missing"})


class LanguageModelVariants:
    """One model per requested kind, as each kind has its own examples. ``version`` covers weights and prompts."""

    def __init__(self, settings: "LanguageModel", device: str, kinds: Sequence[str]) -> None:
        """Load the model once per prompt.

        Raises:
            ValueError: no language model makes any of the kinds.
        """
        wanted = [kind for kind in kinds if kind in PROMPTS]
        if not wanted:
            raise ValueError(f"variants.model is set, but no kind of {', '.join(PROMPTS)} is asked for")
        prompts = {kind: language.read_prompt(PROMPTS[kind]) for kind in wanted}
        self.models = {
            kind: language.load(
                settings,
                device,
                prompt.system,
                [(user_message(example["caption"]), language.quote(example["reply"])) for example in prompt.examples],
            )
            for kind, prompt in prompts.items()
        }
        first = self.models[wanted[0]]
        self.name = first.name
        self.version = f"{first.version} prompt " + " ".join(prompt.version for prompt in prompts.values())

    def __call__(self, texts: Sequence[str]) -> dict[tuple[str, str], str | Failure]:
        """The model's variant of each text, by (kind, text), or a failure with the reason."""
        return dict(self._replies(list(dict.fromkeys(texts))))

    def _replies(self, texts: Sequence[str]) -> Iterator[tuple[tuple[str, str], str | Failure]]:
        for kind, model in self.models.items():
            for text, reply in zip(texts, model([user_message(text) for text in texts]) if texts else (), strict=True):
                result = reply if isinstance(reply, Failure) else read_reply(reply)
                fault = one_change(text, result) if kind == "llm_replace" and isinstance(result, str) else ""
                yield (kind, text), Failure(fault, str(result)) if fault else result


def user_message(text: str) -> str:
    """The caption, quoted."""
    return f"Caption: {language.quote(text)}"


def one_change(text: str, changed: str) -> str:
    """Check that ``changed`` is ``text`` with one phrase replaced; return a reason code, empty if it is."""
    before, after = (version.lower().rstrip(" .").split() for version in (text, changed))
    edits = [edit for edit in SequenceMatcher(a=before, b=after, autojunk=False).get_opcodes() if edit[0] != "equal"]
    # "a zebra" becomes "an elephant": two words, one edit.
    if len(edits) != 1 or edits[0][0] != "replace":
        return "not_one_change"
    _, i, j, k, m = edits[0]
    if max(j - i, m - k) > _MOST_WORDS:
        return "not_one_change"
    if _DENIES & set(after[k:m]):
        return "denies"
    exchanged = {" ".join(before[i:j]), " ".join(after[k:m])}
    return "same_meaning" if any(exchanged == set(pair) for pair in SYNONYMS) else ""
