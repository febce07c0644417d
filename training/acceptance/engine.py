"""The engine on a single scene: its own roles, one after the other, in this process and without Spark.

    engine = Engine(load_settings("embedded"))
    output = engine.make(scene)        reads captions, plans a family, rewrites texts, inpaints images
    engine.measure(output, pairs)      the columns of ``scores`` for pairs of a dual image and its text, like ``jobs.score``

Pairs may be spoilt before they are measured (``training.acceptance.corruptions``); the spoilt image and text are measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from jobs.engine.similarity import LABEL_PROMPT
from jobs.scenes import domain as domains
from jobs.scenes.captions import Caption, tell
from jobs.scenes.domain import Domain
from jobs.scenes.dual_texts import right_meaning
from jobs.scenes.meaning import parse
from jobs.scenes.render import Masks, masks, render
from jobs.scenes.scene import Scene
from jobs.scenes.write import instances
from jobs.settings import Settings
from training.acceptance.extraction import extractor
from training.acceptance.grammar_faults import faults
from udfs import images
from udfs import masks as engine_masks
from udfs.captions.referents import Referents
from udfs.captions.vocabulary import using
from udfs.errors import DualsetError
from udfs.images import Rgb
from udfs.inpaint import inpainter as inpaint
from udfs.inpaint.visible import smear
from udfs.masks import Mask
from udfs.plan.planner import named_by, plan_family, to_rewrite
from udfs.rewrite.checks import check
from udfs.rewrite.rewriter import Rewriter
from udfs.role import Failure, Role, Row
from udfs.segment.segmenter import Detector, Segmenter
from udfs.truth import relation
from udfs.weights import located

GONE, KEPT = 0.98, 0.5  # least share of a removed thing's visible pixels that is edited; largest share of a kept thing's


class EngineFailed(DualsetError):
    """A role failed on a scene."""


@dataclass(frozen=True)
class Pair:
    """A dual image with the text that should be exact for it. ``image`` is uint8 [S, S, 3] RGB, before encoding."""

    subset: int
    caption: int  # index in ``EngineOutput.captions``
    image: Rgb
    text: str
    text_ok: bool  # it passed the rule checks
    kind: str = ""  # the fault put into it; empty: as the engine made it


@dataclass
class EngineOutput:
    """Everything that the engine made from a scene, with the truth."""

    scene: Scene
    domain: Domain
    captions: list[Caption]
    detected: list[Row]  # instances
    family: Row
    duals: dict[int, Rgb]  # by subset; only those with status ok
    texts: dict[tuple[int, int], Row]  # by (caption, subset of the components that it names)
    edits: list[Mask]  # the dilated mask of each component
    embeddings: dict[Any, list[float]] = field(default_factory=dict)

    @property
    def labels(self) -> list[str]:
        """The components' labels; bit i of every subset is labels[i]."""
        return [component["label"] for component in self.family["components"]]

    @cached_property
    def referents(self) -> Referents:
        """The components, by what names them."""
        return Referents([named_by(component) for component in self.family["components"]], self.family["others"])

    @cached_property
    def drawn(self) -> Masks:
        """The scene's true masks."""
        return masks(self.scene)

    def of(self, subset: int) -> tuple[str, ...]:
        """The labels of a subset."""
        return tuple(label for i, label in enumerate(self.labels) if subset >> i & 1)

    def names(self, caption: int) -> int:
        """Which components a caption names, as a bit mask."""
        return int(self.family["captions"][caption]["names"])

    def edited(self, subset: int) -> Mask:
        """Where the image without a subset was repainted, bool [S, S]."""
        union = np.zeros((self.scene.size, self.scene.size), bool)
        for i, mask in enumerate(self.edits):
            if subset >> i & 1:
                union |= mask
        return union

    def truly_removed(self, subset: int) -> bool:
        """Whether the edit covers all that should be removed, by the scene's true masks, and little of anything else."""
        edited, gone = self.edited(subset), self.of(subset)
        for thing, visible in zip(self.scene.things, self.drawn.visible, strict=True):
            share = float((visible & edited).sum() / max(visible.sum(), 1))
            if (thing.label in gone and visible.any() and share < GONE) or (thing.label not in gone and share > KEPT):
                return False
        return set(gone) <= set(self.scene.labels)

    def truly_said(self, caption: int, subset: int, text: str) -> bool:
        """Whether a text has the meaning of the right dual text for a subset, in good grammar."""
        source, gone = self.captions[caption], self.of(subset)
        new = [fault for fault in faults(text, self.domain) if fault not in faults(source.text, self.domain)]
        return not new and parse(text, self.domain) == right_meaning(source, gone)


