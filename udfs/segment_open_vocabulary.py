"""Open vocabulary: Grounding DINO (Liu et al. 2023) or OWLv2 (Minderer et al. 2023), asked for our labels."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jobs.settings import Settings
from udfs import clock, lexicon
from udfs.role import Failure, Row
from udfs.segment_sam import Sam
from udfs.segmenter import Found
from udfs.weights import version_of

NMS_IOU = 0.7  # the models say the same object more than once, above all over several prompts


class OpenVocabulary:
    """Eyes: zero-shot boxes (``segmenter.weights``), masks by SAM (``segmenter.box_weights``).

    Pictures go through one at a time, so that what is found in one does not depend on the others.
    """

    def __init__(self, settings: Settings, device: str, outlines: bool) -> None:
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

    def find(self, pictures: Sequence[np.ndarray], rows: Sequence[Row]) -> list[list[Found] | Failure]:
        """Detect in each picture: boxes clipped to it, masks of its own size."""
        results: list[list[Found] | Failure] = []
        for picture in pictures:
            with clock.spend("model"):
                found = self._find(picture)
            results.append(found if self._sam is None else self._sam.outline(picture, found))
        return results

    def _find(self, picture: np.ndarray) -> list[Found]:
        import torch
        from torchvision.ops import batched_nms, clip_boxes_to_image

        height, width = picture.shape[:2]
        with torch.inference_mode():
            answers = list(self._score(picture))
            boxes = torch.cat([boxes for boxes, _, _ in answers]).float().cpu()
            scores = torch.cat([scores for _, scores, _ in answers]).float().cpu()
            labels = torch.cat([labels for _, _, labels in answers]).cpu()
            boxes = clip_boxes_to_image(boxes, (height, width))
            seen = (scores > self._confidence) & ((boxes[:, 2:] - boxes[:, :2]).amin(1) >= 1)
            boxes, scores, labels = boxes[seen], scores[seen], labels[seen]
            kept = batched_nms(boxes, scores, labels, NMS_IOU)[: self._limit]
        triples = zip(boxes[kept].tolist(), scores[kept].tolist(), labels[kept].tolist(), strict=True)
        return [Found(self._labels[label], score, tuple(box)) for box, score, label in triples]

    def _by_owl(self, picture: np.ndarray) -> Iterator[tuple[Any, Any, Any]]:
        """Boxes [n, 4] in pixels, scores [n] and label numbers [n]: one pass with a query for each label."""
        queries = [[f"a photo of a {label}" for label in self._labels]]
        inputs = self._processor(text=queries, images=picture, return_tensors="pt").to(self._device)
        answer = self._processor.post_process_grounded_object_detection(
            self._model(**inputs), threshold=self._confidence, target_sizes=[picture.shape[:2]]
        )[0]
        yield answer["boxes"], answer["scores"], answer["labels"]

    def _by_grounding_dino(self, picture: np.ndarray) -> Iterator[tuple[Any, Any, Any]]:
        """Boxes, scores and label numbers, one pass a prompt of as many labels as the text encoder takes.

        A label's score is the mean over its own tokens, as in GLIP (Li et al. 2022): by the highest token,
        "hot dog" would be found in every dog.
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
        """Cut the labels into prompts "cat. dog." that fit: first label's number, prompt, places of tokens."""
        tokenizer, room = self._processor.tokenizer, self._model.config.max_text_len
        spans: list[slice] = []
        first, place = 0, 1  # place 0 is the tokenizer's opening token
        for number, label in enumerate(self._labels):
            length = len(tokenizer(label, add_special_tokens=False)["input_ids"])
            if spans and place + length + 2 > room:
                yield first, ". ".join(self._labels[first:number]) + ".", spans
                first, spans, place = number, [], 1
            spans.append(slice(place, place + length))
            place += length + 1  # the full stop
        yield first, ". ".join(self._labels[first:]) + ".", spans
