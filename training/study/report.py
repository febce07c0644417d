"""The study's reports in Markdown and HTML, one per world, from the records alone: ``dualset study`` without a budget."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from training.study import artefacts, figures, manifold
from training.study.arms import ARMS, BY_NAME, ON
from training.study.compare import Estimate
from training.study.endpoints import ENDPOINTS
from training.study.findings import SEEDS, Contrast, Findings, Study, is_touched
from training.study.queue import records_of
from training.study.record import Record
from training.study.regime import Regime
from training.study.world import OBJECTS, WORLDS, World
from training.tables import markdown_table

Table = tuple[Sequence[str], Sequence[Sequence[str]]]
Section = tuple[str, list[str | Table]]  # a title, with paragraphs and tables
FEW = 3  # seeds from which the first paragraph mentions a contrast that is not a claim
TITLE = "Does the power set make CLIP understand composition?"
NAME, MANIFOLD, ARTEFACTS = "report", "manifold.json", "artefacts.json"
ALL_ARMS, COSTS = "All arms, last step", "What each run cost"  # sections that end with a picture
CURVES = "The curves of validation are in `{}`, which `dualset study` writes beside this page."
BUDGET = ("image_passes_a_step", "originals_a_step", "texts_a_step", "epochs", "cpu_seconds")


def write_report(folder: Path, regime: Regime, extended: bool = False) -> list[Path]:
    """Write ``report.md`` with its picture, and ``report.html``, which contains both pictures; nothing if there is no run.

    Files of a further world have its name in theirs. Its first paragraph is also in the first world's report.

    Returns:
        The files: Markdown, HTML, and the picture of the Markdown page.
    """
    if not records_of(folder, regime).is_file():
        return []
    study = Study(folder, regime)
    findings, best = (Findings(study, which, extended) for which in ("final", "best"))
    if not findings.runs:
        return []
    parts, ending = sections(findings, best), ending_of(regime.world)
    if regime.world == OBJECTS:
        parts += elsewhere(folder, regime) + manifold.section(folder / MANIFOLD) + artefacts.section(folder / ARTEFACTS)
    values, curves = figures.arms(findings), figures.validation(findings)
    markdown, page, picture = (
        folder / f"{stem}{ending}.{kind}" for stem, kind in ((NAME, "md"), (NAME, "html"), ("arms", "svg"))
    )
    for file, text in (
        (markdown, _document(parts, {ALL_ARMS: f"![{ALL_ARMS}]({picture.name})", COSTS: CURVES.format(page.name)})),
        (page, _html(parts, {ALL_ARMS: values, COSTS: curves})),
        (picture, values),
    ):
        file.write_text(text, encoding="utf-8")
    return [markdown, page, picture]


def ending_of(world: World) -> str:
    """The ending of the file names of a world's report and pictures."""
    return "" if world == OBJECTS else f"_{world.name}"


def elsewhere(folder: Path, regime: Regime) -> list[Section]:
    """The conclusions from the other worlds that have runs."""
    worlds = [Findings(Study(folder, replace(regime, world=world))) for world in WORLDS.values() if world != regime.world]
    paragraphs = [
        f"**{findings.regime.world.name.capitalize()}** ({findings.regime.world.says};"
        f" `{NAME}{ending_of(findings.regime.world)}.md`)."
        f" {' '.join(map(str, (conclusion(findings), state(findings), *_flags(findings))))}"
        for findings in worlds
        if findings.records and findings.primary
    ]
    return [("In another world", list(paragraphs))] if paragraphs else []


def sections(findings: Findings, best: Findings) -> list[Section]:
    """Titles, with paragraphs and tables."""
    return [
        (title(findings), [conclusion(findings), state(findings), *_flags(findings)]),
        ("Primary contrasts", [PRIMARY, primary_table(findings.primary)]),
        (ALL_ARMS, [VALUES, arms_table(findings)]),
        ("All arms, best step by validation", [arms_table(best)]),
        ("Other contrasts at the mean of the end points", [SECONDARY, secondary_table(findings.secondary)]),
        ("Every untouched test", [COLUMNS, columns_table(findings, touched=False)]),
        ("Tests that are the training transformation itself", [TOUCHED_NOTE, columns_table(findings, touched=True)]),
        (COSTS, [cost_table(findings)]),
        ("What tuning chose", [tuning_table(findings)]),
    ]


def title(findings: Findings) -> str:
    """The report's title; it names the world unless it is the first."""
    world = findings.regime.world
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