class Engine:
    """The roles in one process, with the models of the settings."""

    def __init__(self, settings: Settings, device: str = "cpu") -> None:
        self.settings = settings = located(settings)
        with using(settings.lexicon):
            self._extract = extractor(settings)
            self._segment, self._look = Segmenter(settings, device), Detector(settings, device)
            self._rewrite, self._inpaint = Rewriter(settings, device), inpaint.Inpainter(settings, device)
        self._embed: tuple[Role, Role] | None = None
        if settings.embedder.model:
            from udfs.embed.clip import ImageEmbedder, TextEmbedder

            self._embed = ImageEmbedder(settings, device), TextEmbedder(settings, device)

    def make(self, scene: Scene) -> EngineOutput:
        """Run all stages up to ``inpaint`` on one scene."""
        with using(self.settings.lexicon):
            domain = domains.load(scene.domain)
            captions = tell(domain, scene)
            texts: Any = [{"caption_id": str(i), "caption": caption.text, "status": "ok"} for i, caption in enumerate(captions)]
            image = images.encode(render(scene), self.settings.codec)
            (parsed,) = _answers(self._extract, [{"captions": texts}])
            (segmented,) = _answers(self._segment, [{"image": image, "annotations": annotations(scene)}])
            detected = segmented["instances"]
            family: Any = plan_family(parsed["captions"], texts, detected, self.settings)
            written = self._texts(parsed["captions"], texts, family)
            parts = [
                {"label": c["label"], "masks": [detected[i]["mask"] for i in (*c["instances"], *c["attached"])]}
                for c in family["components"]
            ]
            (inpainted,) = _answers(self._inpaint, [{"record_id": scene.key, "image": image, "components": parts}])
            pixels = self.settings.ingest.max_pixels
            duals = {d["subset"]: images.decode(d["image"], pixels) for d in inpainted["duals"] if d["status"] == "ok"}
            return EngineOutput(
                scene, domain, captions, detected, family, duals, written, [self._dilated(part["masks"], scene) for part in parts]
            )

    def _texts(self, parsed: list[Row], texts: list[Row], family: Row) -> dict[tuple[int, int], Row]:
        (answer,) = _answers(self._rewrite, [to_rewrite(family, parsed, texts)])  # type: ignore[arg-type]
        return {(int(text["caption_id"]), text["subset"]): text for text in answer["texts"]}

    def _dilated(self, rles: Sequence[Row], scene: Scene) -> Mask:
        union = np.logical_or.reduce([engine_masks.from_rle(rle) for rle in rles])
        return engine_masks.dilate(union, self.settings.inpainter.dilate * scene.size)

    def pairs(self, output: EngineOutput) -> list[Pair]:
        """The pairs that the engine would score: every dual image except the original with the text of each monotone caption."""
        candidates = []
        for subset, image in output.duals.items():
            for i, naming in enumerate(output.family["captions"]):
                text_subset = naming["names"] & subset
                if not subset or naming["status"] != "ok":
                    continue
                text = output.texts.get((i, text_subset)) or {"caption": output.captions[i].text, "status": "ok"}
                if text["caption"] is not None:
                    candidates.append(Pair(subset, i, image, text["caption"], text["status"] == "ok"))
        return candidates

    def good(self, output: EngineOutput, pair: Pair) -> bool:
        """Whether a pair from the engine is good by the truth: the removal is complete, and the text is right."""
        return output.truly_removed(pair.subset) and output.truly_said(pair.caption, pair.subset, pair.text)

    def checked(self, output: EngineOutput, caption: int, subset: int, text: str) -> bool:
        """Whether a text passes the rule checks as a caption's text without a subset."""
        names = output.names(caption)
        with using(self.settings.lexicon):
            return not check(output.captions[caption].text, text, output.of(names & subset), output.of(names & ~subset))

    def measure(self, output: EngineOutput, pairs: Sequence[Pair]) -> list[Row]:
        """The columns of ``scores`` that the policy reads, one row per pair, by the formulas of recheck, score and similarity."""
        rows = []
        before = sorted({instance["label"] for instance in output.detected})
        encoded = {id(pair.image): images.encode(pair.image, self.settings.codec) for pair in pairs}
        views = {(id(pair.image), pair.subset): pair for pair in pairs}
        asked = [{"image": encoded[image_id], "removed": list(output.of(subset)), "before": before} for image_id, subset in views]
        looks = dict(zip(views, _answers(self._look, asked), strict=True))
        seams = {view: self._seam(output, pair) for view, pair in views.items()}
        similar = self._similarities(output, pairs, encoded) if self._embed else [{}] * len(pairs)
        for pair, clip in zip(pairs, similar, strict=True):
            second_look = looks[id(pair.image), pair.subset]
            with using(self.settings.lexicon):
                surely, perhaps = output.referents.masks(pair.text)
            rows.append(
                {
                    "subset": pair.subset,
                    "relation": relation(pair.subset, output.names(pair.caption), surely, perhaps).name.lower(),
                    "text_ok": pair.text_ok,
                    "text_agreement": None,
                    "judge": None,
                    "residual": second_look["residual"],
                    "intruder": second_look["intruder"],
                    "seam": seams[id(pair.image), pair.subset],
                    "smear": smear(pair.image, output.edited(pair.subset)),
                    "edited_fraction": float(output.edited(pair.subset).mean()),
                    "survivor": survivor(second_look["detections"], output.of(~pair.subset), self.settings),
                }
                | {name: clip.get(name) for name in ("clip_true", "clip_original", "clip_drop", "clip_image")}
            )
        return rows

    def _seam(self, output: EngineOutput, pair: Pair) -> float | None:
        rule, side = self.settings.inpainter, max(pair.image.shape[:2])
        return inpaint.seam(pair.image, output.edited(pair.subset), max(0.0, min(rule.feather, rule.dilate) * side - 1.0))

    def _similarities(self, output: EngineOutput, pairs: Sequence[Pair], encoded: dict[int, bytes]) -> list[Row]:
        assert self._embed is not None, "there is an embedder"
        original = images.encode(output.duals[0], self.settings.codec)
        prompts = {label: LABEL_PROMPT.format(label) for label in output.labels}
        texts = [*prompts.values(), *(pair.text for pair in pairs), *(output.captions[pair.caption].text for pair in pairs)]
        pictures = [original, *encoded.values()]
        wanted: tuple[list[Any], list[Any]] = (pictures, texts)
        for role, key, items in zip(self._embed, ("image", "text"), wanted, strict=True):
            fresh = [item for item in dict.fromkeys(items) if item not in output.embeddings]
            answers = _answers(role, [{key: item} for item in fresh]) if fresh else []
            output.embeddings.update((item, answer["embedding"]) for item, answer in zip(fresh, answers, strict=True))
        vector = {item: np.array(output.embeddings[item]) for item in {*pictures, *texts}}
        rows, first = [], vector[original]
        for pair in pairs:
            dual_vector = vector[encoded[id(pair.image)]]
            drops = [first @ vector[prompts[label]] - dual_vector @ vector[prompts[label]] for label in output.of(pair.subset)]
            full_text = output.captions[pair.caption].text
            rows.append(
                {
                    "clip_true": float(dual_vector @ vector[pair.text]),
                    "clip_original": float(dual_vector @ vector[full_text]),
                    "clip_drop": float(np.mean(drops)),
                    "clip_image": float(dual_vector @ first),
                }
            )
        return rows


def survivor(detections: Sequence[Row], labels: Sequence[str], settings: Settings) -> float | None:
    """The lowest score of the recheck's detections over components that should remain; None if there are none."""
    if settings.segmenter.kind == "annotations" or not labels:
        return None
    return min(max((d["score"] for d in detections if d["label"] == label), default=0.0) for label in labels)


def annotations(scene: Scene) -> list[Row]:
    """A scene's instances in the form of the source's annotations."""
    labels, rows = domains.load(scene.domain).known, []
    for instance in instances(scene):
        height, width = instance["segmentation"]["size"]
        rows.append(
            {
                "label": labels[instance["category_id"] - 1],
                "box": dict(zip(("x", "y", "width", "height"), instance["bbox"], strict=True)),
                "mask": {"height": height, "width": width, "counts": instance["segmentation"]["counts"]},
                "crowd": False,
            }
        )
    return rows


def _answers(role: Role, rows: list[Row]) -> list[Row]:
    answers = role(rows)
    if bad := next((answer for answer in answers if isinstance(answer, Failure)), None):
        raise EngineFailed(f"{role.name}: {bad.status}: {bad.error}")
    return [answer for answer in answers if isinstance(answer, dict)]
