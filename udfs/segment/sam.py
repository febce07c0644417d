"""Segment Anything (Kirillov et al. 2023), prompted by boxes: a detector finds the boxes, transformers' SAM draws the masks."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from udfs import clock, masks
from udfs.role import Failure
from udfs.segment.detection import Detection, DetectionRow
from udfs.segment.yolo import Yolo
from udfs.settings import RoleSettings
from udfs.weights import version_of

CHUNK_PIXELS = 32_000_000  # mask pixels drawn at a time, as floats


class Sam:
    """Draws the mask of each box. ``weights``: a folder that transformers' ``SamModel`` reads, or a hub name."""

    def __init__(self, weights: str, device: str) -> None:
        from transformers import SamModel, SamProcessor

        self._processor = SamProcessor.from_pretrained(weights)
        self._model = SamModel.from_pretrained(weights).eval().to(device)
        self._device = device
        self.version = version_of(weights)

    def outline(self, picture: np.ndarray, detections: Sequence[Detection]) -> list[Detection]:
        """Return the detections with the mask that SAM draws for each box, at the picture's own size."""
        import torch

        if not detections:
            return []
        boxes = [[list(detection.box) for detection in detections]]
        with clock.spend("model"), torch.inference_mode():
            inputs = self._processor(images=picture, input_boxes=boxes, return_tensors="pt").to(self._device)
            embeddings = self._model.get_image_embeddings(inputs["pixel_values"])
        outlined = []
        chunk = max(1, CHUNK_PIXELS // (picture.shape[0] * picture.shape[1]))
        for start in range(0, len(detections), chunk):
            part = slice(start, start + chunk)
            with clock.spend("model"), torch.inference_mode():
                prompts = inputs["input_boxes"][:, part].to(embeddings.dtype)
                output = self._model(image_embeddings=embeddings, input_boxes=prompts, multimask_output=False)
                outlines = self._processor.post_process_masks(
                    output.pred_masks.float(), inputs["original_sizes"], inputs["reshaped_input_sizes"]
                )[0][:, 0]
                pixels = outlines.cpu().numpy()
            with clock.spend("encode"):
                pairs = zip(detections[part], pixels, strict=True)
                outlined += [replace(detection, mask=masks.to_rle(mask)) for detection, mask in pairs]
        return outlined


class BoxedSam:
    """A YOLO (``segmenter.box_weights``) finds the boxes, SAM (``segmenter.weights``) outlines the objects in them."""

    def __init__(self, settings: RoleSettings, device: str, outlines: bool) -> None:
        self._boxes = Yolo(settings, device, settings.segmenter.box_weights, outlines=False)
        self._sam = Sam(settings.segmenter.weights, device) if outlines else None
        self.name = f"{self._boxes.name} + sam" if outlines else self._boxes.name
        self.version = "+".join(part.version for part in (self._boxes, self._sam) if part)

    def find(self, pictures: Sequence[np.ndarray], rows: Sequence[DetectionRow]) -> list[list[Detection] | Failure]:
        """Detect in each picture, then outline."""
        results = self._boxes.find(pictures, rows)
        if self._sam is None:
            return results
        pairs = zip(pictures, results, strict=True)
        return [result if isinstance(result, Failure) else self._sam.outline(picture, result) for picture, result in pairs]