def conclusion(findings: Findings) -> str:
    """The first paragraph: what added nothing, then which claims hold."""
    if not findings.primary:
        return "No primary contrast can be computed yet."
    sentences = []
    if not all(contrast.decides for contrast in findings.primary):
        sentences.append(
            f"**There are contrasts of fewer than {SEEDS} seeds, which decide nothing**: they are open, whatever they show."
        )
    families = [contrast for contrast in findings.primary if contrast.other == "shuffled"]
    if families and not any(contrast.verdict == "supported" for contrast in families):
        better = [contrast.point for contrast in families if contrast.verdict == "the other way round"]
        sentences.append(
            "**Keeping families together in a batch added nothing that these runs show** over the same duals shuffled"
            + (f", which do better on {' and '.join(better)}" if better else "")
            + "."
        )
    grey = findings.difference("grey_box", "powerset", ENDPOINTS)
    if grey is not None and grey.high >= 0:
        boxes = _estimate(grey, sign=True)
        sentences.append(f"**Inpainting added nothing over grey boxes that these runs show**: {boxes} points for the boxes.")
    for claim in dict.fromkeys(contrast.claim for contrast in findings.primary):
        contrasts = {contrast.point: contrast for contrast in findings.primary if contrast.claim == claim}
        held = [
            f"{point} ({_estimate(contrast.estimate, sign=True)})"
            for point, contrast in contrasts.items()
            if contrast.verdict == "supported"
        ]
        lost = [
            f"{point} ({_estimate(contrast.estimate, sign=True)}, {contrast.verdict})"
            for point, contrast in contrasts.items()
            if contrast.verdict != "supported"
        ]
        first = next(iter(contrasts.values()))
        sentences.append(
            f"Claim *{claim}* ({first.arm} against {first.other}): supported on {', '.join(held) or 'no end point'}"
            + (f"; not on {', '.join(lost)}" if lost else "")
            + "."
        )
    sizes = {"_quarter": ON["quarter"], "_half": ON["half"], "": "all of them", "_large": ON["large"]}
    curve = {name: findings.difference(f"powerset{size}", f"clip{size}", ENDPOINTS) for size, name in sizes.items()}
    steps = [f"{_estimate(value, sign=True)} with {name}" for name, value in curve.items() if value is not None]
    if len(steps) > 1:
        sentences.append(
            f"How much the power set is worth against CLIP depends on the originals: {', '.join(steps)}, on the mean."
        )
    best = [contrast for contrast in findings.best if contrast.estimate.seeds >= FEW]
    if best:
        over, other = (
            [
                f"{c.other} ({_estimate(c.estimate, sign=True)}, {c.estimate.seeds} seeds)"
                for c in best
                if (c.estimate.low > 0) == is_over
            ]
            for is_over in (True, False)
        )
        sentences.append(
            f"On the mean of the four end points the best combination, {best[0].arm}, is over {', '.join(over) or 'no method'}"
            + (f"; not over {', '.join(other)}" if other else "")
            + "; these intervals are not corrected for their number."
        )
    return " ".join(sentences)


def state(findings: Findings) -> str:
    """How many of the planned runs are done and what they cost, likewise for all records, and which runs are missing."""
    missing = [unit.name for unit in findings.missing]
    planned = [record for name, record in findings.records.items() if name in findings.planned]
    ran, tuned = (
        ", ".join(sorted({record.device for record in findings.records.values() if (record.trial is not None) == is_trial}))
        for is_trial in (False, True)
    )
    text = (
        f"{len(findings.planned) - len(missing)} of {len(findings.planned)} runs are done, {_hours(planned)}, on {ran}"
        + (f" (tuning on {tuned})" if tuned and tuned != ran else "")
        + "."
        + (
            f" With those beyond the main regime there are {len(findings.records)} runs, {_hours(findings.records.values())}."
            if len(findings.records) > len(planned)
            else ""
        )
        + f" Regime {findings.regime.name} in the world {findings.regime.world.name}: {findings.regime.steps} steps"
        f" of {findings.regime.batch_size} images, {findings.regime.size.originals} originals,"
        f" {findings.regime.size.questions} questions a group."
    )
    return text + (f" Missing: {', '.join(missing)}." if missing else "")


def _hours(records: Iterable[Record]) -> str:
    return f"{sum(record.cpu_seconds for record in records) / 3600:.2f} CPU hours"


def _flags(findings: Findings) -> list[str | Table]:
    return [f"Note: {flag}." for flag in findings.flags]


