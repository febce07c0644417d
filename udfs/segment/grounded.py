"""Grounding DINO asked with the captions themselves: which box does "a man in a red shirt" stand for?

The captions are the prompt, whole, as in the data that the model learned phrases from (Liu et al. 2023, section 3.4): "in a red
shirt" helps to find the man. The lexicon's labels are asked, too, so that what no caption names is known. Each instance has the
phrases that refer to it (``Detection.phrases``), by which the plan can tell instances of a class apart.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from udfs.captions.lexicon import count_named
from udfs.segment.detection import Detection, DetectionRow, PhraseRow
from udfs.segment.open_vocabulary import NMS_IOU, OpenVocabulary

NEAR = 0.75  # a phrase for a single thing may be at a place that fits it so well, compared with where it fits best


@dataclass(frozen=True)
class _Phrase:
    """A mention to be found: its place in a caption, its class, and whether it stands for a single thing.

    ``told``: no other mention of the caption has the same words.
    """

    row: PhraseRow
    label: str
    single: bool
    told: bool


class Grounded(OpenVocabulary):
    """Boxes of labels and phrases by Grounding DINO (``segmenter.weights``), masks by SAM (``segmenter.box_weights``)."""

    kinds = {"grounding-dino": "Grounding DINO"}

    def _find(self, picture: np.ndarray, row: DetectionRow) -> list[Detection]:
        import torch

        texts, asked = self._asked(row)
        with torch.inference_mode():
            passes, answers = list(self._score(picture)), []
            for prompt in self._prompts(texts):
                phrases = [phrase for caption in asked[prompt.first :][: len(prompt.tokens)] for phrase in caption]
                boxes, scores = self._pass(picture, prompt)
                answers.append((boxes, scores, phrases))
                best_scores, best = scores.max(1)
                labels = torch.tensor([self._labels.index(phrase.label) for phrase in phrases], device=best.device)
                passes.append((boxes, best_scores, labels[best]))
            detections = self._best(passes)
            referred: list[list[PhraseRow]] = [[] for _ in detections]
            for boxes, scores, phrases in answers:
                for rows, more in zip(referred, self._refer(detections, boxes, scores, phrases), strict=True):
                    rows += more
        return [replace(detection, phrases=rows) for detection, rows in zip(detections, referred, strict=True)]

    def _asked(self, row: DetectionRow) -> tuple[list[tuple[str, list[tuple[int, int]]]], list[list[_Phrase]]]:
        """The captions with the places of their sure mentions, and these, caption by caption."""
        texts, asked = [], []
        for text, caption in zip(row.get("texts") or (), row.get("captions") or (), strict=True):
            sure = [m for m in caption["components"] or () if m["certain"] and m["label"] in self._labels]
            words = Counter(m["phrase"].lower() for m in sure)
            phrases = [
                _Phrase(
                    {"caption_id": text["caption_id"], "start": mention["start"], "end": mention["end"]},
                    mention["label"],
                    count_named(text["caption"], mention) == 1,
                    words[mention["phrase"].lower()] == 1,
                )
                for mention in sure
            ]
            if phrases:
                texts.append((text["caption"], [(phrase.row["start"], phrase.row["end"]) for phrase in phrases]))
                asked.append(phrases)
        return texts, asked

    def _refer(
        self, detections: Sequence[Detection], boxes: Any, scores: Any, phrases: Sequence[_Phrase]
    ) -> list[list[PhraseRow]]:
        """Which of the phrases of a prompt refer to each detection.

        ``boxes`` [n, 4] and ``scores`` [n, phrases] are what the model says. A detection fits a phrase of its class as well as
        the best box there does. In a caption two phrases stand for two things, so each detection goes to the phrase that it fits
        best; a phrase for a single thing goes to the one that fits it best, and to none where that is taken and no other is near
        as good ("A girl sits. The woman waves."). Of two phrases in the same words ("a man and another man") nobody can say which
        is which: they take their things from other phrases, and nothing is said of these.
        """
        import torch
        from torchvision.ops import box_iou

        referred: list[list[PhraseRow]] = [[] for _ in detections]
        if not detections:
            return referred
        places = torch.tensor([detection.box for detection in detections])
        there = box_iou(places, boxes.float().cpu()) >= NMS_IOU
        fits = torch.where(there[:, :, None], scores.float().cpu()[None], 0.0).amax(1)
        own = torch.tensor([[phrase.label == detection.label for phrase in phrases] for detection in detections])
        fits = torch.where(own, fits, 0.0)
        single = torch.tensor([phrase.single for phrase in phrases])
        least = torch.where(single, NEAR * fits.amax(0), 0.0).clamp_min(self._confidence)
        pairs = [(float(fits[i, k]), i, k) for i, k in ((fits >= least) & (fits > self._confidence)).nonzero().tolist()]
        given: set[tuple[str, int]] = set()  # a caption and a detection that one of its phrases stands for
        found: set[int] = set()  # phrases for a single thing
        for _, i, k in sorted(pairs, key=lambda pair: (-pair[0], pair[1:])):
            caption = phrases[k].row["caption_id"]
            if (caption, i) not in given and k not in found:
                given.add((caption, i))
                if phrases[k].told:
                    referred[i].append(phrases[k].row)
                if phrases[k].single:
                    found.add(k)
        return referred
