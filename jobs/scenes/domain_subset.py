"""A domain that is a subset of another: ``base`` names it, ``keep`` lists the entries to keep, ``habits`` replace the base's."""

from typing import Any

TABLES = ("kinds", "colours", "materials", "grounds")
Tree = dict[str, Any]


def subset(base: Tree, keep: dict[str, list[str]], own: Tree) -> Tree:
    """The tree of a domain with only the entries that ``keep`` names; references to other entries are removed too.

    Args:
        base: tree of the whole domain.
        keep: names of the entries to keep, by table; a table that is not named is kept whole.
        own: what replaces the base's: habits.

    Raises:
        ValueError: ``keep`` names a table that is not in ``TABLES``, or an entry that the base does not have; ``own`` has a key
            other than habits.
    """
    if strange := sorted(own.keys() - {"habits"}):
        raise ValueError(f"unknown key {strange[0]}; a subset of a domain has base, keep and habits")
    if not isinstance(keep, dict) or not all(map(_are_names, keep.values())):
        raise ValueError("keep: give a list of names for each table")
    if unknown := sorted(keep.keys() - set(TABLES)):
        raise ValueError(f"keep.{unknown[0]}: no such table; choose from {', '.join(TABLES)}")
    kept = {table: _selected(table, base[table], keep.get(table, list(base[table]))) for table in TABLES}
    kinds = {label: _kind(kind, kept) for label, kind in kept["kinds"].items()}
    return base | own | kept | {"kinds": kinds, "words": _words(base.get("words", {}), kept)}


def _are_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _selected(table: str, entries: Tree, names: list[str]) -> Tree:
    for name in names:
        if name not in entries:
            raise ValueError(f"keep.{table}: the base has no {name!r}")
    return {name: entries[name] for name in entries if name in names}


def _kind(kind: Tree, kept: dict[str, Tree]) -> Tree:
    """A class with only the colours, materials, companions and things on top of it that are kept."""
    reduced = dict(kind)
    for key, table in (("colours", "colours"), ("materials", "materials"), ("companions", "kinds")):
        if key in reduced:
            reduced[key] = [name for name in reduced[key] if name in kept[table]]
    if "top" in reduced:
        holds = [label for label in reduced["top"]["holds"] if label in kept["kinds"]]
        reduced.pop("top") if not holds else reduced.update(top=reduced["top"] | {"holds": holds})
    return reduced


def _words(words: Tree, kept: dict[str, Tree]) -> Tree:
    """The base's words for what is kept: hypernyms of the remaining labels, and how captions name them."""
    reduced = dict(words)
    reduced["labels"] = {label: nouns for label, nouns in words.get("labels", {}).items() if label in kept["kinds"]}
    hypernyms: Tree = {}
    for labels, nouns in words.get("hypernyms", {}).items():
        left = [label for label in labels.split(", ") if label in kept["kinds"] or label == "*"]
        if left:
            hypernyms[", ".join(left)] = f"{hypernyms[', '.join(left)]}, {nouns}" if ", ".join(left) in hypernyms else nouns
    said = dict(words.get("said", {}))
    for key, table in (("nouns", "kinds"), ("materials", "materials"), ("grounds", "grounds"), ("colours", "colours")):
        if key in said:
            said[key] = {name: text for name, text in said[key].items() if name in kept[table]}
    if "mass" in said:
        remaining = {noun.strip() for text in hypernyms.values() for noun in text.split(",")}
        said["mass"] = ", ".join(noun for noun in map(str.strip, said["mass"].split(",")) if noun in remaining)
    return reduced | {"hypernyms": hypernyms, "said": said}
