"""How close inpainters come to the true removal, run by the engine's own role.

    python -m training.acceptance inpainting --count 500 --seed 900 --size 96

All subsets of each scene's labels are removed, with the masks of a perfect segmenter. *Edited* pixels are those of the dilated
masks. PSNR is the mean over removals; "of the mean error" is the PSNR of all removals' mean squared error, which the worst
dominate. *Shadow left*: mean difference from the truth, in grey levels, where a removed thing's shadow or reflection reaches
outside the hole. *Leak*: whether a dual image reveals what was removed (``inpainting_leak``). Intervals are 95%, by bootstrap
over scenes.

Rows called *truth* belong to no inpainter: they show the PSNR of the true removal at limited resolution, and so how finely a fill
has to match the truth to reach a given PSNR.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer

from jobs.scenes.seeds import check
from jobs.scenes.sheet import grid
from jobs.settings import Settings, validate_settings
from training.acceptance.inpainting_cases import Case, MeanFill, Removal, cases, left_over, psnr, removals, squared_error, ssim
from training.acceptance.inpainting_leak import leaks, singles
from training.acceptance.scores import Score, show
from training.acceptance.scores import score as line
from udfs.embed.clip import ClipModel, load_clip
from udfs.embed.settings import EmbedderSettings
from udfs.images import Rgb
from udfs.inpaint import lattice
from udfs.inpaint.diffusers import square, unsquare
from udfs.inpaint.inpainter import Inpainter
from udfs.inpaint.lattice import Hole
from udfs.weights import FOLDER, locate

DETAILED = ("diffusion", "gan")  # also scored without reuse and with larger holes
PROBED = ("mean fill", "opencv ns", *DETAILED)  # scored for leaks
PROBE_SEED = 90  # of the scenes that the leak networks learn from; no inpainter was trained on them
GROUPS: dict[str, Callable[[Removal], bool]] = {
    "one label": lambda r: len(r.removed) == 1,
    "only ground behind": lambda r: not r.behind,
    "a thing behind": lambda r: r.behind,
}
SIDE = 64  # pixels, of the crops that models fill
BLURS = (1.0, 2.0)  # sigma in pixels, for rows called truth
DILATIONS = (0.012, 0.03, 0.06)  # the default, and larger holes that cover more of the shadow


def inpainters(diffusers: Path, torchscript: Path) -> dict[str, dict[str, Any]]:
    """The compared inpainters: settings of ``inpainter`` by name; mean fill has none."""
    return {
        "mean fill": {},
        "opencv telea": {"kind": "opencv", "method": "telea"},
        "opencv ns": {"kind": "opencv", "method": "ns"},
        "diffusion": {"kind": "diffusers", "weights": str(diffusers), "size": SIDE, "steps": 1, "batch_size": 16},
        "diffusion, 4 steps": {"kind": "diffusers", "weights": str(diffusers), "size": SIDE, "steps": 4, "batch_size": 16},
        "gan": {"kind": "torchscript", "weights": str(torchscript), "size": SIDE},
    }


def run(name: str, options: dict[str, Any], sample: Sequence[Case]) -> tuple[list[Removal], float]:
    """Removals by an inpainter, and the mean seconds per removal."""
    settings = settings_of(options)
    role = Inpainter(settings, "cpu", MeanFill() if name == "mean fill" else None)
    begun = time.perf_counter()
    results = removals(role, settings, sample)
    return results, (time.perf_counter() - begun) / len(results)


def settings_of(options: dict[str, Any]) -> Settings:
    """Settings with an inpainter's options; dual images are stored without loss."""
    return validate_settings({"codec": {"format": "png"}, "inpainter": options})


