"""Open vocabulary: Grounding DINO (Liu et al. 2023) or OWLv2 (Minderer et al. 2023), queried with the lexicon's labels."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from udfs import clock
from udfs.captions import lexicon
from udfs.role import Failure
from udfs.segment.detection import Detection, DetectionRow
from udfs.segment.sam import Sam
from udfs.settings import RoleSettings
from udfs.weights import version_of

NMS_IOU = 0.7  # the models report the same object more than once, above all over several prompts


class OpenVocabulary:
    """Zero-shot boxes (``segmenter.weights``), masks by SAM (``segmenter.box_weights``).

    Pictures go through one at a time, so that the detections in one do not depend on the others.
    """

    def __init__(self, settings: RoleSettings, device: str, outlines: bool) -> None:
        from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

        weights, mask_weights = settings.segmenter.weights, settings.segmenter.box_weights
        self._processor = AutoProcessor.from_pretrained(weights)
        self._model = AutoModelForZeroShotObjectDetection.from_pretrained(weights).eval().to(device)
        self._device, self._confidence = device, settings.segmenter.confidence
        self._limit = settings.segmenter.max_instances
        self._labels = list(lexicon.labels())
        kind = self._model.config.model_type
        if kind not in ("grounding-dino", "owlv2", "owlvit"):
            raise ValueError(f"{weights} is a {kind}; open_vocabulary takes Grounding DINO or OWLv2")
        self._score = self._by_grounding_dino if kind == "grounding-dino" else self._by_owl
        self._sam = Sam(mask_weights, device) if outlines else None
        self.name = f"{Path(weights).name} + sam" if outlines else Path(weights).name
        self.version = version_of(weights) + (f"+{self._sam.version}" if self._sam else "")

    def find(self, pictures: Sequence[np.ndarray], rows: Sequence[DetectionRow]) -> list[list[Detection] | Failure]:
        """Detect in each picture: boxes clipped to the picture, masks of its own size."""
        results: list[list[Detection] | Failure] = []
        for picture in pictures:
            with clock.spend("model"):
                detections = self._find(picture)
            results.append(detections if self._sam is None else self._sam.outline(picture, detections))
        return results

    def _find(self, picture: np.ndarray) -> list[Detection]:
        import torch
        from torchvision.ops import batched_nms, clip_boxes_to_image

        height, width = picture.shape[:2]
        with torch.inference_mode():
            passes = list(self._score(picture))
            boxes = torch.cat([boxes for boxes, _, _ in passes]).float().cpu()
            scores = torch.cat([scores for _, scores, _ in passes]).float().cpu()
            labels = torch.cat([labels for _, _, labels in passes]).cpu()
            boxes = clip_boxes_to_image(boxes, (height, width))
            sure = (scores > self._confidence) & ((boxes[:, 2:] - boxes[:, :2]).amin(1) >= 1)
            boxes, scores, labels = boxes[sure], scores[sure], labels[sure]
            kept = batched_nms(boxes, scores, labels, NMS_IOU)[: self._limit]
        triples = zip(boxes[kept].tolist(), scores[kept].tolist(), labels[kept].tolist(), strict=True)
        return [Detection(self._labels[label], score, tuple(box)) for box, score, label in triples]

    def _by_owl(self, picture: np.ndarray) -> Iterator[tuple[Any, Any, Any]]:
        """Boxes [n, 4] in pixels, scores [n] and label numbers [n]: one pass with a query for each label."""
        queries = [[f"a photo of a {label}" for label in self._labels]]
        inputs = self._processor(text=queries, images=picture, return_tensors="pt").to(self._device)
        detections = self._processor.post_process_grounded_object_detection(
            self._model(**inputs), threshold=self._confidence, target_sizes=[picture.shape[:2]]
        )[0]
        yield detections["boxes"], detections["scores"], detections["labels"]

    def _by_grounding_dino(self, picture: np.ndarray) -> Iterator[tuple[Any, Any, Any]]:
        """Boxes, scores and label numbers, as ``_by_owl``: one pass for each prompt, which holds as many labels as fit.

        A label's score is the mean over its own tokens, as in GLIP (Li et al. 2022). By its highest token, every dog would be
        a "hot dog".
        """
        import torch

        height, width = picture.shape[:2]
        scale = torch.tensor([width, height, width, height], device=self._device)
        for first, prompt, spans in self._prompts():
            inputs = self._processor(text=prompt, images=picture, return_tensors="pt").to(self._device)
            output = self._model(**inputs)
            tokens = output.logits[0].sigmoid()
            scores, best = torch.stack([tokens[:, span].mean(1) for span in spans], 1).max(1)
            centre, size = output.pred_boxes[0].split(2, 1)
            yield torch.cat([centre - size / 2, centre + size / 2], 1) * scale, scores, best + first

    def _prompts(self) -> Iterator[tuple[int, str, list[slice]]]:
        """Cut the labels into prompts ("cat. dog.") that fit the text encoder.

        Yields the number of the prompt's first label, the prompt, and the positions of each label's tokens in it.
        """
        tokenizer, max_tokens = self._processor.tokenizer, self._model.config.max_text_len
        spans: list[slice] = []
        first, position = 0, 1  # position 0 is the tokenizer's opening token
        for number, label in enumerate(self._labels):
            length = len(tokenizer(label, add_special_tokens=False)["input_ids"])
            if spans and position + length + 2 > max_tokens:
                yield first, ". ".join(self._labels[first:number]) + ".", spans
                first, spans, position = number, [], 1
            spans.append(slice(position, position + length))
            position += length + 1  # one more for the full stop
        yield first, ". ".join(self._labels[first:]) + ".", spans
