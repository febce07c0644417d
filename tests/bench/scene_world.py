"""The speed of scenes: layout, picture, masks, PNG and captions, with one and with several processes.

    python -m tests.bench.scene_world --domain objects --size 96 --count 2000 --processes 1 2

Every process has one thread and its own scenes. Its first scenes, which paint the classes, are not timed.
"""

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

PARTS = ("layout", "picture", "masks", "png", "captions")


def work(domain: str, size: int, begin: int, count: int) -> dict[str, float]:
    """CPU seconds by part, for scenes ``begin`` to ``begin + count``."""
    import cv2

    from jobs.scenes.captions import tell
    from jobs.scenes.domain import load
    from jobs.scenes.layout import sample
    from jobs.scenes.render import masks, render

    cv2.setNumThreads(1)
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
        tell(load(domain), scene)
        marks.append(time.process_time())
        for part, start, end in zip(PARTS, marks[:-1], marks[1:], strict=True):
            spent[part] += end - start
    return spent


def measure(domain: str, size: int, count: int, processes: int) -> None:
    """Print scenes a second with the given number of processes, and CPU milliseconds a scene by part."""
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        list(pool.map(work, [domain] * processes, [size] * processes, [10**6] * processes, [200] * processes))
        started = time.perf_counter()
        share = count // processes
        timings = list(
            pool.map(work, [domain] * processes, [size] * processes, range(0, share * processes, share), [share] * processes)
        )
        wall = time.perf_counter() - started
    parts = ", ".join(f"{part} {1000 * sum(seconds[part] for seconds in timings) / (share * processes):.2f}" for part in PARTS)
    print(f"{domain} {size} px, {processes} processes: {share * processes / wall:.0f} scenes/s; ms a scene: {parts}")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--domain", default="objects", help="built-in name or YAML file")
    parser.add_argument("--size", type=int, default=96, help="side of a picture in pixels")
    parser.add_argument("--count", type=int, default=2000, help="number of scenes")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2], help="numbers of processes, one measurement each")
    options = parser.parse_args()
    for processes in options.processes:
        measure(options.domain, options.size, options.count, processes)


if __name__ == "__main__":
    main()
