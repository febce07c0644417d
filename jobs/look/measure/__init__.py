"""measure: how good is each stage, compared with the source's annotations? ``dualset measure``.

For a root whose source was COCO with ``--instances``, or ``flickr30k_entities``, and whose segmenter was a model: no stage has
seen the annotations, so they are ground truth. Spark computes every number over the tables and compares masks in the workers.
Only the finished lines are collected.
"""

from jobs.engine.tables import Store
from jobs.engine.views import create_views, current_rows
from jobs.look.measure.section import Section, markdown
from jobs.look.measure.stages import calls, gone, kept, plan_scores, reviewed, seconds, sizes, texts
from jobs.look.measure.things import things
from jobs.look.measure.truth import components, masks, union_iou
from jobs.settings import Settings

__all__ = ["Section", "markdown", "measure", "union_iou"]

MEASURED_TABLES = ("images", "components", "instances", "families", "dual_texts", "dual_images", "rechecks", "scores")


def measure(store: Store, settings: Settings) -> list[Section]:
    """All sections for a root that the whole chain has run over. The policy is that of ``settings``.

    Raises:
        pyspark.errors.AnalysisException: a table of the chain does not exist yet.
    """
    create_views(store, settings)
    for name in MEASURED_TABLES:
        # A view of its own name: `create_views` gives the plain table's name to all attempts and withdrawn records.
        current_rows(store, name).createOrReplaceTempView(f"measured_{name}")
    enter, remove = plan_scores(store)
    return [
        *things(store, settings.lexicon),
        components(store, enter),
        masks(store),
        sizes(store),
        gone(store, enter, remove),
        calls(store),
        *texts(store),
        *kept(store),
        *reviewed(store),
        seconds(store),
    ]
