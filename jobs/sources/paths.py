"""Paths of sources: local ones and fsspec URIs, checked on the driver and opened in workers.

File names come from annotation files, so they are untrusted: only ``locate`` turns a name into a path.
"""

import os
import re
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote

from fsspec.implementations.local import LocalFileSystem

from jobs.sources.record import SourceError, is_bad_text
from udfs import text_files
from udfs.files import file_errors, file_system
from udfs.redact import ADVICE, has_secret, without_secrets
from udfs.text_files import TextFileError, open_lines

_HOST = re.compile(r"[A-Za-z][\w+.-]+:(?://[^/]*)?")  # s3://bucket, file:, and Databricks' dbfs:


def absolute(path: str) -> str:
    """``path`` as workers can use it: a URI unchanged, a local path made absolute; no slash at the end.

    Raises:
        SourceError: a chain of file systems (``zip://x::file``), into which names cannot be joined; or a secret in the path, as
            records and their errors keep paths in clear, and no table ever forgets.
    """
    if has_secret(path):
        raise SourceError(f"{without_secrets(path)} was given with a password or key, which the tables would keep; {ADVICE}")
    if "::" in path:
        raise SourceError(f"{path}: chained file systems are not supported; unpack it first")
    if re.match(r"[A-Za-z][\w+.-]+:/", path):  # s3://..., and Databricks' dbfs:/...
        return path.rstrip("/")
    return os.path.abspath(Path(path).expanduser())  # noqa: PTH100  Path.absolute keeps "..", resolve follows links


def require(path: str, what: str) -> str:
    """Return ``path`` if it exists, by a cheap check on the driver.

    Raises:
        SourceError: ``what`` is missing or cannot be checked.
    """
    if path.startswith(("http://", "https://")):
        return path  # a folder of a web server has no listing
    try:
        fs, inner = _file_system(path)
        if fs.exists(inner):
            return path
    except file_errors() as problem:
        raise SourceError(f"{what} {path} cannot be checked: {problem}") from None
    raise SourceError(f"{what} {path} does not exist")


def expand(pattern: str, suffix: str) -> list[str]:
    """The files that match a pattern, sorted: a file, a folder's files with ``suffix``, a glob, or WebDataset's ``{000..012}``.

    Raises:
        SourceError: no file matches.
    """
    pattern = absolute(pattern)
    if numbers := re.search(r"\{(\d+)\.\.(\d+)\}", pattern):
        first, last = numbers.groups()
        count = range(int(first), int(last) + 1)
        head, tail = pattern[: numbers.start()], pattern[numbers.end() :]
        return [file for number in count for file in expand(f"{head}{number:0{len(first)}d}{tail}", suffix)]
    try:
        fs, inner = _file_system(pattern)
        if fs.isfile(inner):
            return [pattern]
        matches = fs.glob(f"{inner}/*{suffix}") if fs.isdir(inner) else fs.glob(inner)
    except file_errors() as problem:
        raise SourceError(f"{pattern} cannot be listed: {problem}") from None
    if not matches:
        raise SourceError(f"{pattern} names no file")
    scheme = pattern.partition("://")[0] + "://" if "://" in pattern else ""
    return sorted(scheme + str(file) for file in matches)


def locate(root: str, name: str) -> str | None:
    """The path of file ``name`` under folder ``root``; None if it is no file name or would leave the folder.

    A full path or URI is accepted if it begins with ``root``. Chains (``a::http://b``), ``..`` in any spelling, absolute names,
    control characters, and symbolic links below ``root`` that lead out of it are refused. ``root`` itself may be a link.
    """
    inside = root.rstrip("/") + "/"
    name = name.removeprefix(inside)
    if not name.strip() or name.startswith(("/", "\\")) or "://" in name or "::" in name or is_bad_text(name):
        return None
    plain = unquote(name) if "://" in root else name  # web servers decode %2e%2e
    if ".." in re.split(r"[/\\]", plain) or "\n" in name or name.endswith("/"):
        return None
    return None if _leads_out(root, name) else inside + name


