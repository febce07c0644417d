"""Open vocabulary: Grounding DINO (Liu et al. 2023) or OWLv2 (Minderer et al. 2023), queried with the lexicon's labels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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

Span = tuple[int, int]


@dataclass(frozen=True)
class Prompt:
    """Texts that go through a model together ("cat. dog."): ``first`` is the number of the first of them.

    ``tokens``: for each text, and each of the spans of characters that are asked for in it, the places of its tokens.
    """

    text: str
    first: int
    tokens: list[list[slice]]


class OpenVocabulary:
    """Zero-shot boxes (``segmenter.weights``), masks by SAM (``segmenter.box_weights``).

    Pictures go through one at a time, so that the detections in one do not depend on the others.
    """

    kinds = {"grounding-dino": "Grounding DINO", "owlv2": "OWLv2", "owlvit": "OWL-ViT"}

    def __init__(self, settings: RoleSettings, device: str, outlines: bool) -> None:
        from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

        weights, mask_weights = settings.segmenter.weights, settings.segmenter.box_weights
        self._processor = AutoProcessor.from_pretrained(weights)
        self._model = AutoModelForZeroShotObjectDetection.from_pretrained(weights).eval().to(device)
        self._device, self._confidence = device, settings.segmenter.confidence
        self._limit = settings.segmenter.max_instances
        self._labels = list(lexicon.labels())
        kind = self._model.config.model_type
        if kind not in self.kinds:
            wanted = " or ".join(self.kinds.values())
            raise ValueError(f"{weights} is a {kind}; segmenter.kind={settings.segmenter.kind} takes {wanted}")
        self._score = self._labels_by_grounding_dino if kind == "grounding-dino" else self._labels_by_owl
        self._sam = Sam(mask_weights, device) if outlines else None
        self.name = f"{Path(weights).name} + sam" if outlines else Path(weights).name
        self.version = version_of(weights) + (f"+{self._sam.version}" if self._sam else "")

    def find(self, pictures: Sequence[np.ndarray], rows: Sequence[DetectionRow]) -> list[list[Detection] | Failure]:
        """Detect in each picture: boxes clipped to the picture, masks of its own size."""
        results: list[list[Detection] | Failure] = []
        for picture, row in zip(pictures, rows, strict=True):
            with clock.spend("model"):
                detections = self._find(picture, row)
            results.append(detections if self._sam is None else self._sam.outline(picture, detections))
        return results

    def _find(self, picture: np.ndarray, row: DetectionRow) -> list[Detection]:  # noqa: ARG002 - others read it
        import torch

        with torch.inference_mode():
            return self._best(list(self._score(picture)))

    def _best(self, passes: Sequence[tuple[Any, Any, Any]]) -> list[Detection]:
        """The sure boxes of all passes, each object once, best first. A pass has boxes [n, 4], scores [n], label numbers [n]."""
        import torch
        from torchvision.ops import batched_nms

        boxes = torch.cat([boxes for boxes, _, _ in passes]).float().cpu()
        scores = torch.cat([scores for _, scores, _ in passes]).float().cpu()
        labels = torch.cat([labels for _, _, labels in passes]).cpu()
        sure = (scores > self._confidence) & ((boxes[:, 2:] - boxes[:, :2]).amin(1) >= 1)
        boxes, scores, labels = boxes[sure], scores[sure], labels[sure]
        kept = batched_nms(boxes, scores, labels, NMS_IOU)[: self._limit]
        triples = zip(boxes[kept].tolist(), scores[kept].tolist(), labels[kept].tolist(), strict=True)
        return [Detection(self._labels[label], score, tuple(box)) for box, score, label in triples]

    def _labels_by_owl(self, picture: np.ndarray) -> Iterator[tuple[Any, Any, Any]]:
        """Boxes [n, 4] in pixels, clipped, scores [n] and label numbers [n]: one pass with a query for each label."""
        from torchvision.ops import clip_boxes_to_image

        queries = [[f"a photo of a {label}" for label in self._labels]]
        inputs = self._processor(text=queries, images=picture, return_tensors="pt").to(self._device)
        detections = self._processor.post_process_grounded_object_detection(
            self._model(**inputs), threshold=self._confidence, target_sizes=[picture.shape[:2]]
        )[0]
        yield clip_boxes_to_image(detections["boxes"], picture.shape[:2]), detections["scores"], detections["labels"]

    def _labels_by_grounding_dino(self, picture: np.ndarray) -> Iterator[tuple[Any, Any, Any]]:
        """Boxes, scores and label numbers, as ``_labels_by_owl``: one pass for each prompt, which holds as many labels as fit."""
        for prompt in self._prompts([(label, [(0, len(label))]) for label in self._labels]):
            boxes, spans = self._pass(picture, prompt)
            scores, best = spans.max(1)
            yield boxes, scores, best + prompt.first

    def _pass(self, picture: np.ndarray, prompt: Prompt) -> tuple[Any, Any]:
        """One pass of Grounding DINO: clipped boxes [n, 4] in pixels, and how well each fits each span [n, spans].

        A span's score is the mean over its own tokens, as in GLIP (Li et al. 2022). By its highest token, every dog would be
        a "hot dog".
        """
        import torch
        from torchvision.ops import clip_boxes_to_image

        height, width = picture.shape[:2]
        scale = torch.tensor([width, height, width, height], device=self._device)
        inputs = self._processor(text=prompt.text, images=picture, return_tensors="pt").to(self._device)
        output = self._model(**inputs)
        tokens = output.logits[0].sigmoid()
        spans = [tokens[:, span].mean(1) for spans in prompt.tokens for span in spans]
        centre, size = output.pred_boxes[0].split(2, 1)
        boxes = torch.cat([centre - size / 2, centre + size / 2], 1) * scale
        return clip_boxes_to_image(boxes, (height, width)), torch.stack(spans, 1)

    def _prompts(self, texts: Sequence[tuple[str, Sequence[Span]]]) -> Iterator[Prompt]:
        """Join texts, with spans of characters that are asked for, into prompts that fit the text encoder.

        Grounding DINO reads the texts of a prompt apart: words do not see beyond a full stop. A text that does not fit alone is
        in no prompt.
        """
        tokenizer, max_tokens = self._processor.tokenizer, self._model.config.max_text_len
        parts: list[str] = []
        tokens: list[list[slice]] = []
        first, position = 0, 1  # position 0 is the tokenizer's opening token
        for number, (text, spans) in enumerate(texts):
            places = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
            fits = len(places) + 3 <= max_tokens  # with the opening and closing token, and the full stop
            if parts and (not fits or position + len(places) + 2 > max_tokens):
                yield Prompt(". ".join(parts) + ".", first, tokens)
                parts, tokens, position = [], [], 1
            if not fits:
                continue
            if not parts:
                first = number
            parts.append(text)
            tokens.append([_tokens_of(span, places, position) for span in spans])
            position += len(places) + 1  # one more for the full stop
        if parts:
            yield Prompt(". ".join(parts) + ".", first, tokens)


def _tokens_of(span: Span, places: Sequence[Span], position: int) -> slice:
    """The tokens that lie in a span of characters, of a text whose first token has this position."""
    inside = [i for i, (start, end) in enumerate(places) if start < span[1] and end > span[0]]
    return slice(position + inside[0], position + inside[-1] + 1)
