"""A domain that is a part of another: ``base`` names it, ``keep`` lists what stays of its tables, ``habits`` are its own."""

from typing import Any

TABLES = ("kinds", "colours", "materials", "grounds")
Tree = dict[str, Any]


def subset(base: Tree, keep: dict[str, list[str]], own: Tree) -> Tree:
    """The tree of a domain with only the entries that ``keep`` names, and nothing that speaks of the others.

    Args:
        base: tree of the whole domain.
        keep: names of what stays, by table.
        own: what the part has in place of the base's: its habits.

    Raises:
        ValueError: ``keep`` has another table than ``TABLES``, or an entry that the base does not have; ``own`` has more than
            habits.
    """
    if strange := sorted(own.keys() - {"habits"}):
        raise ValueError(f"unknown key {strange[0]}; a part of a domain has base, keep and habits")
    if not isinstance(keep, dict) or not all(isinstance(names, list) for names in keep.values()):
        raise ValueError("keep: it has lists of names, by table")
    if unknown := sorted(keep.keys() - set(TABLES)):
        raise ValueError(f"keep.{unknown[0]}: it has {', '.join(TABLES)}")
    kept = {table: _some(table, base[table], keep.get(table, list(base[table]))) for table in TABLES}
    kinds = {label: _kind(kind, kept) for label, kind in kept["kinds"].items()}
    return base | own | kept | {"kinds": kinds, "words": _words(base.get("words", {}), kept)}


def _some(table: str, entries: Tree, names: list[str]) -> Tree:
    for name in names:
        if name not in entries:
            raise ValueError(f"keep.{table}: the base has no {name!r}")
    return {name: entries[name] for name in entries if name in names}


def _kind(kind: Tree, kept: dict[str, Tree]) -> Tree:
    made = dict(kind)
    for key, table in (("colours", "colours"), ("materials", "materials"), ("companions", "kinds")):
        if key in made:
            made[key] = [name for name in made[key] if name in kept[table]]
    if "top" in made:
        holds = [label for label in made["top"]["holds"] if label in kept["kinds"]]
        made.pop("top") if not holds else made.update(top=made["top"] | {"holds": holds})
    return made


def _words(words: Tree, kept: dict[str, Tree]) -> Tree:
    """The base's words of what stays: hypernyms of the labels that are left, and what is said of them."""
    made = dict(words)
    made["labels"] = {label: said for label, said in words.get("labels", {}).items() if label in kept["kinds"]}
    hypernyms: Tree = {}
    for labels, said in words.get("hypernyms", {}).items():
        left = [label for label in labels.split(", ") if label in kept["kinds"] or label == "*"]
        if left:
            hypernyms[", ".join(left)] = f"{hypernyms[', '.join(left)]}, {said}" if ", ".join(left) in hypernyms else said
    said = dict(words.get("said", {}))
    for key, table in (("nouns", "kinds"), ("materials", "materials"), ("grounds", "grounds"), ("colours", "colours")):
        if key in said:
            said[key] = {name: text for name, text in said[key].items() if name in kept[table]}
    if "mass" in said:
        there = {noun.strip() for text in hypernyms.values() for noun in text.split(",")}
        said["mass"] = ", ".join(noun for noun in map(str.strip, said["mass"].split(",")) if noun in there)
    return made | {"hypernyms": hypernyms, "said": said}
