"""How well the project's rules read and rewrite captions of scenes, for which the truth is known.

    python -m training.acceptance rewriting --domain objects --count 300 --forms heldout

Extraction: mentions read by the rules against true mentions, for sure and perhaps separately. Rewriting: dual texts whose meaning
(``jobs.scenes.meaning``) is that of the right dual text, by frame, by join and by the engine's status.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Annotated, cast

import typer

from jobs.scenes import domain as domains
from jobs.scenes.captions import Caption, Forms, tell
from jobs.scenes.domain import Domain
from jobs.scenes.dual_texts import right, right_meaning
from jobs.scenes.meaning import parse
from jobs.scenes.scene import Scene, Split
from jobs.settings import Settings, load_settings
from training.acceptance.grammar_faults import faults
from training.statistics import wilson
from udfs.captions.vocabulary import using
from udfs.extract.rules import read_caption
from udfs.rewrite.rewriter import Rewriter


@dataclass(frozen=True)
class Judged:
    """A dual text, with the right one."""

    caption: Caption
    removed: tuple[str, ...]
    text: str | None
    status: str
    wanted: str | None
    fault: str  # why the text is wrong; empty: it is right


def judge(domain: Domain, scene: Scene, caption: Caption, rewriter: Rewriter, most: int) -> Iterator[Judged]:
    """All dual texts that the rules write for a caption, for the known classes (at most ``most``) that they surely find in it."""
    parsed = read_caption({"caption_id": "0", "caption": caption.text, "status": "ok"})
    sure = dict.fromkeys(m["label"] for m in parsed["components"] if m["certain"])
    labels = [label for label in sure if label in scene.labels and label in domain.known][:most]
    names = (1 << len(labels)) - 1
    struct = parsed | {"caption": caption.text, "names": names, "may_name": 0, "mentions": parsed["components"]}
    components = [{"label": label} for label in labels]
    answer = rewriter([{"components": components, "captions": [struct | {"status": "ok"}]}])[0]
    assert isinstance(answer, dict), "the rules do not fail"
    for text in answer["texts"]:
        removed = tuple(label for i, label in enumerate(labels) if text["subset"] >> i & 1)
        wanted = right(caption, removed)
        yield Judged(caption, removed, text["caption"], text["status"], wanted, _fault(domain, caption, removed, text, wanted))


def _fault(domain: Domain, caption: Caption, removed: tuple[str, ...], text: dict[str, str], wanted: str | None) -> str:
    written = text["caption"]
    if not caption.monotone:
        return "" if text["status"] == "not_monotone" else "taken for monotone"
    if wanted is None or written is None:
        if wanted is None and written is None:
            return ""
        return f"no text ({text['status']})" if written is None else "a text of nothing"
    meaning, truth = parse(written, domain), right_meaning(caption, removed)
    if meaning != truth:
        less = replace(truth, ground="", facts=()) == replace(meaning, ground="", facts=()) and set(meaning.facts) <= set(
            truth.facts
        )
        if less and meaning.ground in ("", truth.ground):
            return "says less"
        return "unparsed: " + ", ".join(meaning.unparsed) if meaning.unparsed else "another meaning"
    wrong = [fault for fault in faults(written, domain) if fault not in faults(caption.text, domain)]
    return ", ".join(wrong)


def extraction(caption: Caption) -> Counter[str]:
    """Counts of true mentions ("made") and of mentions read by the rules, sure and perhaps, and how many of each match."""
    components = read_caption({"caption_id": "0", "caption": caption.text, "status": "ok"})["components"]
    counts: Counter[str] = Counter()
    for sure in (True, False):
        name = "sure" if sure else "perhaps"
        # Perhaps: by place only, as a word for several classes names more of them than the scene has.
        truth = {(m.start, m.end, label if sure else "") for m in caption.mentions if m.certain is sure for label in m.labels}
        read = {(m["start"], m["end"], m["label"] if sure else "") for m in components if m["certain"] is sure}
        counts[f"{name} made"] += len(truth)
        counts[f"{name} read"] += len(read)
        counts[f"{name} made and read"] += sum(any(_same(mention, other) for other in read) for mention in truth)
        counts[f"{name} read and made"] += sum(any(_same(mention, other) for other in truth) for mention in read)
    return counts


def _same(mention: tuple[int, int, str], other: tuple[int, int, str]) -> bool:
    return mention[2] == other[2] and mention[0] < other[1] and other[0] < mention[1]


def _row(name: str, hits: int, total: int) -> str:
    low, high = wilson(hits, total)
    return f"{name:<28} {hits:>6} of {total:<6} {100 * hits / max(total, 1):6.1f}%   [{100 * low:.1f}, {100 * high:.1f}]"


def report(judged: list[Judged], counts: Counter[str], sample: int) -> Iterator[str]:
    """The lines of the report."""
    yield "extraction, mentions:"
    for name in ("sure", "perhaps"):
        yield _row(f"  {name}: precision", counts[f"{name} read and made"], counts[f"{name} read"])
        yield _row(f"  {name}: recall", counts[f"{name} made and read"], counts[f"{name} made"])
    yield "monotone captions told apart:"
    monotone = [verdict for verdict in judged if verdict.caption.monotone]
    yield _row("  not monotone, said so", *_share(verdict for verdict in judged if not verdict.caption.monotone))
    yield _row("  monotone, taken as such", *_share(_as_fault(verdict, verdict.status == "not_monotone") for verdict in monotone))
    judged = [verdict for verdict in monotone if verdict.status != "not_monotone"]
    yield "dual texts that say what is right, in good grammar:"
    yield _row("  all", *_share(judged))
    yield _row("  where there is a text", *_share(verdict for verdict in judged if verdict.text is not None))
    less = (_as_fault(verdict, verdict.fault not in ("", "says less")) for verdict in judged)
    yield _row("  true, if less is said", *_share(less))
    yield _row("  status ok", *_share(verdict for verdict in judged if verdict.status == "ok"))
    for title, key in (("by status:", _status), ("by frame:", _frame), ("by join:", _join)):
        yield title
        groups: dict[str, list[Judged]] = defaultdict(list)
        for verdict in judged:
            groups[key(verdict)].append(verdict)
        for name in sorted(groups):
            yield _row(f"  {name}", *_share(groups[name]))
    wrong = [verdict for verdict in judged if verdict.fault]
    yield f"{len(wrong)} wrong, {min(sample, len(wrong))} of them:"
    for verdict in Random(0).sample(wrong, min(sample, len(wrong))):
        yield f"  {verdict.caption.text!r} without {', '.join(verdict.removed)} ({verdict.status}; {verdict.fault}):"
        yield f"      {verdict.text!r}, not {verdict.wanted!r}"


def _share(judged: Iterable[Judged]) -> tuple[int, int]:
    faults = [bool(verdict.fault) for verdict in judged]
    return faults.count(False), len(faults)


def _as_fault(verdict: Judged, fault: bool) -> Judged:
    return Judged(verdict.caption, verdict.removed, verdict.text, verdict.status, verdict.wanted, "x" if fault else "")


def _status(verdict: Judged) -> str:
    return verdict.status


def _frame(verdict: Judged) -> str:
    return verdict.caption.tale.frame.name


def _join(verdict: Judged) -> str:
    return verdict.caption.tale.join.name if verdict.caption.tale.second else "(one phrase)"


def run(domain: Domain, scenes: Iterable[Scene], forms: Forms, settings: Settings) -> tuple[list[Judged], Counter[str]]:
    """Judge all captions of scenes, with the settings' lexicon."""
    judged: list[Judged] = []
    counts: Counter[str] = Counter()
    with using(settings.lexicon):
        rewriter = Rewriter(settings, "cpu")
        for scene in scenes:
            for caption in tell(domain, scene, forms):
                counts += extraction(caption)
                judged += judge(domain, scene, caption, rewriter, settings.components.n)
    return judged, counts


