"""The index of a WebDataset tar: its samples by key, and what belongs to none of them. Only headers are read."""

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any, NamedTuple, cast

from jobs.sources.record import SourceError

IMAGES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff")
TEXTS = ("txt", "caption")
NO_SAMPLE = "members of tars are no image and no caption by their extension, and were not read"
NO_FILE = "members of tars are links or special files, and were not read"
PART = "members of tars are further parts of a sample that is complete without them, and were not read"
SECOND = "captions in tars stand beside another text of the same sample, and were not read"
_WORDS = re.compile(r"[A-Za-z_][\w-]*(\.[A-Za-z_][\w-]*)*")
_NAMES = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_MAX_NAMES = 1 << 20  # bytes of a header that only gives names, which tarfile reads at once


class Member(NamedTuple):
    """A member of a tar: its name, the offset of its data, and its size in bytes."""

    name: str
    offset: int
    length: int


@dataclass
class Sample:
    """The members of one key: images, and captions by extension."""

    images: list[Member] = field(default_factory=list)
    captions: dict[str, Member] = field(default_factory=dict)

    @property
    def text(self) -> Member | None:
        """The caption that is plain text; of several the first by ``TEXTS``."""
        return next((self.captions[name] for name in self.texts), None)

    @property
    def texts(self) -> list[str]:
        """The extensions of captions that are plain text, in the order in which they win."""
        return sorted((name for name in self.captions if not is_json(name)), key=lambda name: (*TEXTS, name).index(name))

    @property
    def json(self) -> Member | None:
        """The JSON member."""
        return next((member for name, member in self.captions.items() if is_json(name)), None)


def is_json(extension: str) -> bool:
    """Whether captions of this extension are JSON and not text."""
    return extension.rpartition(".")[2] == "json"


@dataclass(frozen=True)
class Extensions:
    """By which extensions members are images and captions. ``given``: a person said so, and nothing is guessed."""

    images: tuple[str, ...] = IMAGES
    captions: tuple[str, ...] = (*TEXTS, "json")
    given: bool = False

    @classmethod
    def of(cls, images: str | None, captions: str | None) -> "Extensions":
        """From the options, lists with commas."""
        own = [tuple(part.strip().lstrip(".").lower() for part in (text or "").split(",")) for text in (images, captions)]
        return cls(own[0] if images else cls.images, own[1] if captions else cls.captions, bool(images or captions))

    def split(self, name: str) -> tuple[str, str] | None:
        """Key and extension of a member's name: the longest known extension. None: neither image nor caption, or hidden."""
        folder, slash, base = name.rpartition("/")
        known = [e for e in (*self.images, *self.captions) if base.lower().endswith(f".{e}")]
        if not known or base.startswith("."):  # hidden, as macOS's ._a.jpg, which is no image
            return None
        extension = max(known, key=len)
        return folder + slash + base[: -len(extension) - 1], extension


@dataclass
class Names:
    """How many names, and the first of them."""

    count: int
    first: str


@dataclass
class Index:
    """The samples by key, in the tar's order, and what was left out, by reason."""

    samples: dict[str, Sample] = field(default_factory=dict)
    left_out: dict[str, Names] = field(default_factory=dict)

    def leave_out(self, why: str, name: str) -> None:
        """Count a member that no record is made of."""
        self.left_out.setdefault(why, Names(0, name)).count += 1


def index(file: str, stream: IO[bytes], extensions: Extensions) -> Index:
    """The index of a tar.

    Raises:
        SourceError: as ``jobs.sources.webdataset.parse``.
    """
    magic = stream.read(6)
    if magic.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")):
        raise SourceError(f"{file} is compressed, and members could not be read by seeking: unpack it to .tar first")
    stream.seek(0)
    result = Index()
    for header in _headers(file, stream):
        if not header.isreg() or header.issparse():
            if not header.isdir():
                result.leave_out(NO_FILE, header.name)
        elif (parts := extensions.split(header.name)) is None:
            result.leave_out(NO_SAMPLE, header.name)
        else:
            _take(file, result.samples.setdefault(parts[0], Sample()), parts[1], header, extensions)
    if not extensions.given:
        _join_parts(file, result)
    for sample in result.samples.values():
        for extension in sample.texts[1:]:
            result.leave_out(SECOND, sample.captions[extension].name)
    return result