def primary_table(contrasts: Sequence[Contrast]) -> Table:
    """One row per contrast and end point."""
    rows = [
        (f"{c.arm} - {c.other}", c.point, _estimate(c.estimate, sign=True), f"{c.adjusted:.3f}", str(c.estimate.seeds), c.verdict)
        for c in contrasts
    ]
    return ("contrast", "end point", "difference [95%]", "p (Holm)", "seeds", "verdict"), rows


def secondary_table(contrasts: Sequence[Contrast]) -> Table:
    """One row per contrast."""
    rows = [(f"{c.arm} - {c.other}", c.claim, _estimate(c.estimate, sign=True), str(c.estimate.seeds)) for c in contrasts]
    return ("contrast", "what it asks", "difference [95%]", "seeds"), rows


def arms_table(findings: Findings) -> Table:
    """One row per arm: the end points and their mean."""
    rows = []
    for name, runs in findings.runs.items():
        values = [_estimate(findings.value(name, [point])) for point in ENDPOINTS]
        rows.append((name, BY_NAME[name].says, *values, _estimate(findings.value(name, ENDPOINTS)), str(len(runs))))
    return ("arm", "what it is", *(point.name for point in ENDPOINTS), "mean", "seeds"), rows


def columns_table(findings: Findings, touched: bool) -> Table:
    """One row per column: the blind baselines and the arms."""
    arms = [arm.name for arm in ARMS if arm.name in findings.runs and arm.part in ("start", "method", "control")]
    rows = []
    for name in findings.columns:
        if is_touched(name) != touched:
            continue
        blind = [_percent(findings.numbers.blind[baseline].get(name)) for baseline in ("chance", "shorter", "probe")]
        rows.append((name, *blind, *(_percent(findings.column(arm, name)) for arm in arms)))
    return ("test", "chance", "shorter", "probe", *arms), rows


def cost_table(findings: Findings) -> Table:
    """One row per arm: what a step saw, and what it cost."""
    rows = []
    for name in findings.runs:
        records = [record for record in findings.records_of(name) if record.budget]
        if not records:
            continue
        means = {key: sum(record.budget[key] for record in records) / len(records) for key in records[0].budget}
        pairs = [record.pairs for record in records]
        negatives = sum(counts.get("negative", 0) for counts in pairs)
        wrong = sum(counts.get("true_but_negative", 0) for counts in pairs) / max(1, negatives)
        cells = (f"{means[key]:.1f}" for key in BUDGET)
        rows.append((name, *cells, f"{100 * wrong:.2f}%"))
    head = ("arm", "image passes a step", "originals a step", "texts a step", "epochs", "CPU s of training", "true but negative")
    return head, rows


def tuning_table(findings: Findings) -> Table:
    """One row per trial of tuning."""
    rows = []
    tries = [record for record in findings.records.values() if record.trial is not None]
    for record in sorted(tries, key=lambda record: (record.arm, record.trial)):
        setting = ", ".join(f"{name} {value:.2g}" for name, value in record.setting.items() if value is not None)
        rows.append((record.arm, str(record.trial), setting, _percent(record.score)))
    return ("arm", "try", "setting", "validation"), rows


def _estimate(estimate: Estimate, sign: bool = False) -> str:
    form = "+.1f" if sign else ".1f"
    return f"{estimate.value:{form}} [{estimate.low:{form}}, {estimate.high:{form}}]"


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
        lines += [*markdown_table(head, rows), ""]
    return "\n".join(lines)


def _document(parts: Sequence[Section], endings: Mapping[str, str]) -> str:
    """The report in Markdown; ``endings`` are texts to add after sections, by title."""
    lines = []
    for part in parts:
        lines.append(_markdown(part))
        if part[0] in endings:
            lines.append(f"{endings[part[0]]}\n")
    return "\n".join(lines)


def _html(parts: Sequence[Section], pictures: Mapping[str, str]) -> str:
    """The report as one HTML page; ``pictures`` are SVG by the title of the section that ends with it."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markdown_it import MarkdownIt
    from markupsafe import Markup

    reader = MarkdownIt("commonmark", {"html": False})
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["inline"] = lambda text: Markup(reader.renderInline(text))  # noqa: S704 - the reader escapes HTML
    drawn = {title: picture[picture.index("<svg") :] for title, picture in pictures.items()}
    return templates.get_template("report.html.j2").render(parts=parts, pictures=drawn)
