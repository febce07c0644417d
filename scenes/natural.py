"""What the engine makes of a scene: its own roles, one after the other, in this process and without Spark.

    engine = Engine(load_settings("embedded"))
    made = engine.make(scene)          captions read, a family planned, texts rewritten, images inpainted
    engine.measure(made, pairs)        columns of ``scores`` for pairs of a dual image and its text, as ``jobs.score`` has them

A pair may have been spoilt before it is measured (``scenes.spoilt``): what is measured is what it has then.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from jobs.settings import Settings
from jobs.similarity import LABEL_PROMPT
from jobs.truth import relation
from scenes import domain as domains
from scenes.captions import Caption, tell
from scenes.domain import Domain
from scenes.dual_texts import right_meaning
from scenes.faults import faults
from scenes.meaning import parse
from scenes.render import Masks, masks, render
from scenes.scene import Scene
from scenes.score_extraction import extractor
from scenes.write import instances
from udfs import images, inpaint
from udfs import masks as engine_masks
from udfs.images import Rgb
from udfs.masks import Mask
from udfs.plan import plan_family
from udfs.rewrite_checks import check
from udfs.rewrite_checks import masks as named
from udfs.rewriter import Rewriter
from udfs.role import Failure, Role, Row
from udfs.segmenter import Detector, Segmenter
from udfs.vocabulary import using
from udfs.weights import located

GONE, KEPT = 0.98, 0.5  # least share of a removed thing's seen pixels that is edited; most of a kept one's


class EngineFailed(RuntimeError):
    """A role gave no answer for a scene."""


@dataclass(frozen=True)
class Pair:
    """A dual image with the text that is to be exact for it. ``image`` is uint8 [S, S, 3] RGB, before encoding."""

    subset: int
    caption: int  # its place in ``Made.captions``
    image: Rgb
    text: str
    text_ok: bool  # it passed the rule checks
    kind: str = ""  # how it was spoilt; empty: as the engine made it


@dataclass
class Made:
    """All that the engine made of a scene, and the truth beside it."""

    scene: Scene
    domain: Domain
    captions: list[Caption]
    found: list[Row]  # instances
    family: Row
    duals: dict[int, Rgb]  # by subset, the ok ones
    texts: dict[tuple[int, int], Row]  # by (caption, subset of what it names)
    edits: list[Mask]  # the dilated mask of each component
    embeddings: dict[Any, list[float]] = field(default_factory=dict)

    @property
    def labels(self) -> list[str]:
        """Bit i of every mask is labels[i]."""
        return [component["label"] for component in self.family["components"]]

    @cached_property
    def drawn(self) -> Masks:
        """The scene's true masks."""
        return masks(self.scene)

    def of(self, subset: int) -> tuple[str, ...]:
        """The labels of a subset."""
        return tuple(label for i, label in enumerate(self.labels) if subset >> i & 1)

    def names(self, caption: int) -> int:
        """Which components a caption names, as a mask."""
        return int(self.family["captions"][caption]["names"])

    def edited(self, subset: int) -> Mask:
        """Where an image without a subset was painted anew, bool [S, S]."""
        union = np.zeros((self.scene.size, self.scene.size), bool)
        for i, mask in enumerate(self.edits):
            if subset >> i & 1:
                union |= mask
        return union

    def truly_removed(self, subset: int) -> bool:
        """Whether the edit takes away all of what is to go, by the scene's own masks, and nothing else for the most part."""
        edited, gone = self.edited(subset), self.of(subset)
        for thing, visible in zip(self.scene.things, self.drawn.visible, strict=True):
            share = float((visible & edited).sum() / max(visible.sum(), 1))
            if (thing.label in gone and visible.any() and share < GONE) or (thing.label not in gone and share > KEPT):
                return False
        return set(gone) <= set(self.scene.labels)

    def truly_said(self, caption: int, subset: int, text: str) -> bool:
        """Whether a text says of the scene without a subset what the right dual text says, in good grammar."""
        said, gone = self.captions[caption], self.of(subset)
        new = [fault for fault in faults(text, self.domain) if fault not in faults(said.text, self.domain)]
        return not new and parse(text, self.domain) == right_meaning(said, gone)


