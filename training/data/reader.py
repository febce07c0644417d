"""Endless batches from a published snapshot. Seed and step alone determine what is in a batch.

Petastorm's workers read row groups; the threads here decode, augment and tokenise. Decoding in Petastorm's workers would put
pixels into the shuffle buffer: many times the encoded bytes, or a buffer too small to keep siblings apart.

An epoch has every usable image once (without duals: the originals only). The order depends on (seed, epoch, rank) and on the
buffer's size: row groups are permuted, then chunks of k members are drawn from the buffer. Members left over at the end of an
epoch start the first batch of the next one. So nothing is lost and every rank has a batch at every step, although shards may
differ by a family and families in size; the ranks' epochs then end some steps apart. At the end of each epoch the families,
images and texts that were read are counted against the manifest, whichever of them were drawn. A part that fits in the buffer is
read and counted once, and kept in memory. With another number of processes, steps have other batches.
"""

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from jobs.snapshot.manifest import Manifest, SnapshotError
from training.data.batch import Batch, Needs
from training.data.by_petastorm import Pool
from training.data.collate import Tokenize, collate
from training.data.decode import Pixels
from training.data.families import Cache, Part, Reader
from training.data.sampling import Member, check, chunks, drawn_from, usable
from training.data.shuffling import Buffer, Embed

CLUSTER = 16  # captions in a cluster of near neighbours: SimCLIP's clusters on COCO
Selection = tuple[list[Member], list[int]]  # the members of a batch, and the epoch of each


@dataclass(frozen=True)
class ReadOptions:
    """How one rank reads a snapshot.

    Args:
        batch_size: images of one rank in a step.
        seed: for everything that is drawn.
        rank: this process, of ``world`` training processes.
        world: number of training processes; the snapshot's shards must be a multiple of it.
        start_step: steps done before. The row groups of the current epoch are read again, but nothing is decoded.
        reader: library that reads the files.
        pool: Petastorm's worker pool. A process pool takes seconds to start, in each epoch; with "dummy" all work is done in the
            caller's thread.
        workers: threads or processes that read, and threads that decode.
        buffer_families: largest number of families in the shuffle buffer.
        buffer_bytes: encoded images, in bytes, at which the buffer is full as well.
        warm_up: steps over which the share of near neighbours grows to its full size.
    """

    batch_size: int
    seed: int = 0
    rank: int = 0
    world: int = 1
    start_step: int = 0
    reader: Reader = "petastorm"
    pool: Pool = "thread"
    workers: int = 2
    buffer_families: int = 4096
    buffer_bytes: int = 1 << 30
    warm_up: int = 0


def batches(
    manifest: Manifest,
    needs: Needs,
    options: ReadOptions,
    *,
    pixels: Pixels,
    tokenize: Tokenize,
    neighbours: Embed | None = None,
    part: Part | None = None,
) -> Generator[Batch, None, None]:
    """The batches of one rank from ``options.start_step`` on, without end. Closing the generator stops its threads and processes.

    Args:
        manifest: the snapshot's.
        needs: what the method asks for.
        options: how to read.
        pixels: how images are decoded and augmented.
        tokenize: texts to int64 [N, L], such as open_clip's tokenizer.
        neighbours: texts to vectors [N, D], for ``needs.neighbours`` and ``needs.mined``. It is called from another thread with
            the texts of the epoch as they arrive. A resumed run draws the same batches only if it gets the same vectors.
        part: what to read instead of this rank's whole part of the snapshot, such as its training families only.

    Raises:
        ValueError: the snapshot cannot provide what ``needs`` asks for, or ``neighbours`` is missing.
        SnapshotError: a file is missing or has another size, there is nothing to train on, or (at the end of an epoch) what was
            read differs from the manifest.
        ImageError: an image of the snapshot cannot be decoded.
    """
    check(needs, manifest)
    near = 1 - 1 / CLUSTER if needs.neighbours else needs.mined
    if near and neighbours is None:
        raise ValueError("batches of near neighbours need `neighbours`, a function from texts to vectors")
    part = part or Part.of(manifest, options.rank, options.world)
    size = epoch_images(part, needs)
    if not size:
        raise SnapshotError(
            f"snapshot {manifest.id}, part {options.rank} of {options.world}: no image has a text that is exact for it"
        )
    # A part that fits in the buffer is read once; later epochs only shuffle it.
    families, stored = (sum(getattr(file, name) for file in part.files) for name in ("families", "bytes"))
    cache = Cache() if families <= options.buffer_families and stored <= options.buffer_bytes else None
    source = Source(part, needs, options, neighbours if near else None, cache)

    def share(step: int) -> float:
        return near * min(1.0, (step + 1) / options.warm_up) if options.warm_up else near

    def to_batch(selection: Selection) -> Batch:
        return collate(*selection, options.seed, pixels, tokenize, manifest.vocabulary)

    selected = selections(source, size, share)
    if options.pool == "dummy":
        return (to_batch(selection) for selection in selected)
    return ahead(selected, to_batch, options.workers)


