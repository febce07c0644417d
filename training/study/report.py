"""The study's reports, one a world, Markdown and HTML, from the records alone: ``dualset study`` without a budget."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from training.study import artefacts, figures, manifold
from training.study.arms import ARMS, BY_NAME, ON
from training.study.compare import Estimate
from training.study.endpoints import ENDPOINTS
from training.study.findings import SEEDS, Contrast, Findings, Study, is_touched
from training.study.queue import records_of
from training.study.regime import Regime
from training.study.world import OBJECTS, WORLDS, World

Table = tuple[Sequence[str], Sequence[Sequence[str]]]
Section = tuple[str, list[str | Table]]  # a title, with paragraphs and tables
Pictures = dict[str, tuple[str, str]]  # by the title of a section: a name, and the SVG
FEW = 3  # seeds that the first paragraph speaks of, where it claims nothing
TITLE = "Does the power set make CLIP understand composition?"
NAME, MANIFOLD, ARTEFACTS = "report", "manifold.json", "artefacts.json"
COSTS = ("image_passes_a_step", "originals_a_step", "texts_a_step", "epochs", "cpu_seconds")


def write_report(folder: Path, regime: Regime, extended: bool = False) -> list[Path]:
    """Write ``report.md`` with its pictures, and ``report.html``, beside the runs; none if there is no run.

    Those of a further world have its name in theirs, and its first paragraph is in the first world's report.
    """
    if not records_of(folder, regime).is_dir():
        return []
    study = Study(folder, regime)
    found, best = (Findings(study, which, extended) for which in ("final", "best"))
    if not found.runs:
        return []
    parts, ending = sections(found, best), ending_of(regime.world)
    if regime.world == OBJECTS:
        parts += elsewhere(folder, regime) + manifold.section(folder / MANIFOLD) + artefacts.section(folder / ARTEFACTS)
    drawn = {
        "All arms, last step": (f"arms{ending}", figures.arms(found)),
        "What each run cost": (f"validation{ending}", figures.validation(found)),
    }
    files = [
        folder / f"{NAME}{ending}.md",
        folder / f"{NAME}{ending}.html",
        *(folder / f"{name}.svg" for name, _ in drawn.values()),
    ]
    texts = [_document(parts, drawn), _html(parts, drawn), *(picture for _, picture in drawn.values())]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text, encoding="utf-8")
    return files


def ending_of(world: World) -> str:
    """What the names of a world's report and pictures end with."""
    return "" if world == OBJECTS else f"_{world.name}"


def elsewhere(folder: Path, regime: Regime) -> list[Section]:
    """What the other worlds say, where there are runs in them."""
    found = [Findings(Study(folder, replace(regime, world=world))) for world in WORLDS.values() if world != regime.world]
    said = [
        f"**{one.regime.world.name.capitalize()}** ({one.regime.world.says}; `{NAME}{ending_of(one.regime.world)}.md`)."
        f" {' '.join(map(str, (conclusion(one), state(one), *_flags(one))))}"
        for one in found
        if one.records and one.primary
    ]
    return [("In another world", list(said))] if said else []


def sections(found: Findings, best: Findings) -> list[Section]:
    """Titles, with paragraphs and tables."""
    return [
        (title(found), [conclusion(found), state(found), *_flags(found)]),
        ("Primary contrasts", [PRIMARY, primary_table(found.primary)]),
        ("All arms, last step", [VALUES, arms_table(found)]),
        ("All arms, best step by validation", [arms_table(best)]),
        ("Other contrasts at the mean of the end points", [SECONDARY, secondary_table(found.secondary)]),
        ("Every untouched test", [COLUMNS, columns_table(found, touched=False)]),
        ("Tests that are the training transformation itself", [TOUCHED_NOTE, columns_table(found, touched=True)]),
        ("What each run cost", [cost_table(found)]),
        ("What tuning chose", [tuning_table(found)]),
    ]


def title(found: Findings) -> str:
    """The first line, with the world where it is not the first."""
    world = found.regime.world
    return TITLE if world == OBJECTS else f"{TITLE[:-1]} in the world {world.name}?"


