"""What the open dictionary (lemminflect) says of a single word: its parts of speech and its lemmas."""

from functools import lru_cache

from udfs.captions.word_lists import CAPTION_VERBS


@lru_cache(maxsize=65536)
def parts_of_speech(word: str) -> dict[str, tuple[str, ...]]:
    """Possible parts of speech of a lower-case word form, each with its lemmas; empty for an unknown word.

    For example ``{"NOUN": ("stand",), "VERB": ("stand",)}``. The result is shared and must not be changed.
    """
    from lemminflect import getAllLemmas  # its tables take most of a second to load

    return dict(getAllLemmas(word))


def verb_lemma(word: str) -> str | None:
    """The lemma of a word read as a verb, or None. A lemma that captions use comes first."""
    lemmas = parts_of_speech(word).get("VERB")
    if not lemmas and word.endswith("ing"):
        # Newer verbs ("texting") that the dictionary lacks.
        return next((stem for stem in (word[:-3], word[:-3] + "e", word[:-4]) if stem in CAPTION_VERBS), None)
    if not lemmas:
        return None
    return next((lemma for lemma in lemmas if lemma in CAPTION_VERBS), lemmas[0])
