"""CLIP embeddings by open_clip: a role for images and a role for texts, which share a model."""

import hashlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict
from weakref import WeakValueDictionary

from udfs import clock, images
from udfs.embed.settings import EmbedderSettings
from udfs.role import Failure
from udfs.settings import RoleSettings
from udfs.weights import reading, version_of


class ImageRow(TypedDict):
    """What ``ImageEmbedder`` reads: an encoded image."""

    image: bytes


class TextRow(TypedDict):
    """What ``TextEmbedder`` reads."""

    text: str


class EmbeddingRow(TypedDict):
    """What both embedders return: a vector of unit length."""

    embedding: list[float]


class ClipModel:
    """An open_clip model with its preprocessing and tokenizer.

    ``settings.model`` is a name that open_clip knows, a JSON config file (the model's own, or open_clip's
    ``open_clip_config.json``, which holds the preprocessing too), or a folder with such a config and its weights.
    ``settings.checkpoint`` is a file (safetensors, or a torch file of tensors only), or a pretrained tag, which is downloaded.
    The model's config decides the activation. OpenAI's and some other weights were trained with QuickGELU; in a model of the same
    name that uses GELU they give worse embeddings, without any error.

    Raises:
        ValueError: there is no checkpoint, or it was trained with another activation than the model's.
        udfs.weights.WeightsError: the checkpoint is no file of weights, or holds more than tensors.
    """

    def __init__(self, settings: EmbedderSettings, device: str) -> None:
        import open_clip
        import torch

        name, checkpoint = settings.model, settings.checkpoint
        options: dict[str, Any] = {}
        if Path(name).is_dir():
            name = f"local-dir:{name}"
        elif not checkpoint:
            raise ValueError(
                f"{name} is no folder of a model with its weights, and the checkpoint is empty (embedder.checkpoint,"
                " --checkpoint): random weights would make columns of noise"
            )
        elif Path(name).is_file():
            name, options = register(Path(name))
        else:
            check_activation(name, checkpoint)
        with reading(checkpoint):
            self.model, _, self.preprocess = open_clip.create_model_and_transforms(
                name, pretrained=checkpoint or None, device=device, **options
            )
        self.model.eval()
        self.tokenize = open_clip.get_tokenizer(name)
        self.device = torch.device(device)
        self.name = Path(settings.model).stem if Path(settings.model).exists() else settings.model
        self.version = version_of(settings.model, checkpoint)

    def embed_images(self, pictures: Sequence[Any]) -> list[list[float]]:
        """Unit vectors of images, uint8 [H, W, 3] RGB."""
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
    """Role: ``ImageRow`` -> ``EmbeddingRow``."""

    def __init__(self, settings: RoleSettings, device: str) -> None:
        self._clip = load_clip(settings.embedder, device)
        self._max_pixels = settings.ingest.max_pixels
        self.name, self.version = self._clip.name, self._clip.version

    def __call__(self, rows: Sequence[ImageRow]) -> list[EmbeddingRow | Failure]:
        """Embed a batch; a picture that cannot be decoded is a failure with the decoder's status."""
        decoded = images.decode_each((row["image"] for row in rows), self._max_pixels)
        pictures = [picture for picture in decoded if not isinstance(picture, Failure)]
        vectors = iter(self._clip.embed_images(pictures) if pictures else [])
        return [picture if isinstance(picture, Failure) else EmbeddingRow(embedding=next(vectors)) for picture in decoded]


class TextEmbedder:
    """Role: ``TextRow`` -> ``EmbeddingRow``."""

    def __init__(self, settings: RoleSettings, device: str) -> None:
        self._clip = load_clip(settings.embedder, device)
        self.name, self.version = self._clip.name, self._clip.version

    def __call__(self, rows: Sequence[TextRow]) -> list[EmbeddingRow | Failure]:
        """Embed a batch."""
        return [{"embedding": vector} for vector in self._clip.embed_texts([row["text"] for row in rows])]


# Shared by the roles of a process; a model is freed with the last role that holds it.
_loaded: WeakValueDictionary[tuple[EmbedderSettings, str], ClipModel] = WeakValueDictionary()


def load_clip(settings: EmbedderSettings, device: str) -> ClipModel:
    """Return the model of these settings on this device, loaded once for all roles that use it."""
    model = _loaded.get((settings, device))
    if model is None:
        model = _loaded[settings, device] = ClipModel(settings, device)
    return model


def check_activation(name: str, checkpoint: str) -> None:
    """Raise ValueError if a checkpoint is known to have been trained with another activation than that of the named model."""
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    config, tag = open_clip.get_model_config(name), get_pretrained_cfg(name, checkpoint)
    if config is None:
        raise ValueError(f"open_clip knows no model {name!r}, and there is no such config file")
    # The tag says how the weights were trained. A file has no tag, but its name often tells.
    quick_gelu = bool(tag.get("quick_gelu", False)) if tag else None
    if quick_gelu is None and "openai" in Path(checkpoint).name.lower():
        quick_gelu = True
    if quick_gelu is not None and quick_gelu != bool(config.get("quick_gelu", False)):
        other = f"{name}-quickgelu" if quick_gelu else name.removesuffix("-quickgelu")
        raise ValueError(f"{checkpoint!r} was trained with the other activation: set embedder.model={other}")


def register(config_file: Path) -> tuple[str, dict[str, Any]]:
    """Register a config file with open_clip under a name of its own; return that name, and options for the model."""
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
    keys = ("mean", "std", "interpolation", "resize_mode")  # not the image size, which the model's config decides
    return name, {f"image_{key}": preprocess[key] for key in keys if key in preprocess}
