"""CLIP embeddings by open_clip: one role for images, one for texts, over one model."""

import hashlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from jobs.settings import Embedder, Settings
from udfs import clock, images
from udfs.role import Failure, Row
from udfs.weights import version_of


class ClipModel:
    """An open_clip model with its preprocessing and tokenizer.

    ``settings.model`` is a name that open_clip knows, a JSON config file (the model's own, or open_clip's
    ``open_clip_config.json`` with the preprocessing in it) or a folder with such a config and its weights;
    ``settings.checkpoint`` is a file (safetensors, or a torch file of tensors only) or a pretrained tag,
    which is downloaded. The model's own config decides the activation: OpenAI's and some other weights were
    trained with QuickGELU, and give worse embeddings, without any error, in a model of the same name that
    uses GELU.

    Raises:
        ValueError: no checkpoint; or one that was trained with the other activation than the model's.
    """

    def __init__(self, settings: Embedder, device: str) -> None:
        import open_clip
        import torch

        name, checkpoint = settings.model, settings.checkpoint
        options: dict[str, Any] = {}
        if Path(name).is_dir():
            name = f"local-dir:{name}"
        elif not checkpoint:
            raise ValueError("embedder.checkpoint is empty: random weights would make columns of noise")
        elif Path(name).is_file():
            name, options = register(Path(name))
        else:
            check_activation(name, checkpoint)
        self.model, _, self.preprocess = open_clip.create_model_and_transforms(
            name, pretrained=checkpoint or None, device=device, **options
        )
        self.model.eval()
        self.tokenize = open_clip.get_tokenizer(name)
        self.device = torch.device(device)
        self.name = Path(settings.model).stem if Path(settings.model).exists() else settings.model
        self.version = version_of(settings.model, checkpoint)

    def embed_images(self, pictures: Sequence[Any]) -> list[list[float]]:
        """Unit vectors of RGB uint8 [H, W, 3] images."""
        import torch
        from PIL import Image

        with clock.spend("decode"):
            pixels = torch.stack([self.preprocess(Image.fromarray(picture)) for picture in pictures])
        with clock.spend("model"), torch.inference_mode():
            return self.model.encode_image(pixels.to(self.device), normalize=True).float().cpu().tolist()

    def embed_texts(self, texts: Sequence[str]) -> list[list[float]]:
        """Unit vectors of texts, cut at the model's context length; each distinct text is encoded once."""
        import torch

        distinct = list(dict.fromkeys(texts))
        # A lone surrogate cannot be written as UTF-8, which the tokenizer does.
        clean = [text.encode("utf-8", "replace").decode("utf-8") for text in distinct]
        with clock.spend("model"), torch.inference_mode():
            features = self.model.encode_text(self.tokenize(clean).to(self.device), normalize=True)
        vectors = dict(zip(distinct, features.float().cpu().tolist(), strict=True))
        return [vectors[text] for text in texts]


class ImageEmbedder:
    """Role: row {"image": bytes} -> {"embedding": list of float, unit length}."""

    def __init__(self, settings: Settings, device: str) -> None:
        self._clip = load_clip(settings.embedder, device)
        self._max_pixels = settings.ingest.max_pixels
        self.name, self.version = self._clip.name, self._clip.version

    def __call__(self, rows: Sequence[Row]) -> list[Row | Failure]:
        """Embed a batch; a picture that cannot be decoded is a failure with the decoder's status."""
        decoded: list[Any] = []
        with clock.spend("decode"):
            for row in rows:
                try:
                    decoded.append(images.decode(row["image"], self._max_pixels))
                except images.ImageError as problem:
                    decoded.append(Failure(problem.status, problem.error))
        pictures = [picture for picture in decoded if not isinstance(picture, Failure)]
        vectors = iter(self._clip.embed_images(pictures) if pictures else [])
        return [item if isinstance(item, Failure) else {"embedding": next(vectors)} for item in decoded]


class TextEmbedder:
    """Role: row {"text": str} -> {"embedding": list of float, unit length}."""

    def __init__(self, settings: Settings, device: str) -> None:
        self._clip = load_clip(settings.embedder, device)
        self.name, self.version = self._clip.name, self._clip.version

    def __call__(self, rows: Sequence[Row]) -> list[Row | Failure]:
        """Embed a batch."""
        return [{"embedding": vector} for vector in self._clip.embed_texts([row["text"] for row in rows])]


# Shared by the two roles of one process, and gone with the last of them.
_loaded: WeakValueDictionary[tuple[Embedder, str], ClipModel] = WeakValueDictionary()


def load_clip(settings: Embedder, device: str) -> ClipModel:
    """Return the model of these settings on this device, loaded once for all roles that hold it."""
    model = _loaded.get((settings, device))
    if model is None:
        model = _loaded[settings, device] = ClipModel(settings, device)
    return model


def check_activation(name: str, checkpoint: str) -> None:
    """Raise ValueError if a checkpoint is known to have been trained with the other activation than the model of this name."""
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    config, tag = open_clip.get_model_config(name), get_pretrained_cfg(name, checkpoint)
    if config is None:
        raise ValueError(f"open_clip knows no model {name!r}, and there is no such config file")
    # A file has no tag that says how it was trained; its name often does.
    trained = bool(tag.get("quick_gelu", False)) if tag else None
    if trained is None and "openai" in Path(checkpoint).name.lower():
        trained = True
    if trained is not None and trained != bool(config.get("quick_gelu", False)):
        other = f"{name}-quickgelu" if trained else name.removesuffix("-quickgelu")
        raise ValueError(f"{checkpoint!r} was trained with the other activation: set embedder.model={other}")


def register(config_file: Path) -> tuple[str, dict[str, Any]]:
    """Make a config file known to open_clip under a name of its own; return it and options for the model."""
    import open_clip

    tree = json.loads(config_file.read_text(encoding="utf-8"))
    model = tree.get("model_cfg", tree)
    text = json.dumps(model, sort_keys=True)
    # Not the file's own name: "ViT-B-32.json" would replace the built-in model for the rest of the process.
    name = f"dualset-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.json"
        path.write_text(text, encoding="utf-8")
        open_clip.add_model_config(path)
    preprocess = tree.get("preprocess_cfg", {})
    wanted = ("mean", "std", "interpolation", "resize_mode")  # the picture's size is the model's
    return name, {f"image_{key}": preprocess[key] for key in wanted if key in preprocess}
