"""Scenes a second: layout, picture, masks and PNG, and captions where they are, with one process and with several.

    python bench/scene_world.py --domain objects --size 96 --count 2000 --processes 1 2

Every process has its own scenes and one thread. Its first scenes paint the classes and are done before the clock starts.
"""

import argparse
import importlib.util
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

PARTS = ("layout", "picture", "masks", "png", "captions")


def work(domain: str, size: int, begin: int, count: int) -> dict[str, float]:
    """Seconds of processor time spent in each part over some scenes."""
    import cv2

    from scenes.domain import load
    from scenes.layout import sample
    from scenes.render import masks, render

    cv2.setNumThreads(1)
    captions = importlib.import_module("scenes.captions") if importlib.util.find_spec("scenes.captions") else None
    spent = dict.fromkeys(PARTS, 0.0)
    for index in range(begin, begin + count):
        marks = [time.process_time()]
        scene = sample(domain, "train", 0, index, size)
        marks.append(time.process_time())
        picture = render(scene)
        marks.append(time.process_time())
        masks(scene)
        marks.append(time.process_time())
        cv2.imencode(".png", picture[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
        marks.append(time.process_time())
        if captions is not None:
            captions.tell(load(domain), scene)
        marks.append(time.process_time())
        for part, start, end in zip(PARTS, marks[:-1], marks[1:], strict=True):
            spent[part] += end - start
    return spent


def measure(domain: str, size: int, count: int, processes: int) -> None:
    """Print scenes a second of so many processes, and processor milliseconds a scene by part."""
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        list(pool.map(work, [domain] * processes, [size] * processes, [10**6] * processes, [200] * processes))
        begun = time.perf_counter()
        share = count // processes
        done = list(
            pool.map(work, [domain] * processes, [size] * processes, range(0, share * processes, share), [share] * processes)
        )
        wall = time.perf_counter() - begun
    parts = ", ".join(f"{part} {1000 * sum(d[part] for d in done) / (share * processes):.2f}" for part in PARTS)
    print(f"{domain} {size} px, {processes} processes: {share * processes / wall:.0f} scenes/s; ms a scene: {parts}")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--domain", default="objects", help="built-in name or YAML file")
    parser.add_argument("--size", type=int, default=96, help="side in pixels")
    parser.add_argument("--count", type=int, default=2000, help="scenes")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2], help="how many at a time, one measurement each")
    options = parser.parse_args()
    for processes in options.processes:
        measure(options.domain, options.size, options.count, processes)


if __name__ == "__main__":
    main()
