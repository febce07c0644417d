"""How well the project's rules read and rewrite captions of scenes, where the truth is known.

    python -m scenes.score_rewriting --domain objects --count 300 --forms heldout

Extraction: mentions found against mentions made, sure and perhaps apart. Rewriting: dual texts whose meaning (``scenes.meaning``)
is that of the right dual text, by the first part of the form's name and by the status that the engine gives them.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Annotated, cast

import typer

from jobs.review.summary import wilson as share_interval
from jobs.settings import Settings, load_settings
from scenes import domain as domains
from scenes.captions import Caption, Forms, tell
from scenes.domain import Domain
from scenes.dual_texts import right, right_meaning
from scenes.faults import faults
from scenes.meaning import parse
from scenes.scene import Scene, Split
from udfs.extract_rules import read_caption
from udfs.rewriter import Rewriter
from udfs.vocabulary import using


@dataclass(frozen=True)
class Judged:
    """One dual text beside the right one."""

    caption: Caption
    removed: tuple[str, ...]
    text: str | None
    status: str
    wanted: str | None
    fault: str  # why it is wrong; empty: it is right


def wilson(hits: int, total: int) -> tuple[float, float]:
    """The 95% Wilson score interval of a share; (0, 1) of nothing."""
    if not total:
        return 0.0, 1.0
    return share_interval(hits / total, total)


def judge(domain: Domain, scene: Scene, caption: Caption, rewriter: Rewriter, most: int) -> Iterator[Judged]:
    """All dual texts that the rules write of a caption, for the (at most ``most``) known classes that they surely find in it."""
    parsed = read_caption({"caption_id": "0", "caption": caption.text, "status": "ok"})
    sure = dict.fromkeys(m["label"] for m in parsed["components"] if m["certain"])
    labels = [label for label in sure if label in scene.labels and label in domain.known][:most]
    mentions = [m | {"bit": labels.index(m["label"]) if m["label"] in labels else -1} for m in parsed["components"]]
    struct = parsed | {"caption": caption.text, "names": (1 << len(labels)) - 1, "may_name": 0, "mentions": mentions}
    made = rewriter([{"labels": labels, "captions": [struct | {"status": "ok"}]}])[0]
    assert isinstance(made, dict), "the rules do not fail"
    for text in made["texts"]:
        removed = tuple(label for i, label in enumerate(labels) if text["subset"] >> i & 1)
        wanted = right(caption, removed)
        yield Judged(caption, removed, text["caption"], text["status"], wanted, _fault(domain, caption, removed, text, wanted))


def _fault(domain: Domain, caption: Caption, removed: tuple[str, ...], text: dict[str, str], wanted: str | None) -> str:
    said = text["caption"]
    if not caption.monotone:
        return "" if text["status"] == "not_monotone" else "taken for monotone"
    if wanted is None or said is None:
        if wanted is None and said is None:
            return ""
        return f"no text ({text['status']})" if said is None else "a text of nothing"
    found, truth = parse(said, domain), right_meaning(caption, removed)
    if found != truth:
        less = replace(truth, ground="", facts=()) == replace(found, ground="", facts=()) and set(found.facts) <= set(truth.facts)
        if less and found.ground in ("", truth.ground):
            return "says less"
        return "unparsed: " + ", ".join(found.unparsed) if found.unparsed else "another meaning"
    wrong = [fault for fault in faults(said, domain) if fault not in faults(caption.text, domain)]
    return ", ".join(wrong)


def extraction(caption: Caption) -> Counter[str]:
    """Counts of mentions: made and found, sure and perhaps, and how many of each are in the other."""
    found = read_caption({"caption_id": "0", "caption": caption.text, "status": "ok"})["components"]
    counts: Counter[str] = Counter()
    for sure in (True, False):
        name = "sure" if sure else "perhaps"
        # Perhaps: by place, as a word of several classes names more of them than the scene has.
        made = {(m.start, m.end, label if sure else "") for m in caption.mentions if m.certain is sure for label in m.labels}
        read = {(m["start"], m["end"], m["label"] if sure else "") for m in found if m["certain"] is sure}
        counts[f"{name} made"] += len(made)
        counts[f"{name} read"] += len(read)
        counts[f"{name} made and read"] += sum(any(_same(one, other) for other in read) for one in made)
        counts[f"{name} read and made"] += sum(any(_same(one, other) for other in made) for one in read)
    return counts


def _same(one: tuple[int, int, str], other: tuple[int, int, str]) -> bool:
    return one[2] == other[2] and one[0] < other[1] and other[0] < one[1]


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
    monotone = [one for one in judged if one.caption.monotone]
    yield _row("  not monotone, said so", *_share(one for one in judged if not one.caption.monotone))
    yield _row("  monotone, taken as such", *_share(_as_fault(one, one.status == "not_monotone") for one in monotone))
    judged = [one for one in monotone if one.status != "not_monotone"]
    yield "dual texts that say what is right, in good grammar:"
    yield _row("  all", *_share(judged))
    yield _row("  where there is a text", *_share(one for one in judged if one.text is not None))
    yield _row("  true, if less is said", *_share(_as_fault(one, one.fault not in ("", "says less")) for one in judged))
    yield _row("  status ok", *_share(one for one in judged if one.status == "ok"))
    for title, key in (("by status:", _status), ("by frame:", _frame), ("by join:", _join)):
        yield title
        groups: dict[str, list[Judged]] = defaultdict(list)
        for one in judged:
            groups[key(one)].append(one)
        for name in sorted(groups):
            yield _row(f"  {name}", *_share(groups[name]))
    wrong = [one for one in judged if one.fault]
    yield f"{len(wrong)} wrong, {min(sample, len(wrong))} of them:"
    for one in Random(0).sample(wrong, min(sample, len(wrong))):
        yield f"  {one.caption.text!r} without {', '.join(one.removed)} ({one.status}; {one.fault}):"
        yield f"      {one.text!r}, not {one.wanted!r}"


def _share(judged: Iterable[Judged]) -> tuple[int, int]:
    faults = [bool(one.fault) for one in judged]
    return faults.count(False), len(faults)


def _as_fault(one: Judged, fault: bool) -> Judged:
    return Judged(one.caption, one.removed, one.text, one.status, one.wanted, "x" if fault else "")


def _status(one: Judged) -> str:
    return one.status


def _frame(one: Judged) -> str:
    return one.caption.tale.frame.name


def _join(one: Judged) -> str:
    return one.caption.tale.join.name if one.caption.tale.second else "(one phrase)"


def run(domain: Domain, scenes: Iterable[Scene], forms: Forms, settings: Settings) -> tuple[list[Judged], Counter[str]]:
    """Judge all captions of some scenes, with the settings' lexicon."""
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
    from scenes import layout

    if split not in ("train", "test") or forms not in ("train", "heldout", "all"):
        raise typer.BadParameter("split is train or test; forms is train, heldout or all")
    world = domains.load(domain)
    scenes = (layout.sample(domain, cast(Split, split), seed, index, size) for index in range(count))
    settings = load_settings("annotations", [f"lexicon={lexicon}"] if lexicon else [])
    for line in report(*run(world, scenes, cast(Forms, forms), settings), sample):
        typer.echo(line)


if __name__ == "__main__":
    typer.run(main)
