"""Segment Anything (Kirillov et al. 2023) by box prompt: boxes of a detector, masks by transformers' SAM."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from jobs.settings import Settings
from udfs import clock, masks
from udfs.role import Failure, Row
from udfs.segment_yolo import Yolo
from udfs.segmenter import Found
from udfs.weights import version_of

CHUNK_PIXELS = 32_000_000  # mask pixels made at a time, as floats


class Sam:
    """Gives boxes their masks. ``weights``: a folder that transformers' ``SamModel`` reads, or a hub name."""

    def __init__(self, weights: str, device: str) -> None:
        from transformers import SamModel, SamProcessor

        self._processor = SamProcessor.from_pretrained(weights)
        self._model = SamModel.from_pretrained(weights).eval().to(device)
        self._device = device
        self.version = version_of(weights)

    def outline(self, picture: np.ndarray, found: Sequence[Found]) -> list[Found]:
        """Return the objects with the mask that SAM draws for each box, at the picture's own size."""
        import torch

        if not found:
            return []
        boxes = [[list(thing.box) for thing in found]]
        with clock.spend("model"), torch.inference_mode():
            inputs = self._processor(images=picture, input_boxes=boxes, return_tensors="pt").to(self._device)
            embeddings = self._model.get_image_embeddings(inputs["pixel_values"])
        outlined = []
        chunk = max(1, CHUNK_PIXELS // (picture.shape[0] * picture.shape[1]))
        for start in range(0, len(found), chunk):
            part = slice(start, start + chunk)
            with clock.spend("model"), torch.inference_mode():
                prompts = inputs["input_boxes"][:, part].to(embeddings.dtype)
                drawn = self._model(image_embeddings=embeddings, input_boxes=prompts, multimask_output=False)
                outlines = self._processor.post_process_masks(
                    drawn.pred_masks.float(), inputs["original_sizes"], inputs["reshaped_input_sizes"]
                )[0][:, 0]
                pixels = outlines.cpu().numpy()
            with clock.spend("encode"):
                pairs = zip(found[part], pixels, strict=True)
                outlined += [replace(thing, mask=masks.to_rle(mask)) for thing, mask in pairs]
        return outlined


class BoxedSam:
    """Eyes: a YOLO (``segmenter.box_weights``) finds boxes, SAM (``segmenter.weights``) outlines them."""

    def __init__(self, settings: Settings, device: str, outlines: bool) -> None:
        self._boxes = Yolo(settings, device, settings.segmenter.box_weights, outlines=False)
        self._sam = Sam(settings.segmenter.weights, device) if outlines else None
        self.name = f"{self._boxes.name} + sam" if outlines else self._boxes.name
        self.version = "+".join(part.version for part in (self._boxes, self._sam) if part)

    def find(self, pictures: Sequence[np.ndarray], rows: Sequence[Row]) -> list[list[Found] | Failure]:
        """Detect in each picture, then outline."""
        boxed = self._boxes.find(pictures, rows)
        if self._sam is None:
            return boxed
        pairs = zip(pictures, boxed, strict=True)
        return [f if isinstance(f, Failure) else self._sam.outline(picture, f) for picture, f in pairs]
