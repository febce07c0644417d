"""How near inpainters come to the true removal, through the engine's own role, side by side.

    python -m scenes.score_inpainting --count 500 --seed 900 --size 96

All subsets of the labels of scenes are removed, with the masks of a perfect segmenter. *Edited* pixels are those of the dilated
masks. PSNR is the mean over removals; "of the mean error" is that of all removals' mean squared error, which the worst decide.
*Shadow left*: mean difference from the truth, in grey levels, where a removed thing's shadow or reflection reaches outside the
hole. *Leak*: whether a dual image betrays what was removed (``inpainting_leak``). Intervals are of 95%, by bootstrap over scenes.

Rows called *truth* are no inpainter's: they tell what is lost by knowing the true removal only so finely, and so how finely a
fill has to guess it to reach a given PSNR.
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

from jobs.settings import Embedder, Settings, validate_settings
from scenes.inpainting_cases import Case, MeanFill, Removal, cases, left_over, psnr, removals, squared_error, ssim
from scenes.inpainting_leak import leaks, singles
from scenes.scores import Score, show
from scenes.scores import score as line
from scenes.seeds import check
from scenes.sheet import grid
from udfs import lattice
from udfs.embed_clip import ClipModel, load_clip
from udfs.images import Rgb
from udfs.inpaint import Inpainter
from udfs.inpaint_diffusers import square, unsquare
from udfs.lattice import Hole
from udfs.weights import locate

MODELS = Path(__file__).parent / "models"
DETAILED = ("diffusion", "gan")  # these are also scored without reuse and with larger holes
PROBED = ("mean fill", "opencv ns", *DETAILED)  # and these for leaks
PROBE_SEED = 90  # of the scenes that leaks are learned from; no inpainter learned from them
GROUPS: dict[str, Callable[[Removal], bool]] = {
    "one label": lambda r: len(r.removed) == 1,
    "only ground behind": lambda r: not r.behind,
    "a thing behind": lambda r: r.behind,
}
SIDE = 64  # pixels, of the crops that models fill
BLURS = (1.0, 2.0)  # sigma in pixels, of the truth that is known only so finely
DILATIONS = (0.012, 0.03, 0.06)  # the default, and what reaches more of the shadow


def inpainters(diffusers: Path, torchscript: Path) -> dict[str, dict[str, Any]]:
    """What is compared, by name: the settings of ``inpainter``; mean fill has none of its own."""
    return {
        "mean fill": {},
        "opencv telea": {"kind": "opencv", "method": "telea"},
        "opencv ns": {"kind": "opencv", "method": "ns"},
        "diffusion": {"kind": "diffusers", "weights": str(diffusers), "size": SIDE, "steps": 1, "batch_size": 16},
        "diffusion, 4 steps": {"kind": "diffusers", "weights": str(diffusers), "size": SIDE, "steps": 4, "batch_size": 16},
        "gan": {"kind": "torchscript", "weights": str(torchscript), "size": SIDE},
    }


def run(name: str, options: dict[str, Any], some: Sequence[Case]) -> tuple[list[Removal], float]:
    """Removals by an inpainter, and the seconds that each took."""
    settings = settings_of(options)
    role = Inpainter(settings, "cpu", MeanFill() if name == "mean fill" else None)
    begun = time.perf_counter()
    done = removals(role, settings, some)
    return done, (time.perf_counter() - begun) / len(done)


def settings_of(options: dict[str, Any]) -> Settings:
    """Settings of an inpainter; dual images keep every pixel."""
    return validate_settings({"codec": {"format": "png"}, "inpainter": options})


def fidelity(name: str, done: Sequence[Removal], clip: ClipModel | None = None) -> list[Score]:
    """Rows on the edited pixels."""
    errors = [squared_error(removal, removal.hole) for removal in done]
    scenes = [removal.scene for removal in done]
    rows = [
        line("inpaint", "PSNR, edited pixels", name, psnr(np.array(errors)).tolist(), scenes, "dB"),
        line("inpaint", "PSNR of the mean error", name, errors, scenes, "dB", _psnr_of_mean),
    ]
    for what, belongs in GROUPS.items():
        some = [(float(psnr(error)), r.scene) for error, r in zip(errors, done, strict=True) if belongs(r)]
        rows.append(line("inpaint", f"PSNR, {what}", name, [v for v, _ in some], [s for _, s in some], "dB"))
    rows.append(line("inpaint", "SSIM, edited pixels", name, [ssim(removal) for removal in done], scenes, ""))
    if clip is not None:
        rows.append(line("inpaint", "CLIP distance", name, _distances(clip, done), scenes, ""))
    return rows


def remains(name: str, done: Sequence[Removal]) -> list[Score]:
    """Rows on all pixels that the true removal changes, the hole or not, and on what a shadow left."""
    scenes = [removal.scene for removal in done]
    everywhere = np.ones(done[0].hole.shape, np.bool_)
    left = [(left_over(removal), removal.scene) for removal in done]
    left = [(value, scene) for value, scene in left if not math.isnan(value)]
    changed = [float(psnr(squared_error(removal, removal.changed))) for removal in done]
    whole = [float(psnr(squared_error(removal, everywhere))) for removal in done]
    return [
        line("shadow", "PSNR, all that should change", name, changed, scenes, "dB"),
        line("shadow", "PSNR, whole picture", name, whole, scenes, "dB"),
        line("shadow", "shadow left, grey levels", name, [v for v, _ in left], [s for _, s in left], ""),
        line("shadow", "picture in it", name, [_share(removal) for removal in done], scenes),
    ]


def known_coarsely(done: Sequence[Removal]) -> dict[str, list[Removal]]:
    """Removals filled with the truth itself, less its finest detail: through a crop of ``SIDE`` pixels and back, and blurred."""
    known = {f"truth through {SIDE} px": [replace(r, dual=_through_a_crop(r)) for r in done]}
    for sigma in BLURS:
        known[f"truth blurred, {sigma:g} px"] = [
            replace(r, dual=np.asarray(cv2.GaussianBlur(r.truth, (0, 0), sigma))) for r in done
        ]
    return known


def _through_a_crop(removal: Removal) -> Rgb:
    box = lattice.crop_box(removal.hole, settings_of({}).inpainter.context)
    crop = lattice.cut(removal.truth, box)
    out = removal.truth.copy()
    lattice.cut(out, box)[:] = unsquare(square(crop, SIDE) / 255, Hole(crop, lattice.cut(removal.hole, box), 0))
    return out


def score(
    some: Sequence[Case],
    fit: Sequence[Case],
    methods: dict[str, dict[str, Any]],
    clip: ClipModel | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> tuple[list[Score], dict[str, list[Removal]]]:
    """Score inpainters.

    Args:
        some: what they are scored on.
        fit: other scenes, that networks learn from to find leaks; none: leaks are not looked for.
        methods: as ``inpainters`` gives them.
        clip: for the distance in its space.
        tell: is told how it goes on.

    Returns:
        The rows, and the removals by each method.
    """
    rows: list[Score] = []
    shown: dict[str, list[Removal]] = {}
    for name, options in methods.items():
        shown[name], seconds = run(name, options, some)
        tell(f"{name}: {1000 * seconds:.0f} ms a removal")
        rows += fidelity(name, shown[name], clip)
    for name, known in known_coarsely(next(iter(shown.values()))).items():
        rows += fidelity(name, known)
    for name in DETAILED:
        rows += fidelity(f"{name}, no reuse", run(name, methods[name] | {"reuse": False}, some)[0])[:2]
    noise = [case.scene.noise_sigma * 2 / math.sqrt(math.pi) for case in some]
    for name in DETAILED:
        for dilation in DILATIONS:
            rows += remains(f"{name}, dilate {dilation:g}", run(name, methods[name] | {"dilate": dilation}, some)[0])
        tell(f"{name}: larger holes done")
    rows.append(line("shadow", "two pictures that differ in noise", "", noise, [case.number for case in some], "grey levels"))
    if fit:
        probed = [name for name in PROBED if name in methods]
        rows += leaks({name: run(name, methods[name], fit)[0] for name in probed}, {name: shown[name] for name in probed}, tell)
    return rows, shown


def sheet(some: Sequence[Case], shown: dict[str, list[Removal]], count: int) -> Any:
    """A picture for the eye, uint8 [h, w, 3]: a row a removal, original | truth | each inpainter in turn, at twice the size."""
    columns = list(shown.values())
    picked = np.linspace(0, len(columns[0]) - 1, min(count, len(columns[0]))).astype(int)
    rows = [[columns[0][i].original, columns[0][i].truth, *(column[i].dual for column in columns)] for i in picked]
    return grid([cv2.resize(p, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST) for row in rows for p in row], len(rows[0]))


def _psnr_of_mean(errors: Any) -> float:
    return float(psnr(errors.mean()))


def _share(removal: Removal) -> float:
    return float((removal.changed & ~removal.hole).mean())


def _distances(clip: ClipModel, done: Sequence[Removal]) -> list[float]:
    """One minus the cosine of dual image and truth."""
    distances: list[float] = []
    for start in range(0, len(done), 32):
        now = done[start : start + 32]
        duals, truths = (np.array(clip.embed_images([getattr(r, which) for r in now])) for which in ("dual", "truth"))
        distances += (1 - (duals * truths).sum(axis=1)).tolist()
    return distances


def main(
    domain: Annotated[str, typer.Option(help="a built-in domain or a definition file")] = "objects",
    count: Annotated[int, typer.Option(min=2, help="removals, at least")] = 500,
    seed: Annotated[int, typer.Option(help="of the scenes: 900 to 999; 100 to 199 while something is still being chosen")] = 900,
    size: Annotated[int, typer.Option(min=64, max=256, help="side of the pictures in pixels")] = 96,
    noise: Annotated[float, typer.Option(min=1, help="largest sigma of the camera's noise, in grey levels")] = 2.0,
    diffusers: Annotated[Path, typer.Option(help="pipeline folder")] = MODELS / "inpainter_objects",
    torchscript: Annotated[Path, typer.Option(help="TorchScript file")] = MODELS / "gan_inpainter_objects.pt",
    probe: Annotated[int, typer.Option(min=0, help="removals to learn from how leaks look; 0: leaks are not looked for")] = 0,
    clip_model: Annotated[str, typer.Option(help="embedder.model, for the CLIP distance; empty: none")] = "",
    clip_checkpoint: Annotated[str, typer.Option(help="embedder.checkpoint")] = "",
    picture: Annotated[Path | None, typer.Option(help="write a sheet of removals here")] = None,
) -> None:
    """Score inpainters on scenes of both splits."""
    check(seed, "choosing" if seed < 900 else "evaluation")
    clip = load_clip(Embedder(model=locate(clip_model), checkpoint=locate(clip_checkpoint)), "cpu") if clip_model else None
    some = cases(domain, seed, size, count, noise)
    fit = singles(domain, PROBE_SEED, size, probe, noise) if probe else []
    total = sum(len(case.truths) for case in some)
    rows, shown = score(some, fit, inpainters(diffusers, torchscript), clip, typer.echo)
    if picture is not None:
        cv2.imwrite(str(picture), cv2.cvtColor(sheet(some, shown, 24), cv2.COLOR_RGB2BGR))
    show(rows, f"{domain}, seed {seed}, {size} px, noise to {noise:g}: {total} removals from {len(some)} scenes")


if __name__ == "__main__":
    typer.run(main)