def _leads_out(root: str, name: str) -> bool:
    """Whether a symbolic link on the way from ``root``, a local folder, to ``name`` ends outside ``root``."""
    folder = re.sub(r"^(?:file|local):(?://)?", "", root)
    if "://" in folder or folder.startswith("dbfs:"):
        return False
    path = folder
    for part in name.split("/"):
        path = os.path.join(path, part)  # noqa: PTH118  a Path for each record would take longer than the rest
        if os.path.islink(path):  # noqa: PTH114
            inside = os.path.realpath(folder)
            return os.path.commonpath([inside, os.path.realpath(os.path.join(folder, name))]) != inside  # noqa: PTH118
    return False


def below(pattern: str, file: str) -> str:
    """The name of ``file`` below the fixed folder of the ``pattern`` that matched it: the folder itself, or the last one before a
    wildcard.

    Files of one name in two folders keep two names, and a file that is added later does not change the name of another. Schemes
    and hosts are not compared, as a file system may list a path with a different scheme or host.
    """
    prefix, path = _HOST.sub("", pattern), _HOST.sub("", file)
    fixed = re.sub(r"\\(.)", r"\1", re.split(r"(?<!\\)[*?\[{]", prefix, maxsplit=1)[0])  # Spark's patterns have escapes
    # A folder's own name may contain a wildcard character.
    for start in (prefix if path == prefix else f"{prefix}/", fixed):
        folder = start.rpartition("/")[0] + "/"
        if path.startswith(folder):
            return path.removeprefix(folder)
    return file


def unsafe(name: str) -> str:
    """The error text for a name that ``locate`` refused."""
    return f"the file name {ascii(name)[:200]} is not inside the images folder, or a link that leads out of it"


def open_binary(path: str) -> IO[bytes]:
    """Open a local path or URI for seeking reads.

    Raises:
        SourceError: it cannot be opened, or is no file but a folder, a pipe or a device, which may have no end.
    """
    try:
        fs, inner = _file_system(path)
        # Only on a disk: elsewhere there are no pipes, and a server would be asked once more.
        if isinstance(fs, LocalFileSystem) and fs.info(inner)["type"] != "file":
            raise SourceError(f"{path} is no file: it is a folder, a pipe or a device")
        # Not fsspec.open: it reads [ and * in a file's name as a pattern.
        stream: IO[bytes] = fs.open(inner, "rb")
    except file_errors() as problem:
        raise SourceError(f"{path} cannot be opened: {problem}") from None
    return stream


def open_text(path: str) -> IO[str]:
    """Open as UTF-8 (a byte order mark is skipped) with line ends kept; bytes that are not UTF-8 become lone surrogates.

    Raises:
        SourceError: it cannot be opened, or is UTF-16.
    """
    try:
        return open_lines(open_binary(path), path, errors="surrogateescape")
    except TextFileError as problem:
        raise SourceError(str(problem)) from None


def load_json(path: str) -> dict[str, Any]:
    """Read a whole JSON object: the file must fit the worker's memory, several times over.

    Raises:
        SourceError: not UTF-8, not JSON, or not an object.
    """
    with open_binary(path) as file:
        try:
            tree = text_files.load_json(file.read(), path)
        except TextFileError as problem:
            raise SourceError(str(problem)) from None
    if not isinstance(tree, dict):
        raise SourceError(f"{path} must hold a JSON object, not a {type(tree).__name__}")
    return tree


def field(entry: Any, name: str, kinds: type | tuple[type, ...], where: str) -> Any:
    """``entry[name]``, of one of ``kinds``; else a ``SourceError`` that begins with ``where``."""
    if not isinstance(entry, dict):
        raise SourceError(f"{where} must be an object, not a {type(entry).__name__}")
    if name not in entry:
        raise SourceError(f"{where} has no {name!r}")
    value = entry[name]
    if not isinstance(value, kinds) or isinstance(value, bool):
        wanted = " or ".join(kind.__name__ for kind in (kinds if isinstance(kinds, tuple) else (kinds,)))
        raise SourceError(f"{where}: {name!r} must be {wanted}, not {type(value).__name__}")
    return value


def _file_system(path: str) -> tuple[Any, str]:
    try:
        fs, inner = file_system(path)
    except (ImportError, ValueError) as problem:  # a protocol that is unknown or not installed
        raise SourceError(f"{path} cannot be opened: {problem}") from None
    return fs, inner