def epoch_images(part: Part, needs: Needs) -> int:
    """Number of images in an epoch of a part."""
    return sum(len(usable(family, needs)) for family in part.without_images())


@dataclass(frozen=True)
class Source:
    """Where epochs come from."""

    part: Part
    needs: Needs
    options: ReadOptions
    neighbours: Embed | None = None
    cache: Cache | None = None

    def epoch(self, number: int) -> Buffer:
        """The chunks of one epoch, ready to be drawn."""
        options = self.options
        # The first shard equals the rank: without it all ranks would draw alike.
        rng = drawn_from(options.seed, number, self.part.files[0].shard)
        families = self.part.read(rng.getrandbits(32), options.reader, options.pool, options.workers, self.cache)
        arriving = (chunks(family, self.needs, options.seed, number) for family in families)
        return Buffer(arriving, rng, options.buffer_families, options.buffer_bytes, self.neighbours)


def selections(source: Source, size: int, share: Callable[[int], float]) -> Generator[Selection, None, None]:
    """The members of each batch from the source's ``start_step`` on.

    Args:
        source: of the epochs.
        size: members in an epoch.
        share: step to the share of near neighbours in its batch.
    """
    batch_size, start_step = source.options.batch_size, source.options.start_step
    epoch = start_step * batch_size // size
    # The batch in which this epoch begins, and how many of its members belong to the epoch before.
    step, carried = divmod(epoch * size, batch_size)
    members: list[Member] = []
    epochs: list[int] = []
    while True:
        buffer = source.epoch(epoch)
        while buffer.fill():
            drawn = buffer.draw(batch_size - carried - len(members), share(step))
            members, epochs = members + drawn, epochs + [epoch] * len(drawn)
            if len(members) + carried == batch_size:
                if step >= start_step:
                    yield members, epochs
                step, carried, members, epochs = step + 1, 0, [], []
        epoch += 1


def ahead(
    selected: Generator[Selection, None, None], to_batch: Callable[[Selection], Batch], workers: int
) -> Generator[Batch, None, None]:
    """``map(to_batch, selected)`` in order, by threads that work ahead; a single thread draws the selections."""
    selecting, decoding = ThreadPoolExecutor(1, "select"), ThreadPoolExecutor(workers, "decode")
    ready: deque[Future[Batch]] = deque()
    try:
        while True:
            while len(ready) <= workers:
                selection = selecting.submit(next, selected)
                ready.append(decoding.submit(_after, to_batch, selection))
            yield ready.popleft().result()
    finally:
        selecting.shutdown(cancel_futures=True)
        decoding.shutdown(cancel_futures=True)
        selected.close()


def _after(to_batch: Callable[[Selection], Batch], selection: Future[Selection]) -> Batch:
    return to_batch(selection.result())
