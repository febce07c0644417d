"""Train a CLIP with one of the methods: one function that reads top to bottom and is the same under every launcher.

    dualset train --root R --method powerset --model ViT-B-32 --checkpoint FILE --output DIR
    deepspeed --num_gpus 8 --module training.loop --snapshot S --output DIR --method powerset --zero 1
    torchrun --nproc_per_node 2 -m training.loop --snapshot S --output DIR --device cpu

A run is a folder. ``final`` and ``best`` are open_clip folders; the same command resumes from ``checkpoints``; ``metrics.jsonl``
has one line per step, ``run.json`` the options and the budget, ``run.html`` the plot.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from jobs.snapshot.manifest import Manifest, read_manifest
from training import checkpoint
from training.data.batch import Batch, Needs
from training.data.held_out import Split, held_out_batch
from training.data.reader import ReadOptions, epoch_images
from training.data.reader import batches as read_batches
from training.engine import Engine, start_engine, start_processes, train_step, uses_bf16
from training.gather import reduced
from training.methods import make
from training.model import Model, State, build, export, gathered, interpolated, plain_state
from training.options import Options, OptionsError, learning_rate
from training.track import Metrics, MetricsRow, RunRecord, Spent, checksum, write_record
from training.validate import FAMILIES, ORIGINALS, Validation, Validator

Log = Callable[[str], None]


def train(options: Options, log: Log = print, progress: bool = False, validator: Validator | None = None) -> RunRecord:
    """Train, or resume the run in the output folder. Returns the content of ``run.json``, in every process.

    ``validator`` replaces the validation on a snapshot.

    Raises:
        FloatingPointError: the loss is NaN.
        OptionsError: options conflict, the model does not exist, or the output folder belongs to another run.
        SnapshotError: the snapshot is damaged, or has nothing to train or validate on.
    """
    rank, world, device = start_processes(options)
    torch.manual_seed(options.seed)
    output, is_first = Path(options.output), rank == 0
    manifest = read_manifest(options.snapshot)
    try:
        method = make(options.method, **options.method_options)
    except ValueError as problem:
        raise OptionsError(str(problem)) from None
    model = build(options, world)
    start = plain_state(model) if options.wise_ft < 1 else {}
    pixels = replace(model.pixels, augment=options.augment, flip=options.flip)
    validation = (validator or _validation(options, manifest, model)) if options.eval_every else None
    neighbours = _embedder(options, device) if method.needs.neighbours or method.needs.mined else None

    engine = start_engine(model, method, options, device)
    run = f"{options.run_hash}-{manifest.id}-{model.version}"
    state = checkpoint.load(engine, output, run) or checkpoint.RunState(run=run, step=0, spent={}, best={})
    first, spent, best = state["step"], Spent(**state["spent"]), state["best"]
    part = Split.training(manifest, 0.0 if options.validation else options.held_out, rank, world)
    reading = ReadOptions(
        batch_size=options.batch_size // world, seed=options.seed, rank=rank, world=world, start_step=first,
        reader=options.reader, pool=options.pool, workers=options.workers, buffer_families=options.buffer_families,
        warm_up=options.warmup_neighbours,
    )  # fmt: skip
    try:
        batches = read_batches(
            manifest, method.needs, reading, pixels=pixels, tokenize=model.tokenize, neighbours=neighbours, part=part
        )
    except ValueError as problem:
        raise OptionsError(f"method {options.method}: {problem}") from None
    epoch = int(reduced(torch.tensor(epoch_images(part, method.needs), device=device)))
    record: RunRecord = {
        "run": run, "options": options.model_dump(), "snapshot": manifest.id, "model": model.version, "processes": world,
        "device": _device_name(device), "precision": "bf16" if uses_bf16(options, device) else "fp32",
        "epoch_images": epoch,
    }  # fmt: skip
    if is_first:
        _banner(log, options, record, model, method.needs, first)
        output.mkdir(parents=True, exist_ok=True)
        write_record(output, record)
    metrics = Metrics.open(output, options, first) if is_first else None

    began, cpu_began = time.perf_counter(), time.process_time()
    with closing(batches), _bar(options, first, progress and is_first) as advance:
        for step in range(first, options.steps):
            batch = next(batches)
            loss = train_step(engine, batch, step)
            row: MetricsRow = {
                "step": step, "loss": loss.total.item(), "lr": learning_rate(options, step), "scale": engine.scale.item(),
                "parts": loss.parts, "counts": loss.counts, "ids": checksum(batch),
            }  # fmt: skip
            if math.isnan(row["loss"]):
                raise FloatingPointError(f"the loss of step {step} is not a number")
            spent.add(*reduced(torch.tensor(_sizes(batch), device=device)).tolist(), expected=options.batch_size)
            completed, last = step + 1, step + 1 == options.steps
            if validation and (last or completed % options.eval_every == 0):
                row["validation"] = validation.measure(engine)
                if not best or row["validation"]["score"] > best["score"]:
                    best = {"step": completed, **row["validation"]}
                    _export(engine, start, output / "best", is_first)
            if metrics:
                metrics.add(row)
            if last or (options.save_every and completed % options.save_every == 0):
                now = (time.perf_counter(), time.process_time())
                spent.wall_seconds += now[0] - began
                spent.cpu_seconds += float(reduced(torch.tensor(now[1] - cpu_began, device=device)))
                began, cpu_began = now
                state = checkpoint.RunState(run=run, step=completed, spent=vars(spent), best=best)
                checkpoint.save(engine, output, state, options.keep)
            advance(row)

    _export(engine, start, output / "final", is_first)
    engine.deepspeed.destroy()
    record["budget"], record["best"] = spent.budget(epoch, options.accumulation), best
    if metrics:
        from training.plots import write_plot

        metrics.close()
        write_record(output, record)
        write_plot(output)
        log("budget: " + ", ".join(f"{value:g} {name.replace('_', ' ')}" for name, value in record["budget"].items()))
        log(f"weights: {output / 'final'}" + (f", best at step {best['step']}: {output / 'best'}" if best else ""))
    return record


def _validation(options: Options, manifest: Manifest, model: Model) -> Validation:
    snapshot = read_manifest(options.validation) if options.validation else manifest
    share = 1.0 if options.validation else options.held_out
    originals, families = (
        held_out_batch(snapshot, share, needs, options.validation_images, model.pixels, model.tokenize)
        for needs in (ORIGINALS, FAMILIES)
    )
    return Validation(originals, families)


def _embedder(options: Options, device: torch.device) -> Callable[[list[str]], Any]:
    """A function from texts to vectors with the run's start weights, so that a resumed run gets the same neighbours."""
    model = build(options)
    network: Any = model.network.eval().to(device)

    def embed(texts: list[str]) -> Any:
        with torch.inference_mode():
            parts = [network.encode_text(model.tokenize(texts[at : at + 256]).to(device)) for at in range(0, len(texts), 256)]
        return torch.cat(parts).float().cpu().numpy()

    return embed


