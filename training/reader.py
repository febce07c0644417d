"""A published snapshot to batches, endlessly: the step alone, with the seed, says what is in a batch.

Petastorm's workers read row groups; ours decode, augment and tokenise. In Petastorm's it would mean pixels in the shuffle buffer,
many times the encoded bytes, or a buffer too small to take siblings apart.

An epoch is every usable image once (the originals alone without duals). The order is a function of (seed, epoch, rank) and of the
buffer's size: row groups are permuted, then chunks of k members drawn out of the buffer. What does not fill a batch at an epoch's
end begins the first batch of the next, so nothing is lost and every rank has a batch at every step, though shards may differ by a
family and families in size: the epochs of ranks then end some steps apart. The families, images and texts that were read are
counted against the manifest at each epoch's end, whatever was drawn of them. A part that the buffer would hold whole is read and
counted once, and kept. With another world size, steps are other batches.
"""

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from training.batch import Batch, Needs
from training.collate import Tokenize, collate
from training.decode import Pixels
from training.families import Held, Part, Pool, Reader
from training.sampling import Member, check, chunks, drawn_from, usable
from training.shuffling import Buffer, Embed
from training.snapshot import Manifest, SnapshotError

CLUSTER = 16  # of near neighbours: SimCLIP's clusters on COCO
Picked = tuple[list[Member], list[int]]  # of a batch, and the epoch that each is of


def batches(
    manifest: Manifest,
    needs: Needs,
    *,
    batch_size: int,
    pixels: Pixels,
    tokenize: Tokenize,
    seed: int = 0,
    rank: int = 0,
    world: int = 1,
    start_step: int = 0,
    reader: Reader = "petastorm",
    pool: Pool = "thread",
    workers: int = 2,
    buffer_families: int = 4096,
    buffer_bytes: int = 1 << 30,
    neighbours: Embed | None = None,
    warm_up: int = 0,
    part: Part | None = None,
) -> Generator[Batch, None, None]:
    """The batches of one rank from ``start_step`` on, without end; closing the generator stops its threads and processes.

    Args:
        manifest: of the snapshot; its shards are a multiple of ``world``.
        needs: what the method asks for.
        batch_size: images of one rank in a step.
        pixels: how images are decoded and augmented.
        tokenize: texts to int64 [N, L], such as open_clip's tokenizer.
        seed: of everything drawn.
        rank: of ``world`` training processes.
        start_step: steps that were done before. Their row groups are read again since the epoch began, but nothing is decoded.
        reader: who reads the files.
        pool: Petastorm's. A process pool takes seconds to start, each epoch; "dummy" does all work in the caller's thread.
        workers: threads or processes that read, and threads that decode.
        buffer_families: families that the order is drawn from.
        buffer_bytes: of encoded images at which the buffer is full as well.
        neighbours: texts to vectors, for ``needs.neighbours`` and ``needs.mined``. It is called from another thread, for the
            epoch's texts as they come in; a resumed run draws the same batches only if it gives the same vectors.
        warm_up: steps over which the share of near neighbours grows to its full size.
        part: what to read in place of this rank's part of the snapshot, such as less than all of it.

    Raises:
        ValueError: what is asked for cannot be given.
        SnapshotError: a file is missing or of another size, there is nothing to train on, or (at an epoch's end) what was read
            differs from the manifest.
        ImageError: an image of the snapshot cannot be decoded.
    """
    check(needs, manifest)
    near = 1 - 1 / CLUSTER if needs.neighbours else needs.mined
    if near and neighbours is None:
        raise ValueError("batches of near neighbours need `neighbours`, a function from texts to vectors")
    part = part or Part.of(manifest, rank, world)
    size = epoch_images(part, needs)
    if not size:
        raise SnapshotError(f"snapshot {manifest.id}, part {rank} of {world}: no image has a text that is exact for it")
    # What the buffer would hold whole is read once, and then only put in another order each epoch.
    families, stored = (sum(getattr(file, name) for file in part.files) for name in ("families", "bytes"))
    held = Held() if families <= buffer_families and stored <= buffer_bytes else None
    embed = neighbours if near else None
    source = Source(part, needs, seed, reader, pool, workers, buffer_families, buffer_bytes, embed, held)

    def share(step: int) -> float:
        return near * min(1.0, (step + 1) / warm_up) if warm_up else near

    def make(picked: Picked) -> Batch:
        return collate(*picked, seed, pixels, tokenize, manifest.vocabulary)

    picks = picked(source, size, batch_size, start_step, share)
    return (make(one) for one in picks) if pool == "dummy" else ahead(picks, make, workers)


def epoch_images(part: Part, needs: Needs) -> int:
    """How many images are an epoch of a part."""
    return sum(len(usable(family, needs)) for family in part.narrow())


@dataclass(frozen=True)
class Source:
    """Where epochs come from."""

    part: Part
    needs: Needs
    seed: int
    reader: Reader
    pool: Pool
    workers: int
    buffer_families: int
    buffer_bytes: int
    neighbours: Embed | None
    held: Held | None = None

    def epoch(self, number: int) -> Buffer:
        """One epoch of chunks, to be drawn."""
        # The first shard is the rank: without it, ranks would draw alike.
        rng = drawn_from(self.seed, number, self.part.files[0].shard)
        families = self.part.read(rng.getrandbits(32), self.reader, self.pool, self.workers, self.held)
        arriving = (chunks(family, self.needs, self.seed, number) for family in families)
        return Buffer(arriving, rng, self.buffer_families, self.buffer_bytes, self.neighbours)


def picked(
    source: Source, size: int, batch_size: int, start_step: int, share: Callable[[int], float]
) -> Generator[Picked, None, None]:
    """The members of each batch from ``start_step`` on; ``size`` members are an epoch."""
    epoch = start_step * batch_size // size
    step, carried = divmod(epoch * size, batch_size)  # of the batch that this epoch begins in, the part that is of the one before
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


def ahead(things: Generator[Picked, None, None], make: Callable[[Picked], Batch], workers: int) -> Generator[Batch, None, None]:
    """``map(make, things)`` by threads that work ahead, in order; one thread takes the things."""
    one, many = ThreadPoolExecutor(1, "pick"), ThreadPoolExecutor(workers, "decode")
    ready: deque[Future[Batch]] = deque()
    try:
        while True:
            while len(ready) <= workers:
                thing = one.submit(next, things)
                ready.append(many.submit(_after, make, thing))
            yield ready.popleft().result()
    finally:
        one.shutdown(cancel_futures=True)
        many.shutdown(cancel_futures=True)
        things.close()


def _after(make: Callable[[Picked], Batch], thing: Future[Picked]) -> Batch:
    return make(thing.result())