class Engine:
    """The roles of one process. ``embedder`` and ``judge.image_text`` of the settings count, as in the score stage."""

    def __init__(self, settings: Settings, device: str = "cpu") -> None:
        self.settings = settings = located(settings)
        with using(settings.lexicon):
            self._extract = extractor(settings)
            self._segment, self._look = Segmenter(settings, device), Detector(settings, device)
            self._rewrite, self._inpaint = Rewriter(settings, device), inpaint.Inpainter(settings, device)
        self._embed: tuple[Role, Role] | None = None
        if settings.embedder.model:
            from udfs.embed_clip import ImageEmbedder, TextEmbedder

            self._embed = ImageEmbedder(settings, device), TextEmbedder(settings, device)

    def make(self, scene: Scene) -> Made:
        """Everything up to ``inpaint`` for one scene."""
        with using(self.settings.lexicon):
            domain = domains.load(scene.domain)
            told = tell(domain, scene)
            texts: list[Row] = [{"caption_id": str(i), "caption": one.text, "status": "ok"} for i, one in enumerate(told)]
            image = images.encode(render(scene), self.settings.codec)
            (parsed,) = _answers(self._extract, [{"captions": texts}])
            (seen,) = _answers(self._segment, [{"image": image, "annotations": annotations(scene)}])
            found = seen["instances"]
            family = plan_family(parsed["captions"], texts, found, self.settings)
            written = self._texts(parsed["captions"], texts, family)
            parts = [
                {"label": c["label"], "masks": [found[i]["mask"] for i in (*c["instances"], *c["attached"])]}
                for c in family["components"]
            ]
            (made,) = _answers(self._inpaint, [{"record_id": scene.key, "image": image, "components": parts}])
            pixels = self.settings.ingest.max_pixels
            duals = {d["subset"]: images.decode(d["image"], pixels) for d in made["duals"] if d["status"] == "ok"}
            return Made(
                scene, domain, told, found, family, duals, written, [self._dilated(part["masks"], scene) for part in parts]
            )

    def _texts(self, parsed: list[Row], texts: list[Row], family: Row) -> dict[tuple[int, int], Row]:
        components, rows = family["components"], []
        for naming, one, text in zip(family["captions"], parsed, texts, strict=True):
            mentions = [mention | {"bit": _bit(components, mention["label"])} for mention in one["components"]]
            rows.append(naming | {"caption": text["caption"], "mentions": mentions})
        (answer,) = _answers(self._rewrite, [{"labels": [c["label"] for c in components], "captions": rows}])
        return {(int(text["caption_id"]), text["subset"]): text for text in answer["texts"]}

    def _dilated(self, rles: Sequence[Row], scene: Scene) -> Mask:
        union = np.logical_or.reduce([engine_masks.from_rle(rle) for rle in rles])
        return engine_masks.dilate(union, self.settings.inpainter.dilate * scene.size)

    def pairs(self, made: Made) -> list[Pair]:
        """What the engine would score: every dual image but the original with the text of each monotone caption."""
        found = []
        for subset, image in made.duals.items():
            for i, naming in enumerate(made.family["captions"]):
                text_subset = naming["names"] & subset
                if not subset or naming["status"] != "ok":
                    continue
                text = made.texts.get((i, text_subset)) or {"caption": made.captions[i].text, "status": "ok"}
                if text["caption"] is not None:
                    found.append(Pair(subset, i, image, text["caption"], text["status"] == "ok"))
        return found

    def good(self, made: Made, pair: Pair) -> bool:
        """Whether a pair as the engine made it is good by the truth: what goes is gone, and the text says what is right."""
        return made.truly_removed(pair.subset) and made.truly_said(pair.caption, pair.subset, pair.text)

    def checked(self, made: Made, caption: int, subset: int, text: str) -> bool:
        """Whether a text passes the rule checks as the caption without a subset."""
        names = made.names(caption)
        with using(self.settings.lexicon):
            return not check(made.captions[caption].text, text, made.of(names & subset), made.of(names & ~subset))

    def measure(self, made: Made, pairs: Sequence[Pair]) -> list[Row]:
        """The columns of ``scores`` that the policy reads, one row a pair, by the formulas of recheck, score and similarity."""
        rows = []
        before = sorted({found["label"] for found in made.found})
        encoded = {id(pair.image): images.encode(pair.image, self.settings.codec) for pair in pairs}
        views = {(id(pair.image), pair.subset): pair for pair in pairs}
        asked = [{"image": encoded[at], "removed": list(made.of(subset)), "before": before} for at, subset in views]
        looks = dict(zip(views, _answers(self._look, asked), strict=True))
        seams = {view: self._seam(made, pair) for view, pair in views.items()}
        similar = self._similarities(made, pairs, encoded) if self._embed else [{}] * len(pairs)
        for pair, clip in zip(pairs, similar, strict=True):
            look = looks[id(pair.image), pair.subset]
            with using(self.settings.lexicon):
                surely, perhaps = named(pair.text, made.labels)
            rows.append(
                {
                    "subset": pair.subset,
                    "relation": relation(pair.subset, made.names(pair.caption), surely, perhaps).name.lower(),
                    "text_ok": pair.text_ok,
                    "text_agreement": None,
                    "judge": None,
                    "residual": look["residual"],
                    "intruder": look["intruder"],
                    "seam": seams[id(pair.image), pair.subset],
                    "edited_fraction": float(made.edited(pair.subset).mean()),
                    "survivor": survivor(look["detections"], made.of(~pair.subset), self.settings),
                }
                | {name: clip.get(name) for name in ("clip_true", "clip_original", "clip_drop", "clip_image")}
            )
        return rows

    def _seam(self, made: Made, pair: Pair) -> float | None:
        rule, side = self.settings.inpainter, max(pair.image.shape[:2])
        return inpaint.seam(pair.image, made.edited(pair.subset), max(0.0, min(rule.feather, rule.dilate) * side - 1.0))

    def _similarities(self, made: Made, pairs: Sequence[Pair], encoded: dict[int, bytes]) -> list[Row]:
        assert self._embed is not None, "there is an embedder"
        original = images.encode(made.duals[0], self.settings.codec)
        prompts = {label: LABEL_PROMPT.format(label) for label in made.labels}
        texts = [*prompts.values(), *(pair.text for pair in pairs), *(made.captions[pair.caption].text for pair in pairs)]
        pictures = [original, *encoded.values()]
        wanted: tuple[list[Any], list[Any]] = (pictures, texts)
        for role, key, items in zip(self._embed, ("image", "text"), wanted, strict=True):
            fresh = [item for item in dict.fromkeys(items) if item not in made.embeddings]
            answers = _answers(role, [{key: item} for item in fresh]) if fresh else []
            made.embeddings.update((item, answer["embedding"]) for item, answer in zip(fresh, answers, strict=True))
        vector = {item: np.array(made.embeddings[item]) for item in {*pictures, *texts}}
        rows, first = [], vector[original]
        for pair in pairs:
            now = vector[encoded[id(pair.image)]]
            drops = [first @ vector[prompts[label]] - now @ vector[prompts[label]] for label in made.of(pair.subset)]
            whole = made.captions[pair.caption].text
            rows.append(
                {
                    "clip_true": float(now @ vector[pair.text]),
                    "clip_original": float(now @ vector[whole]),
                    "clip_drop": float(np.mean(drops)),
                    "clip_image": float(now @ first),
                }
            )
        return rows