PRIMARY = (
    "Differences in points (hundredths) at the last step. The 95% interval and p are t's, of the variance between paired seeds"
    " and that of a bootstrap over scenes; p after Holm's correction over all twelve. *Supported*: the interval excludes zero"
    " and p is below 0.05; *not worse*: its lower end is above -2 points; *open*: neither, or fewer than five seeds. A control"
    " has the learning rate that was chosen for its method: a rate of its own might make `shuffled` better than it is here."
)
VALUES = "Percent right, with 95% intervals over seeds and scenes; *mean* is that of the four end points."
SECONDARY = "Not corrected for their number: they explain the primary ones, and prove nothing by themselves."
COLUMNS = (
    "Percent right, means over seeds. *chance*, *shorter* (the text with fewer characters) and *probe* (a linear model of the"
    " texts' words, fitted on these questions) see no image. Which tests enter an end point was decided before the runs"
    " (REGISTERED.md, groups): relations, counts and exchanged places were learned by no model of the first world. Untouched is"
    " meant of removal: `swap-att` is what methods with swapped texts train on, and `wino-colour` what exchanged colours are."
)
TOUCHED_NOTE = (
    "They ask whether something that was removed is there: in-distribution for every arm with duals. They are in no mean."
)


def conclusion(found: Findings) -> str:
    """The first paragraph: which claims hold, and first what added nothing."""
    if not found.primary:
        return "No primary contrast can be computed yet."
    said = []
    if not all(one.decides for one in found.primary):
        said.append(
            f"**There are contrasts of fewer than {SEEDS} seeds, which decide nothing**: they are open, whatever they show."
        )
    families = [one for one in found.primary if one.other == "shuffled"]
    if families and not any(one.verdict == "supported" for one in families):
        better = [one.point for one in families if one.verdict == "the other way round"]
        said.append(
            "**Keeping families together in a batch added nothing that these runs show** over the same duals shuffled"
            + (f", which do better on {' and '.join(better)}" if better else "")
            + "."
        )
    grey = found.difference("grey_box", "powerset", ENDPOINTS)
    if grey is not None and grey.high >= 0:
        boxes = _estimate(grey, sign=True)
        said.append(f"**Inpainting added nothing over grey boxes that these runs show**: {boxes} points for the boxes.")
    for claim in dict.fromkeys(one.claim for one in found.primary):
        verdicts = {one.point: one for one in found.primary if one.claim == claim}
        held = [f"{point} ({_estimate(one.found, sign=True)})" for point, one in verdicts.items() if one.verdict == "supported"]
        lost = [
            f"{point} ({_estimate(one.found, sign=True)}, {one.verdict})"
            for point, one in verdicts.items()
            if one.verdict != "supported"
        ]
        first = next(iter(verdicts.values()))
        said.append(
            f"Claim *{claim}* ({first.one} against {first.other}): supported on {', '.join(held) or 'no end point'}"
            + (f"; not on {', '.join(lost)}" if lost else "")
            + "."
        )
    sizes = {"_quarter": ON["quarter"], "_half": ON["half"], "": "all of them", "_large": ON["large"]}
    curve = {words: found.difference(f"powerset{size}", f"clip{size}", ENDPOINTS) for size, words in sizes.items()}
    steps = [f"{_estimate(one, sign=True)} with {words}" for words, one in curve.items() if one is not None]
    if len(steps) > 1:
        said.append(f"How much the power set is worth against CLIP depends on the originals: {', '.join(steps)}, on the mean.")
    best = [one for one in found.best if one.found.seeds >= FEW]
    if best:
        over, other = (
            [f"{c.other} ({_estimate(c.found, sign=True)}, {c.found.seeds} seeds)" for c in best if (c.found.low > 0) == is_over]
            for is_over in (True, False)
        )
        said.append(
            f"On the mean of the four end points the best combination, {best[0].one}, is over {', '.join(over) or 'no method'}"
            + (f"; not over {', '.join(other)}" if other else "")
            + "; these intervals are not corrected for their number."
        )
    return " ".join(said)


def state(found: Findings) -> str:
    """How much of it has run, and what is missing."""
    missing = [unit.name for unit in found.missing]
    cpu = sum(record.cpu_seconds for record in found.records.values()) / 3600
    ran, tuned = (
        ", ".join(sorted({record.device for record in found.records.values() if (record.trial is not None) == is_trial}))
        for is_trial in (False, True)
    )
    text = (
        f"{found.planned - len(missing)} of {found.planned} runs are done, {cpu:.2f} CPU hours, on {ran}"
        + (f" (tuning on {tuned})" if tuned and tuned != ran else "")
        + f". Regime {found.regime.name} in the world {found.regime.world.name}: {found.regime.steps} steps"
        f" of {found.regime.batch_size} images, {found.regime.size.originals} originals,"
        f" {found.regime.size.questions} questions a group."
    )
    return text + (f" Missing: {', '.join(missing)}." if missing else "")


def _flags(found: Findings) -> list[str | Table]:
    return [f"Note: {flag}." for flag in found.flags]


def primary_table(contrasts: Sequence[Contrast]) -> Table:
    """A line a contrast and end point."""
    rows = [
        (f"{c.one} - {c.other}", c.point, _estimate(c.found, sign=True), f"{c.adjusted:.3f}", str(c.found.seeds), c.verdict)
        for c in contrasts
    ]
    return ("contrast", "end point", "difference [95%]", "p (Holm)", "seeds", "verdict"), rows


