"""What a language model costs a caption when it reads them, with and without the prefix cache.

    python bench/language.py --captions captions_val2017.json --model smollm2 --limit 24

One process, one thread. Prints seconds a caption (CPU and wall; loading apart) and how many replies held their checks.
"""

import argparse
import json
import time
from collections import Counter

import torch

from jobs.settings import validate_settings
from udfs.extract_llm import LanguageModelExtractor


def main() -> None:
    """Time the extractor over the same captions twice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", required=True, help="a COCO captions file")
    parser.add_argument("--model", default="smollm2", help="folder, GGUF file, hub name, or smollm2 for the embedded one")
    parser.add_argument("--limit", type=int, default=24, help="captions")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with open(given.captions, encoding="utf-8") as file:
        texts = [annotation["caption"] for annotation in json.load(file)["annotations"]][: given.limit]
    row = {"captions": [{"caption_id": str(i), "caption": text, "status": "ok"} for i, text in enumerate(texts)]}
    print("| prefix cache | load s | CPU s a caption | wall s a caption | replies held |\n|---|---|---|---|---|")
    results = []
    for cached in (True, False):
        tree = {"extractor": {"kind": "transformers", "model": given.model, "prefix_cache": cached, "batch_size": given.limit}}
        wall = time.perf_counter()
        extractor = LanguageModelExtractor(validate_settings(tree), "cpu")
        load = time.perf_counter() - wall
        cpu, wall = time.process_time(), time.perf_counter()
        (result,) = extractor([row])
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        assert isinstance(result, dict), f"the extractor failed: {result}"
        results.append(result)
        by = Counter(caption["extractor"] for caption in result["captions"])
        held = by[extractor.name]
        print(f"| {cached} | {load:.1f} | {cpu / len(texts):.2f} | {wall / len(texts):.2f} | {held} of {len(texts)} |")
    same = [c["components"] for c in results[0]["captions"]] == [c["components"] for c in results[1]["captions"]]
    print(f"\nThe same components with and without the cache: {same}")


if __name__ == "__main__":
    main()