def _take(file: str, sample: Sample, extension: str, header: tarfile.TarInfo, extensions: Extensions) -> None:
    member = Member(header.name, header.offset_data, header.size)
    if extension in extensions.images:
        known = next((image for image in sample.images if image.name == member.name), None)
        sample.images.append(member)
    else:
        known = sample.captions.get(extension)
        sample.captions[extension] = member
    if known is not None:
        raise SourceError(
            f"{file}: a sample has two members {known.name!r} and {member.name!r}: give one of them a key of its own"
        )


def _join_parts(file: str, result: Index) -> None:
    """Compare keys that have a dot with what the key up to its first dot has: WebDataset's own rule for names.

    In ``22.05.jpg`` and ``22.05.txt`` the dot is part of the key. ``x.seg.png`` beside ``x.jpg`` and ``x.txt`` is a further part
    of that sample. And of ``x.input.jpg`` with ``x.output.txt`` only a person knows whether they belong together.
    """
    loose: dict[str, list[str]] = {}
    for key in list(result.samples):
        sample = result.samples[key]
        folder, slash, base = key.rpartition("/")
        short = folder + slash + base.partition(".")[0]
        if short == key or (sample.images and sample.captions):
            continue
        owner = result.samples.get(short, Sample())
        if owner.images and owner.captions:
            for member in (*sample.images, *sample.captions.values()):
                result.leave_out(PART, member.name)
            del result.samples[key]
        elif _WORDS.fullmatch(key[len(short) + 1 :]):
            loose.setdefault(short, [short] if short in result.samples else []).append(key)
    for short, keys in loose.items():
        image = next((image for key in keys for image in result.samples[key].images), None)
        caption = next((caption for key in keys for caption in result.samples[key].captions.values()), None)
        if image and caption:
            ends = [member.name[len(short) + 1 :] for member in (image, caption)]
            raise SourceError(
                f"{file}: {image.name} has no caption of that name, and {caption.name} no image; if they belong together, say so"
                f" with --image-extension {ends[0]} --caption-extension {ends[1]}"
            )


def _headers(file: str, stream: IO[bytes]) -> Iterator[tarfile.TarInfo]:
    try:
        # "r:" reads headers only and never decompresses.
        with tarfile.open(fileobj=stream, mode="r:", errors="surrogateescape", tarinfo=_Header) as tar:
            end = 0
            while (header := tar.next()) is not None:
                cast(Any, tar).members.clear()  # tarfile keeps every header otherwise
                if header.size < 0 or tar.offset <= end:  # reading would go back, and never end
                    raise tarfile.ReadError(f"the member {header.name!r} has a size of {header.size} bytes")
                end = tar.offset
                yield header
            end = tar.offset
    # tarfile checks little, and calls itself for each header in a row that only gives names.
    except (tarfile.TarError, OSError, EOFError, ValueError, LookupError, OverflowError, RecursionError) as problem:
        raise SourceError(f"{file} is no tar, or is truncated or damaged: {problem}") from None
    # tarfile takes a broken header for the end of the archive, and would silently drop what follows.
    stream.seek(end)
    if stream.read(512).strip(b"\0"):
        raise SourceError(f"{file}: the header at byte {end} is broken")


class _Header(tarfile.TarInfo):
    """Refuses sizes at which tarfile would read backwards, or more at once than any name needs."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Header":
        header = super().frombuf(buf, encoding, errors)
        if header.size < 0 or (header.type in _NAMES and header.size > _MAX_NAMES):
            raise tarfile.ReadError(f"the member {header.name!r} has a size of {header.size} bytes")
        return header