def secondary_table(contrasts: Sequence[Contrast]) -> Table:
    """A line a contrast."""
    rows = [(f"{c.one} - {c.other}", c.claim, _estimate(c.found, sign=True), str(c.found.seeds)) for c in contrasts]
    return ("contrast", "what it asks", "difference [95%]", "seeds"), rows


def arms_table(found: Findings) -> Table:
    """A line an arm, the end points and their mean."""
    rows = []
    for name, runs in found.runs.items():
        values = [_estimate(found.value(name, [point])) for point in ENDPOINTS]
        rows.append((name, BY_NAME[name].says, *values, _estimate(found.value(name, ENDPOINTS)), str(len(runs))))
    return ("arm", "what it is", *(point.name for point in ENDPOINTS), "mean", "seeds"), rows


def columns_table(found: Findings, touched: bool) -> Table:
    """A line a column, the blind baselines and the arms."""
    arms = [arm.name for arm in ARMS if arm.name in found.runs and arm.part in ("start", "method", "control")]
    rows = []
    for name in found.columns:
        if is_touched(name) != touched:
            continue
        blind = [_percent(found.numbers.blind[one].get(name)) for one in ("chance", "shorter", "probe")]
        rows.append((name, *blind, *(_percent(found.column(arm, name)) for arm in arms)))
    return ("test", "chance", "shorter", "probe", *arms), rows


def cost_table(found: Findings) -> Table:
    """A line an arm: what a step saw, and what it cost."""
    rows = []
    for name in found.runs:
        records = [record for record in found.records_of(name) if record.budget]
        if not records:
            continue
        means = {key: sum(record.budget[key] for record in records) / len(records) for key in records[0].budget}
        pairs = [record.pairs for record in records]
        wrong = sum(one.get("true_but_negative", 0) for one in pairs) / max(1, sum(one.get("negative", 0) for one in pairs))
        cells = (
            f"{means[key]:.1f}" for key in ("image_passes_a_step", "originals_a_step", "texts_a_step", "epochs", "cpu_seconds")
        )
        rows.append((name, *cells, f"{100 * wrong:.2f}%"))
    head = ("arm", "image passes a step", "originals a step", "texts a step", "epochs", "CPU s of training", "true but negative")
    return head, rows


def tuning_table(found: Findings) -> Table:
    """A line a try."""
    rows = []
    for record in sorted((one for one in found.records.values() if one.trial is not None), key=lambda one: (one.arm, one.trial)):
        chosen = ", ".join(f"{name} {value:.2g}" for name, value in record.setting.items() if value is not None)
        rows.append((record.arm, str(record.trial), chosen, _percent(record.score)))
    return ("arm", "try", "setting", "validation"), rows


def _estimate(one: Estimate, sign: bool = False) -> str:
    form = "+.1f" if sign else ".1f"
    return f"{one.value:{form}} [{one.low:{form}}, {one.high:{form}}]"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"


def _markdown(part: Section) -> str:
    title, blocks = part
    lines = [f"## {title}", ""]
    for block in blocks:
        if isinstance(block, str):
            lines += [block, ""]
            continue
        head, rows = block
        lines += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        lines += ["| " + " | ".join(row) + " |" for row in rows] + [""]
    return "\n".join(lines)


def _document(parts: Sequence[Section], drawn: Pictures) -> str:
    """Markdown, with the pictures as files beside it."""
    lines = []
    for part in parts:
        lines.append(_markdown(part))
        if part[0] in drawn:
            name, _ = drawn[part[0]]
            lines.append(f"![{part[0]}]({name}.svg)\n")
    return "\n".join(lines)


def _html(parts: Sequence[Section], drawn: Pictures) -> str:
    """One page, with the pictures in it."""
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    body = []
    for part in parts:
        body.append(reader.render(_markdown(part)))
        if part[0] in drawn:
            _, picture = drawn[part[0]]
            body.append(picture[picture.index("<svg") :])
    return PAGE.format(body="\n".join(body))


PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Study</title><style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 90rem; margin: 2rem auto; padding: 0 1rem; color: #222; }}
table {{ border-collapse: collapse; display: block; overflow-x: auto; font-size: 13px; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .25rem .6rem; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap; }}
th:first-child, td:first-child, th:nth-child(2), td:nth-child(2) {{ text-align: left; }}
svg {{ max-width: 100%; height: auto; }} th {{ border-bottom: 2px solid #888; }} h2 {{ margin-top: 2.2rem; }}
</style></head><body>{body}</body></html>
"""
