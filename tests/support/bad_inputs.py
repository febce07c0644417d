"""Bad captions, tables and tars, made from good ones by a seeded generator, over the sources that Python parses.

Each input is a folder of its own. All of them tell of the three good images of ``PICTURES``; where only one entry was damaged,
the other two are named as ``good``.
"""

import csv
import io
import json
import random
import tarfile
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from tests.support.bad_images import good_images, mutated, saved

PICTURES = {f"{name}.png": saved(Image.new("RGB", (16, 12), name), "PNG") for name in ("red", "green", "blue")}
NAMES = tuple(PICTURES)
DEEP = "@deep {}@"  # stands for that many lists in one another
JUNK: tuple[Any, ...] = (
    *(None, True, -1, 0, 1.5, 10**30, float("nan"), float("inf"), 10**4000),
    *("", " ", "\0", "\ud800", "\udcff", "\ufeff", "\u202e\u2028\u200b", "x" * 100_000, "a\nb.png", "a\\b.png", "a%2e.png"),
    *("../red.png", "/etc/passwd", "..\\red.png", "%2e%2e/red.png", "http://x.invalid/a.png", "zip://a::b.png", "red.png/", "~"),
    *([], {}, [[]], [None], ["a", 1], {"a": {}}, DEEP.format(900), DEEP.format(100_000)),
)


@dataclass(frozen=True)
class BadInput:
    """A source: its kind, its options (``captions=table.csv`` is a file below its folder), and those files."""

    name: str
    kind: str
    options: dict[str, str]
    files: dict[str, bytes]
    good: tuple[str, ...] = ()  # keys of records that are ok, if the source can be read at all
    make: Callable[[Path], None] = field(default=lambda folder: None)  # what is no plain file: links, pipes, folders