def survivor(detections: Sequence[Row], labels: Sequence[str], settings: Settings) -> float | None:
    """The lowest score, over components that should still be there, at which a second look sees them; None without any."""
    if settings.segmenter.kind == "annotations" or not labels:
        return None
    return min(max((d["score"] for d in detections if d["label"] == label), default=0.0) for label in labels)


def annotations(scene: Scene) -> list[Row]:
    """A scene's instances as the source gives them to the segmenter."""
    labels, found = domains.load(scene.domain).known, []
    for one in instances(scene):
        height, width = one["segmentation"]["size"]
        found.append(
            {
                "label": labels[one["category_id"] - 1],
                "box": dict(zip(("x", "y", "width", "height"), one["bbox"], strict=True)),
                "mask": {"height": height, "width": width, "counts": one["segmentation"]["counts"]},
                "crowd": False,
            }
        )
    return found


def _bit(components: Sequence[Row], label: str) -> int:
    return next((i for i, c in enumerate(components) if c["label"] == label or label in c["carries"]), -1)


def _answers(role: Role, rows: list[Row]) -> list[Row]:
    answers = role(rows)
    if bad := next((answer for answer in answers if isinstance(answer, Failure)), None):
        raise EngineFailed(f"{role.name}: {bad.status}: {bad.error}")
    return [answer for answer in answers if isinstance(answer, dict)]
