"""The time that a language model takes to extract mentions from a caption, with and without the prefix cache.

    python -m tests.bench.language --captions captions_val2017.json --model smollm2 --limit 24

One process, one thread. Prints seconds a caption (CPU and wall, without loading), and how many replies passed all checks.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch

from jobs.settings import validate_settings
from training.tables import markdown_table
from udfs.extract.llm import LanguageModelExtractor


def main() -> None:
    """Time the extractor over the same captions twice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", required=True, help="a COCO captions file")
    parser.add_argument("--model", default="smollm2", help="folder, GGUF file, hub name, or smollm2 for the embedded one")
    parser.add_argument("--limit", type=int, default=24, help="number of captions")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with open(options.captions, encoding="utf-8") as file:
        texts = [annotation["caption"] for annotation in json.load(file)["annotations"]][: options.limit]
    row = {"captions": [{"caption_id": str(i), "caption": text, "status": "ok"} for i, text in enumerate(texts)]}
    results: list[dict[str, Any]] = []
    head = ("prefix cache", "load s", "CPU s a caption", "wall s a caption", "replies accepted")
    for line in markdown_table(head, timings(options.model, options.limit, row, results)):
        print(line)
    same = [c["components"] for c in results[0]["captions"]] == [c["components"] for c in results[1]["captions"]]
    print(f"\nThe same components with and without the cache: {same}")


def timings(model: str, limit: int, row: dict[str, Any], results: list[dict[str, Any]]) -> Iterator[tuple[object, ...]]:
    """A row of the table with the cache and one without; the extractor's answers are appended to ``results``."""
    count = len(row["captions"])
    for cached in (True, False):
        extractor_tree = {"kind": "transformers", "model": model, "prefix_cache": cached, "batch_size": limit}
        wall = time.perf_counter()
        extractor = LanguageModelExtractor(validate_settings({"extractor": extractor_tree}), "cpu")
        load = time.perf_counter() - wall
        cpu, wall = time.process_time(), time.perf_counter()
        (result,) = extractor([row])
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        assert isinstance(result, dict), f"the extractor failed: {result}"
        results.append(result)
        by_extractor = Counter(caption["extractor"] for caption in result["captions"])
        passed = by_extractor[extractor.name]
        yield cached, f"{load:.1f}", f"{cpu / count:.2f}", f"{wall / count:.2f}", f"{passed} of {count}"


if __name__ == "__main__":
    main()
