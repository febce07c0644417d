"""Weights from files, without running code from them, and the version that lineage records for them."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobs.settings import Settings

# Of the models that come with the project. Settings name them so, not by path: a settings hash is the same on every machine.
EMBEDDED = "embedded:"
FOLDER = Path(__file__).parents[1] / "scenes" / "models"


def locate(source: str) -> str:
    """Return the path of what ``embedded:NAME`` names; any other path, hub name or tag as it is.

    Raises:
        FileNotFoundError: no such model comes with the project.
    """
    if not source.startswith(EMBEDDED):
        return source
    path = FOLDER / source.removeprefix(EMBEDDED)
    if path.parent != FOLDER or not path.exists():
        known = sorted(one.name for one in FOLDER.iterdir() if one.suffix in (".pt", ".json", ".safetensors") or one.is_dir())
        raise FileNotFoundError(f"no model {source!r} comes with the project; there are {', '.join(known)}")
    return str(path)


def located(settings: "Settings") -> "Settings":
    """Settings in which every ``embedded:NAME`` is a path of this machine: what a role is built from."""

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: walk(item) for key, item in value.items()}
        if isinstance(value, list):
            return [walk(item) for item in value]
        return locate(value) if isinstance(value, str) else value

    return type(settings).model_validate(walk(settings.model_dump(mode="json")))


def version_of(*sources: str) -> str:
    """Return twelve hexadecimal digits of a SHA-256 over the contents of files or folders.

    What is no path here, a hub name or a pretrained tag, counts by its name; an empty source does not count.
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