def fidelity(name: str, results: Sequence[Removal], clip: ClipModel | None = None) -> list[Score]:
    """Rows about the edited pixels."""
    errors = [squared_error(removal, removal.hole) for removal in results]
    scenes = [removal.scene for removal in results]
    rows = [
        line("inpaint", "PSNR, edited pixels", name, psnr(np.array(errors)).tolist(), scenes, "dB"),
        line("inpaint", "PSNR of the mean error", name, errors, scenes, "dB", _psnr_of_mean),
    ]
    for title, belongs in GROUPS.items():
        group = [(float(psnr(error)), r.scene) for error, r in zip(errors, results, strict=True) if belongs(r)]
        rows.append(line("inpaint", f"PSNR, {title}", name, [v for v, _ in group], [s for _, s in group], "dB"))
    rows.append(line("inpaint", "SSIM, edited pixels", name, [ssim(removal) for removal in results], scenes, ""))
    if clip is not None:
        rows.append(line("inpaint", "CLIP distance", name, _distances(clip, results), scenes, ""))
    return rows


def remains(name: str, results: Sequence[Removal]) -> list[Score]:
    """Rows about all pixels that the true removal changes, in the hole or not, and about remaining shadows."""
    scenes = [removal.scene for removal in results]
    everywhere = np.ones(results[0].hole.shape, np.bool_)
    leftovers = [(left_over(removal), removal.scene) for removal in results]
    leftovers = [(value, scene) for value, scene in leftovers if not math.isnan(value)]
    changed = [float(psnr(squared_error(removal, removal.changed))) for removal in results]
    whole = [float(psnr(squared_error(removal, everywhere))) for removal in results]
    return [
        line("shadow", "PSNR, all that should change", name, changed, scenes, "dB"),
        line("shadow", "PSNR, whole picture", name, whole, scenes, "dB"),
        line("shadow", "shadow left, grey levels", name, [v for v, _ in leftovers], [s for _, s in leftovers], ""),
        line("shadow", "picture in it", name, [_share(removal) for removal in results], scenes),
    ]


def known_coarsely(results: Sequence[Removal]) -> dict[str, list[Removal]]:
    """Removals filled with the truth without its finest detail: scaled to a crop of ``SIDE`` pixels and back, or blurred."""
    coarse = {f"truth through {SIDE} px": [replace(r, dual=_through_a_crop(r)) for r in results]}
    for sigma in BLURS:
        coarse[f"truth blurred, {sigma:g} px"] = [
            replace(r, dual=np.asarray(cv2.GaussianBlur(r.truth, (0, 0), sigma))) for r in results
        ]
    return coarse


def _through_a_crop(removal: Removal) -> Rgb:
    box = lattice.crop_box(removal.hole, settings_of({}).inpainter.context)
    crop = lattice.cut(removal.truth, box)
    out = removal.truth.copy()
    lattice.cut(out, box)[:] = unsquare(square(crop, SIDE) / 255, Hole(crop, lattice.cut(removal.hole, box), 0))
    return out


def score(
    sample: Sequence[Case],
    fit: Sequence[Case],
    methods: dict[str, dict[str, Any]],
    clip: ClipModel | None = None,
    log: Callable[[str], None] = lambda text: None,
) -> tuple[list[Score], dict[str, list[Removal]]]:
    """Score inpainters.

    Args:
        sample: cases that they are scored on.
        fit: other scenes, on which networks learn to find leaks; empty: leaks are not measured.
        methods: inpainters, from ``inpainters``.
        clip: model for the CLIP distance; None: it is not measured.
        log: called with lines of progress.

    Returns:
        The rows, and the removals by each method.
    """
    rows: list[Score] = []
    shown: dict[str, list[Removal]] = {}
    for name, options in methods.items():
        shown[name], seconds = run(name, options, sample)
        log(f"{name}: {1000 * seconds:.0f} ms a removal")
        rows += fidelity(name, shown[name], clip)
    for name, known in known_coarsely(next(iter(shown.values()))).items():
        rows += fidelity(name, known)
    for name in DETAILED:
        rows += fidelity(f"{name}, no reuse", run(name, methods[name] | {"reuse": False}, sample)[0])[:2]
    noise = [case.scene.noise_sigma * 2 / math.sqrt(math.pi) for case in sample]
    for name in DETAILED:
        for dilation in DILATIONS:
            rows += remains(f"{name}, dilate {dilation:g}", run(name, methods[name] | {"dilate": dilation}, sample)[0])
        log(f"{name}: larger holes done")
    rows.append(line("shadow", "two pictures that differ in noise", "", noise, [case.number for case in sample], "grey levels"))
    if fit:
        probed = [name for name in PROBED if name in methods]
        rows += leaks({name: run(name, methods[name], fit)[0] for name in probed}, {name: shown[name] for name in probed}, log)
    return rows, shown


