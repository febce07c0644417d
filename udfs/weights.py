"""Reads weights without running code from their files, and gives the version that lineage records for them."""

import hashlib
import pickle
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from udfs.errors import DualsetError

if TYPE_CHECKING:
    from udfs.settings import RoleSettings

# Prefix of the models that come with the project. Settings name them so and not by path: the hash is then the same everywhere.
EMBEDDED = "embedded:"
FOLDER = Path(__file__).parent / "embedded"
Tree = TypeVar("Tree", bound="RoleSettings")


def locate(source: str) -> str:
    """Return the path of the model that ``embedded:NAME`` names. Any other path, hub name or tag is returned as it is.

    Raises:
        FileNotFoundError: no such model comes with the project.
    """
    if not source.startswith(EMBEDDED):
        return source
    path = FOLDER / source.removeprefix(EMBEDDED)
    if path.parent != FOLDER or not path.exists():
        suffixes = (".pt", ".json", ".safetensors")
        known = sorted(entry.name for entry in FOLDER.iterdir() if entry.suffix in suffixes or entry.is_dir())
        raise FileNotFoundError(f"no model {source!r} comes with the project; these do: {', '.join(known)}")
    return str(path)


def located(settings: Tree) -> Tree:
    """The same settings with every ``embedded:NAME`` replaced by its path on this machine: what a role is built from."""

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: walk(item) for key, item in value.items()}
        if isinstance(value, list):
            return [walk(item) for item in value]
        return locate(value) if isinstance(value, str) else value

    return type(settings).model_validate(walk(settings.model_dump(mode="json")))


def version_of(*sources: str) -> str:
    """Return twelve hexadecimal digits of a SHA-256 over the contents of files or folders.

    A source that is no path on this machine (a hub name, a pretrained tag) counts by its name; an empty one does not count.
    """
    digest = hashlib.sha256()
    for source in filter(None, sources):
        path = Path(source)
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in files:
            digest.update(file.name.encode())
            if file.is_file():
                with file.open("rb") as stream:
                    digest.update(hashlib.file_digest(stream, "sha256").digest())
            else:
                digest.update(source.encode())
    return digest.hexdigest()[:12]


class WeightsError(DualsetError, ValueError):
    """A file of weights cannot be read; the message says what it is and what to do."""


@contextmanager
def reading(source: str) -> Iterator[None]:
    """Around a library's loading of ``source``: what is wrong with the file in one line.

    A source that is no file on this machine (a hub name, a pretrained tag, none) is left to the library.

    Raises:
        WeightsError: the file is no weights but a page or a Git LFS pointer, is cut short, holds more than tensors or no state
            dict, or the weights of another model.
    """
    is_file = Path(source).is_file()
    if is_file:
        with Path(source).open("rb") as stream:
            head = stream.read(100).lstrip()
        if head.startswith(b"version https://git-lfs"):
            raise WeightsError(f"{source} is a Git LFS pointer and not the weights: run git lfs pull where it comes from")
        if not head or head.startswith((b"<!DOCTYPE", b"<!doctype", b"<html", b'{"error')):
            raise WeightsError(f"{source} is {'a web page' if head else 'empty'} and not the weights: download it again")
    from safetensors import SafetensorError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch warns of what it refuses next
            yield
    except pickle.UnpicklingError as problem:
        raise WeightsError(
            f"{source} holds more than tensors, or is no file of torch's. It is not opened, as unpickling runs code:"
            " save its state dict as safetensors"
        ) from problem
    except (SafetensorError, EOFError) as problem:
        raise WeightsError(f"{source} is damaged or cut short ({problem}): download it again") from problem
    except RuntimeError as problem:
        line = " ".join(str(problem).split())[:300]
        if is_file and "PytorchStreamReader" in line:
            raise WeightsError(f"{source} is damaged or cut short: download it again") from problem
        if is_file and "loading state_dict" in line:
            raise WeightsError(f"{source} has the weights of another model: {line}") from problem
        raise
    except (AttributeError, TypeError) as problem:
        if not is_file:
            raise
        raise WeightsError(f"{source} holds no state dict, which has a tensor for each name ({problem})") from problem


def load_state_dict(path: str, device: str = "cpu") -> dict[str, Any]:
    """Read a state dict from a safetensors file, or from a torch file with the unpickler that knows tensors only.

    Raises:
        FileNotFoundError: there is no such file.
        WeightsError: the file is damaged, or holds more than tensors and plain containers.
    """
    import torch

    if not Path(path).is_file():
        raise FileNotFoundError(f"no weights at {path!r}")
    with reading(path):
        if path.endswith(".safetensors"):
            from safetensors.torch import load_file

            return load_file(path, device=device)
        state = torch.load(path, map_location=device, weights_only=True)
        # Trainers wrap the weights in one of these.
        weights = state.get("state_dict", state.get("model", state))
        if not isinstance(weights, dict):
            raise TypeError(f"but a {type(weights).__name__}")
    return weights