def _export(engine: Engine, start: State, folder: Path, is_first: bool) -> None:
    with gathered(engine.model):
        state = plain_state(engine.model) if is_first else {}
    if is_first:
        share = engine.options.wise_ft
        export(engine.model, interpolated(start, state, share) if share < 1 else state, folder)
    dist.barrier()


def _sizes(batch: Batch) -> list[int]:
    """The numbers of images, of originals among them (placebos count as originals) and of texts in this process's share."""
    originals = sum(image_id.endswith(("/0", "/0p")) for image_id in batch.image_ids)
    return [len(batch.image_ids), originals, len(batch.text_ids)]


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads per process"


def _banner(log: Log, options: Options, record: RunRecord, model: Model, needs: Needs, first: int) -> None:
    parameters = list(model.network.parameters())
    sizes = [
        getattr(parameter, "ds_numel", parameter.numel()) / 1e6 for parameter in parameters
    ]  # with ZeRO 3 a process holds only a part
    trained = sum(size for size, parameter in zip(sizes, parameters, strict=True) if parameter.requires_grad)
    hardware = f"{record['processes']} x {record['device']}, {record['precision']}, ZeRO {options.zero}"
    since = f", from step {first} on" if first else ""
    log(f"method {options.method}, snapshot {record['snapshot']}: {record['epoch_images']} images per epoch")
    log(f"model {options.model} ({model.version}): {trained:.2f} of {sum(sizes):.2f} M weights trained")
    log(f"{options.steps} steps on {hardware}{since}")
    variants = ", ".join(f"{count} {kind}" for kind, count in needs.variants) or "none"
    log(f"per step: {options.batch_size} images, {needs.members} of a family; variants per image: {variants}")
    log(f"options: {options.differing()}")


@contextmanager
def _bar(options: Options, first: int, shown: bool) -> Iterator[Callable[[MetricsRow], None]]:
    if not shown:
        yield lambda row: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns) as bar:
        task = bar.add_task("", total=options.steps, completed=first)
        yield lambda row: bar.update(task, advance=1, description=f"loss {row['loss']:.4f}, scale {row['scale']:.1f}")


if __name__ == "__main__":
    from training.command_line import launch

    launch(train)