def sheet(sample: Sequence[Case], shown: dict[str, list[Removal]], count: int) -> Any:
    """A contact sheet, uint8 [h, w, 3], with a row per removal: original, truth, each inpainter in turn, at twice the size."""
    columns = list(shown.values())
    picked = np.linspace(0, len(columns[0]) - 1, min(count, len(columns[0]))).astype(int)
    rows = [[columns[0][i].original, columns[0][i].truth, *(column[i].dual for column in columns)] for i in picked]
    return grid([cv2.resize(p, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST) for row in rows for p in row], len(rows[0]))


def _psnr_of_mean(errors: Any) -> float:
    return float(psnr(errors.mean()))


def _share(removal: Removal) -> float:
    return float((removal.changed & ~removal.hole).mean())


def _distances(clip: ClipModel, results: Sequence[Removal]) -> list[float]:
    """One minus the cosine between the embeddings of dual image and truth."""
    distances: list[float] = []
    for start in range(0, len(results), 32):
        group = results[start : start + 32]
        duals, truths = (np.array(clip.embed_images([getattr(r, attribute) for r in group])) for attribute in ("dual", "truth"))
        distances += (1 - (duals * truths).sum(axis=1)).tolist()
    return distances


def main(
    domain: Annotated[str, typer.Option(help="a built-in domain or a definition file")] = "objects",
    count: Annotated[int, typer.Option(min=2, help="removals, at least")] = 500,
    seed: Annotated[int, typer.Option(help="of the scenes: 900 to 999; 100 to 199 while something is still being chosen")] = 900,
    size: Annotated[int, typer.Option(min=64, max=256, help="side of the pictures in pixels")] = 96,
    noise: Annotated[float, typer.Option(min=1, help="largest sigma of the camera's noise, in grey levels")] = 2.0,
    diffusers: Annotated[Path, typer.Option(help="pipeline folder")] = FOLDER / "inpainter_objects",
    torchscript: Annotated[Path, typer.Option(help="TorchScript file")] = FOLDER / "gan_inpainter_objects.pt",
    probe: Annotated[int, typer.Option(min=0, help="removals to learn from how leaks look; 0: leaks are not looked for")] = 0,
    clip_model: Annotated[str, typer.Option(help="embedder.model, for the CLIP distance; empty: none")] = "",
    clip_checkpoint: Annotated[str, typer.Option(help="embedder.checkpoint")] = "",
    picture: Annotated[Path | None, typer.Option(help="write a sheet of removals here")] = None,
) -> None:
    """Score inpainters on scenes of both splits."""
    check(seed, "choosing" if seed < 900 else "evaluation")
    clip = (
        load_clip(EmbedderSettings(model=locate(clip_model), checkpoint=locate(clip_checkpoint)), "cpu") if clip_model else None
    )
    sample = cases(domain, seed, size, count, noise)
    fit = singles(domain, PROBE_SEED, size, probe, noise) if probe else []
    total = sum(len(case.truths) for case in sample)
    rows, shown = score(sample, fit, inpainters(diffusers, torchscript), clip, typer.echo)
    if picture is not None:
        cv2.imwrite(str(picture), cv2.cvtColor(sheet(sample, shown, 24), cv2.COLOR_RGB2BGR))
    show(rows, f"{domain}, seed {seed}, {size} px, noise to {noise:g}: {total} removals from {len(sample)} scenes")
