"""Weights from files, without running code from them, and the version that lineage records for them."""

import hashlib
from pathlib import Path
from typing import Any


def version_of(*sources: str) -> str:
    """Return twelve hexadecimal digits of a SHA-256 over the contents of files or folders.

    What is no path here, a hub name or a pretrained tag, counts by its name.
    """
    digest = hashlib.sha256()
    for source in sources:
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


def load_state_dict(path: str, device: str = "cpu") -> dict[str, Any]:
    """Read a state dict from safetensors, or from a torch file with the unpickler that knows tensors only.

    Raises:
        FileNotFoundError: there is no such file.
        pickle.UnpicklingError: the file holds more than tensors and plain containers.
    """
    import torch

    if not Path(path).is_file():
        raise FileNotFoundError(f"no weights at {path!r}")
    if path.endswith(".safetensors"):
        from safetensors.torch import load_file

        return load_file(path, device=device)
    state = torch.load(path, map_location=device, weights_only=True)
    # Trainers wrap the weights in one of these.
    return state.get("state_dict", state.get("model", state))