def main(
    domain: Annotated[str, typer.Option(help="a built-in domain or a definition file")] = "objects",
    count: Annotated[int, typer.Option(help="scenes, of five captions each")] = 300,
    forms: Annotated[str, typer.Option(help="train, heldout or all")] = "heldout",
    seed: Annotated[int, typer.Option(help="of the scenes")] = 0,
    size: Annotated[int, typer.Option(help="side of the image in pixels")] = 96,
    split: Annotated[str, typer.Option(help="train or test")] = "test",
    lexicon: Annotated[str, typer.Option(help="a domain or YAML file whose words are read with; empty: COCO's")] = "",
    sample: Annotated[int, typer.Option(help="wrong ones that are shown")] = 20,
) -> None:
    """Score the rules on scenes and print the report."""
    from jobs.scenes import layout

    if split not in ("train", "test") or forms not in ("train", "heldout", "all"):
        raise typer.BadParameter("split is train or test; forms is train, heldout or all")
    world = domains.load(domain)
    scenes = (layout.sample(domain, cast(Split, split), seed, index, size) for index in range(count))
    settings = load_settings("annotations", [f"lexicon={lexicon}"] if lexicon else [])
    for line in report(*run(world, scenes, cast(Forms, forms), settings), sample):
        typer.echo(line)
