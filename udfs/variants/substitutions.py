"""Word substitutions for variants of captions: which word replaces which to make the text false, or to keep its meaning.

Two words in one list of ``ALTERNATIVES`` exclude each other, unless they share an entry of ``NEAR``.
"""

from udfs.captions.word_lists import word_set

COLOURS = word_set("red orange yellow green blue purple pink brown white black gray")
MATERIALS = word_set("wooden metal metallic plastic glass brick stone leather paper")
PATTERNS = word_set("striped dotted checkered")
ALTERNATIVES = (COLOURS, MATERIALS, PATTERNS)
# Words that people use for the same thing.
NEAR = tuple(
    word_set(text)
    for text in (
        "red orange pink brown maroon",
        "orange yellow gold golden",
        "yellow gold golden blonde blond tan beige cream white",
        "brown tan beige gold golden maroon orange",
        "black brown gray grey navy",
        "gray grey silver white black",
        "blue teal turquoise navy purple",
        "green teal turquoise",
        "purple pink violet maroon",
        "wooden wood",
        "metal metallic steel silver glossy shiny",
        "stone concrete brick marble",
        "dotted spotted",
        "checkered checked plaid",
        "paper cardboard",
        "plastic rubber",
    )
)
COLOUR_WORDS = COLOURS | word_set("grey tan beige maroon gold golden silver navy teal turquoise violet cream")
MATERIAL_WORDS = MATERIALS | word_set("wood steel concrete marble rubber cardboard")
PATTERN_WORDS = PATTERNS | word_set("spotted checked plaid")
OPPOSITES = (
    (("large", "big", "huge"), ("small", "little", "tiny")),
    (("tall",), ("short",)),
    (("long",), ("short",)),
    (("old", "elderly"), ("young",)),
    (("open",), ("closed",)),
    (("wet",), ("dry",)),
    (("dirty",), ("clean",)),
    (("empty",), ("full",)),
    (("hot",), ("cold",)),
    (("sunny",), ("rainy",)),
    (("crowded", "busy"), ("deserted",)),
    (("modern",), ("antique", "vintage")),
    (("thick",), ("thin",)),
    (("wide",), ("narrow",)),
)
# Kinds of adjectives; two of one kind may be swapped: "a small red ball and a large blue box".
KINDS = (
    COLOUR_WORDS,
    MATERIAL_WORDS,
    PATTERN_WORDS,
    word_set("large big huge small little tiny"),
    word_set("tall short"),
    word_set("old young elderly"),
    word_set("wet dry"),
    word_set("clean dirty"),
)


def near(first: str, second: str) -> bool:
    """Whether two adjectives can describe the same property of the same thing: "small" and "tiny", "red" and "pink"."""
    sides = [set(side) for pair in OPPOSITES for side in pair]
    return first == second or any(first in group and second in group for group in (*NEAR, *sides))


RELATIONS = {
    "in front of": ("behind",),
    "behind": ("in front of",),
    "above": ("below",),
    "over": ("under",),
    "below": ("above",),
    "beneath": ("above", "on top of"),
    "under": ("above", "on top of"),
    "underneath": ("above", "on top of"),
    "on top of": ("under",),
    "on": ("under",),
    "inside": ("outside",),
    "inside of": ("outside of",),
    "outside": ("inside",),
    "outside of": ("inside of",),
    "left of": ("right of",),
    "right of": ("left of",),
    "to the left of": ("to the right of",),
    "to the right of": ("to the left of",),
    "on the left side of": ("on the right side of",),
    "on the right side of": ("on the left side of",),
    "next to": ("on top of", "underneath"),
    "beside": ("on top of", "underneath"),
}
# Not places above or below which a thing could be, after "on" and "under".
NO_PLACE = word_set(
    "day night side phone phones tv way top left right display hand hands head face feet foot leash it them one repair"
    " construction"
)
# Postures and movements of animate subjects, each with those that it excludes.
ACTS = {
    "sit": ("stand", "run", "jump"),
    "stand": ("sit", "lie", "run"),
    "lie": ("stand", "run", "jump"),
    "lay": ("stand", "run", "jump"),
    "sleep": ("run", "jump", "stand"),
    "run": ("sit", "sleep", "lie"),
    "walk": ("sit", "sleep", "lie"),
    "jump": ("sit", "sleep", "lie"),
    "swim": ("stand", "sleep"),
}
PLACES = word_set("kitchen bathroom bedroom office beach street forest desert")
# Symmetric connectors: true both ways.
SYMMETRIC = word_set("and or") | frozenset(
    {"&", ",", "with", "next to", "beside", "near", "by", "close to", "alongside", "adjacent to", "along with", "together with"}
    | {"side by side with", "as well as", "in addition to", "across from", "opposite"}
)
# Symmetric connectors around which two phrases can be swapped.
TURNABLE = frozenset({"and", "next to", "beside", "near", "close to"})
MUTUAL = word_set("kiss hug face meet touch talk match cuddle snuggle fight play chat stand sit lie lay rest be")
# Synonyms in both directions; nouns only if the lexicon gives both the same reading.
SYNONYMS = (
    ("large", "big"),
    ("small", "little"),
    ("couch", "sofa"),
    ("couches", "sofas"),
    ("tv", "television"),
    ("airplane", "plane"),
    ("airplanes", "planes"),
    ("donut", "doughnut"),
    ("donuts", "doughnuts"),
    ("refrigerator", "fridge"),
    ("motorcycle", "motorbike"),
    ("motorcycles", "motorbikes"),
    ("child", "kid"),
    ("children", "kids"),
    ("car", "automobile"),
    ("photo", "photograph"),
    ("street", "road"),
    ("rock", "stone"),
    ("rug", "carpet"),
    ("gray", "grey"),
    ("glossy", "shiny"),
    ("dotted", "spotted"),
    ("checked", "checkered"),
    ("next to", "beside"),
    ("near", "close to"),
    ("below", "beneath"),
    ("under", "underneath"),
    ("2", "two"),
    ("3", "three"),
    ("4", "four"),
)