def bad_inputs(seed: int, count: int) -> list[BadInput]:
    """About ``count`` inputs by chance, a like number of each source and way, and one of each kind that is made on purpose."""
    chance = random.Random(seed)
    makers = (coco, instances, karpathy, json_lines, bad_table, bytes_of_text, encodings, tars, tar_members)
    made = [maker(chance) for _ in range(-(-count // len(makers))) for maker in makers]
    phrase_boxes = [maker(chance) for _ in range(-(-count // len(makers))) for maker in (entities, entities_originals)]
    numbered = [*made, *special_files(), *odd_tars(), *phrase_boxes]
    return [
        BadInput(f"{number:03d} {bad.name}", bad.kind, bad.options, bad.files, bad.good, bad.make)
        for number, bad in enumerate(numbered)
    ]


def captions_tree() -> dict[str, Any]:
    """A captions file of COCO, with two captions an image."""
    images = [{"id": number, "file_name": name, "license": 1, "width": 16, "height": 12} for number, name in enumerate(NAMES)]
    annotations = [{"id": 10 + n, "image_id": n % 3, "caption": f"A {NAMES[n % 3][:-4]} wall, {n}."} for n in range(6)]
    return {"images": images, "annotations": annotations, "licenses": [{"id": 1, "name": "CC0"}]}


def instances_tree() -> dict[str, Any]:
    """The instances file to it: an outline, runs as a list, runs as a text."""
    shapes: list[Any] = [
        [[1.0, 1.0, 9.0, 1.0, 9.0, 9.0]],
        {"size": [12, 16], "counts": [20, 30, 142]},
        {"size": [12, 16], "counts": "d0n0^4"},
    ]
    annotations = [
        {"id": n, "image_id": n, "category_id": 7, "bbox": [1, 1, 8, 8], "segmentation": shape, "iscrowd": 0}
        for n, shape in enumerate(shapes)
    ]
    return {**captions_tree(), "annotations": annotations, "categories": [{"id": 7, "name": "wall"}]}


def karpathy_tree() -> dict[str, Any]:
    """Karpathy's file, as of Flickr30k."""
    return {
        "images": [
            {"filename": name, "split": "train", "sentences": [{"raw": f"A {name[:-4]} wall.", "sentid": n}]}
            for n, name in enumerate(NAMES)
        ]
    }


def coco(chance: random.Random) -> BadInput:
    """COCO's captions with one entry that is anything."""
    tree, place = damaged(captions_tree(), chance)
    return BadInput(f"captions, {place}", "coco", {"captions": "captions.json"}, {"captions.json": as_json(tree, chance)})


def instances(chance: random.Random) -> BadInput:
    """Good captions with damaged annotations."""
    tree, place = damaged(instances_tree(), chance)
    files = {"captions.json": as_json(captions_tree()), "instances.json": as_json(tree, chance)}
    return BadInput(f"instances, {place}", "coco", {"captions": "captions.json", "instances": "instances.json"}, files)


def karpathy(chance: random.Random) -> BadInput:
    """Karpathy's file with one entry that is anything."""
    tree, place = damaged(karpathy_tree(), chance)
    return BadInput(f"Karpathy, {place}", "flickr30k", {"captions": "dataset.json"}, {"dataset.json": as_json(tree, chance)})


def json_lines(chance: random.Random) -> BadInput:
    """JSON lines, of which the first is damaged."""
    rows = [
        {"file": name, "caption": [f"A {name[:-4]} wall.", "A wall."], "split": "train", "license": "CC0", "caption_id": "1"}
        for name in NAMES
    ]
    first, place = damaged(rows[0], chance)
    data = b"\n".join([as_json(first, chance), *(as_json(row) for row in rows[1:])])
    return BadInput(f"JSON lines, {place}", "folder", {"captions": "table.jsonl"}, {"table.jsonl": data}, NAMES[1:])


def entities_tree(name: str) -> dict[str, Any]:
    """A line of Flickr30k Entities as JSON lines."""
    sentences = [
        {"text": f"A {name[:-4]} wall.", "phrases": [{"start": 0, "end": len(name) + 3, "id": "7"}]},
        {"text": "A man", "phrases": [{"start": 0, "end": 5, "id": "8"}]},
    ]
    things = {"7": {"type": "other", "boxes": [[1, 1, 9.5, 9]]}, "8": {"type": "people", "boxes": []}}
    return {"file": name, "split": "train", "entities": things, "sentences": sentences}


def entities(chance: random.Random) -> BadInput:
    """JSON lines with phrases and boxes, of which the first is damaged."""
    first, place = damaged(entities_tree(NAMES[0]), chance)
    data = b"\n".join([as_json(first, chance), *(as_json(entities_tree(name)) for name in NAMES[1:])])
    if chance.random() < 0.2:
        data, place = mutated(data, chance, [as_json(karpathy_tree())]), "bytes"
    options = {"entities": "entities.jsonl"}
    return BadInput(f"entities, {place}", "flickr30k_entities", options, {"entities.jsonl": data}, ())


def entities_originals(chance: random.Random) -> BadInput:
    """The original files of one picture, the bytes of one of them damaged."""
    text = b"[/EN#7/other A red wall] .\n[/EN#8/people A man] sees [/EN#7/other/scene it] .\n"
    box = b"<bndbox><xmin>2</xmin><ymin>2</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    things = b"<object><name>7</name>%b</object><object><name>8</name><nobox>1</nobox></object>" % box
    xml = b"<annotation><filename>red.png</filename>%b</annotation>" % things
    files = {"sentences/red.txt": text, "boxes/red.xml": xml}
    name, other = chance.sample(list(files), 2)
    files[name] = mutated(files[name], chance, [files[other], b'<!DOCTYPE a [<!ENTITY b "c">]>', b"NaN", b"[/EN#"])
    options = {"sentences": "sentences", "boxes": "boxes"}
    return BadInput(f"originals, {name}", "flickr30k_entities", options, files)


def bad_table(chance: random.Random) -> BadInput:
    """A CSV or TSV with one field that is anything, or whose lines are no rows."""
    ending, delimiter = chance.choice((("csv", ","), ("tsv", "\t"), ("csv", ";")))
    rows: list[list[Any]] = [["file", "caption", "split", "caption_id"]]
    rows += [[name, f"A {name[:-4]} wall, said John.", "train", number] for number, name in enumerate(NAMES)]
    row, way = chance.randrange(2), chance.randrange(6)
    junk = chance.choice([value for value in JUNK if isinstance(value, str)] + ['"', 'a "b" c', '"a', 'a"', "a\rb", "a\r\nb"])
    if way < 3:
        rows[row][chance.randrange(2)] = junk
    elif way == 3:
        rows[row] = rows[row][: chance.randrange(4)]
    elif way == 4:
        rows[row].append(chance.choice(("", "caption", "file")))
    else:
        rows[row][chance.randrange(2)] = rows[row][1 - chance.randrange(2)]
    if chance.random() < 0.5:
        out = io.StringIO()
        csv.writer(out, delimiter=delimiter, lineterminator=chance.choice(("\n", "\r\n"))).writerows(rows)
        text = out.getvalue()
    else:  # nothing is quoted
        text = "\n".join(delimiter.join(map(str, fields)) for fields in rows)
    options = {"captions": f"table.{ending}"} | ({"delimiter": delimiter} if delimiter == ";" else {})
    options |= chance.choice(({}, {}, {"quoting": "none"}, {"quoting": "csv"}))
    data = text.encode("utf-8", "surrogatepass")
    return BadInput(f"table, row {row} {ascii(junk)[:20]}", "folder", options, {f"table.{ending}": data})


def texts() -> dict[str, tuple[str, dict[str, str], bytes]]:
    """A good file of captions of each format, by its name: the source, its options and the bytes."""
    rows = [{"file": name, "caption": f"A {name[:-4]} wall."} for name in NAMES]
    lines = [f"{row['file']},{row['caption']}" for row in rows]
    tokens = "".join(f"{row['file']}#0\t{row['caption']}\n" for row in rows)
    made = {
        "captions.json": ("coco", as_json(captions_tree())),
        "dataset.json": ("flickr30k", as_json(karpathy_tree())),
        "captions.token": ("flickr30k", tokens.encode()),
        "table.csv": ("folder", "\n".join(["file,caption", *lines]).encode()),
        "table.tsv": ("folder", "\n".join(["file,caption", *lines]).replace(",", "\t").encode()),
        "table.jsonl": ("folder", b"\n".join(map(as_json, rows))),
    }
    return {name: (kind, {"captions": name}, data) for name, (kind, data) in made.items()}


def bytes_of_text(chance: random.Random) -> BadInput:
    """A text file with bytes cut, flipped, repeated and spliced."""
    good = texts()
    name = chance.choice(list(good))
    kind, options, data = good[name]
    return BadInput(f"bytes of {name}", kind, options, {name: mutated(data, chance, [other for _, _, other in good.values()])})


def encodings(chance: random.Random) -> BadInput:
    """A text file in another encoding, compressed, empty, or with another's content."""
    good = texts()
    name = chance.choice(list(good))
    kind, options, data = good[name]
    text = data.decode().replace("wall", "w\u00e4ll \u20ac").replace("\\u", "u")
    ways: dict[str, Callable[[], bytes]] = {
        **{code: lambda code=code: text.encode(code, "replace") for code in ENCODINGS},  # type: ignore[misc]
        "nothing": lambda: b"",
        "a mark": lambda: b"\xef\xbb\xbf",
        "zeros": lambda: bytes(4096),
        "a zero in each word": lambda: data.replace(b" ", b"\0"),
        "old line ends": lambda: data.replace(b"\n", b"\r"),
        "another file": lambda: good[chance.choice(list(good))][2],
        "an image": lambda: PICTURES["red.png"],
        "a page": lambda: b"<!DOCTYPE html>\n<html><body>404</body></html>",
        "a pointer": lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    }
    way = chance.choice(list(ways))
    return BadInput(f"{name} as {way}", kind, options, {name: ways[way]()})


ENCODINGS = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be", "latin-1", "cp037", "utf-8-sig", "utf-7")


def members() -> list[tuple[str, bytes]]:
    """The members of a good tar."""
    made: list[tuple[str, bytes]] = []
    for name, data in PICTURES.items():
        made += [(name, data), (f"{name[:-4]}.json", as_json({"caption": f"A {name[:-4]} wall.", "split": "train"}))]
    return made


def tar_of(entries: list[tuple[str, bytes]], form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar of these (name, content)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for name, data in entries:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def tars(chance: random.Random) -> BadInput:
    """A tar with bytes cut, flipped, repeated and spliced, most of them in a header."""
    long = [("x" * 120 + name, data) for name, data in members()]
    good = [tar_of(members()), tar_of(long, tarfile.GNU_FORMAT), tar_of(long)]
    data = bytearray(chance.choice(good))
    if chance.random() < 0.5:
        return BadInput("bytes of a tar", "webdataset", {"files": "x.tar"}, {"x.tar": mutated(bytes(data), chance, good)})
    start = chance.choice([place for place in range(0, len(data), 512) if data[place + 257 : place + 262] == b"ustar"])
    place, size = chance.choice(((0, 100), (100, 8), (124, 12), (136, 12), (156, 1), (157, 100), (345, 155)))
    data[start + place : start + place + size] = (
        chance.randbytes(size)
        if chance.random() < 0.5
        else chance.choice((b"7" * size, b"\x80" + bytes(size - 1), b"\xff" * size, bytes(size), b"-" * size, b" " * size))
    )
    head = bytes(data[start : start + 148]) + b" " * 8 + bytes(data[start + 156 : start + 512])
    data[start + 148 : start + 156] = b"%06o\0 " % sum(head)
    return BadInput(f"header of a tar, byte {place}", "webdataset", {"files": "x.tar"}, {"x.tar": bytes(data)})


def tar_members(chance: random.Random) -> BadInput:
    """A tar with one sample that has another image, caption, name or extension."""
    entries, way = members(), chance.randrange(4)
    if way == 0:
        entries[0] = (entries[0][0], mutated(chance.choice(list(good_images().values())), chance, [entries[2][1]]))
    elif way == 1:
        tree, _ = damaged({"caption": ["A red wall.", "Red."], "split": "train", "license": "CC0"}, chance)
        entries[1] = (entries[1][0], as_json(tree, chance))
    elif way == 2:
        name = chance.choice([value for value in JUNK if isinstance(value, str) and value not in ("", "\0", "\ud800")])
        entries[0] = (f"{name}.png", entries[0][1])
    else:
        entries[1] = ("red" + chance.choice((".txt", ".JSON", ".json.gz", "", ".png.json", ".seg.png")), b"\xff\xfe\0" * 9)
    good = tuple(f"x.tar/{name}" for name in NAMES[1:])
    return BadInput(f"member of a tar, way {way}", "webdataset", {"files": "x.tar"}, {"x.tar": tar_of(entries)}, good)


def odd_tars() -> Iterator[BadInput]:
    """Tars that are made on purpose."""
    good = members()

    def special(kind: bytes, name: str = "red.txt", **fields: Any) -> bytes:
        info = tarfile.TarInfo(name)
        info.type = kind
        for field_name, value in fields.items():
            setattr(info, field_name, value)
        return info.tobuf(tarfile.GNU_FORMAT)

    content = tar_of(good)
    end = content.rstrip(b"\0")
    whole = content[: -(-len(end) // 512) * 512]
    kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE, tarfile.CONTTYPE, b"Z")
    made = {f"a member of type {kind!r}": special(kind, linkname="/etc/passwd") for kind in kinds}
    long_name = special(tarfile.GNUTYPE_LONGNAME, "././@LongLink", size=9) + b"long.png\0".ljust(512, b"\0")
    pax = special(tarfile.XHDTYPE, "pax", size=12) + b"12 comment=\n".ljust(512, b"\0")
    made |= {"names of names": long_name * 2000, "headers of headers": pax * 2000}
    for record in (
        b"size=-512",
        b"size=99999999999999999999",
        b"size=x",
        b"hdrcharset=BINARY",
        b"path=\xff\0x.png",
        b"mtime=nan",
    ):
        length = len(record) + 4
        text = b"%d %s\n" % (length, record)
        made[f"a header with {record!r}"] = special(tarfile.XHDTYPE, "pax", size=len(text)) + text.ljust(512, b"\0")
    for record in (b"GNU.sparse.major=1", b"GNU.sparse.map=0,x", b"GNU.sparse.size=x", b"GNU.sparse.realsize=-1"):
        text = b"%d %s\n" % (len(record) + 4, record)
        made[f"a header with {record!r}"] = special(tarfile.XHDTYPE, "pax", size=len(text)) + text.ljust(512, b"\0")
    for name, begin in made.items():
        yield BadInput(f"tar, {name}", "webdataset", {"files": "x.tar"}, {"x.tar": begin + whole + bytes(1024)})
    yield BadInput("tar, the same member twice", "webdataset", {"files": "x.tar"}, {"x.tar": tar_of([*good, good[0]])})
    yield BadInput("tar, of nothing", "webdataset", {"files": "x.tar"}, {"x.tar": bytes(10240)})
    yield BadInput("tar, empty", "webdataset", {"files": "x.tar"}, {"x.tar": b""})
    yield BadInput("tar, compressed", "webdataset", {"files": "x.tar"}, {"x.tar": b"\x1f\x8b" + content})


def special_files() -> Iterator[BadInput]:
    """Folders, pipes, links in circles and devices where a file should be."""
    import os

    ways: dict[str, Callable[[Path], None]] = {
        "a folder": lambda path: path.mkdir(),
        "a pipe": lambda path: os.mkfifo(path),
        "a link to itself": lambda path: path.symlink_to(path),
        "a link to nothing": lambda path: path.symlink_to(path.with_name("nothing")),
        "an endless device": lambda path: path.symlink_to("/dev/zero"),
        "a file without permission": lambda path: (path.write_bytes(b"file,caption\n"), path.chmod(0))[1],
    }
    for name, (kind, options, _) in {**texts(), "x.tar": ("webdataset", {"files": "x.tar"}, b"")}.items():
        for way, make in ways.items():
            yield BadInput(f"{name} is {way}", kind, options, {}, (), lambda folder, name=name, make=make: make(folder / name))


def damaged(tree: dict[str, Any], chance: random.Random) -> tuple[dict[str, Any], str]:
    """A copy of a tree with one entry replaced by junk, removed, or there twice; and which."""
    result = deepcopy(tree)
    spots = list(_spots(result, ()))
    path = chance.choice(spots)
    parent: Any = result
    for step in path[:-1]:
        parent = parent[step]
    way = chance.randrange(8)
    if way == 0:
        del parent[path[-1]]
    elif way == 1 and isinstance(parent, list):
        parent.append(parent[path[-1]])
    else:
        parent[path[-1]] = chance.choice(JUNK)
        return result, f"{'.'.join(map(str, path))} = {ascii(parent[path[-1]])[:30]}"
    return result, f"{'.'.join(map(str, path))} {('gone', 'twice')[way]}"


def _spots(node: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    for step, child in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield (*path, step)
        yield from _spots(child, (*path, step))


def as_json(tree: Any, chance: random.Random | None = None) -> bytes:
    """JSON as Python writes it (NaN, lone surrogates as escapes); by chance with surrogates as bytes, or with a key twice."""
    plain = chance is None or chance.random() < 0.7
    text = json.dumps(tree, ensure_ascii=plain)
    for depth in (900, 100_000):
        text = text.replace(f'"{DEEP.format(depth)}"', "[" * depth + "]" * depth)
    if chance is not None and chance.random() < 0.1:
        text = text.replace('{"', '{"file": 7, "images": 7, "id": 7, "', 1)
    return text.encode("utf-8", "surrogatepass")
