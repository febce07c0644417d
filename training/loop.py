"""Train a CLIP by one of the study's methods: one function that reads top to bottom, the same under every launcher.

    dualset train --root R --method powerset --model ViT-B-32 --checkpoint FILE --output DIR
    deepspeed --num_gpus 8 --module training.loop --snapshot S --output DIR --method powerset --zero 1
    torchrun --nproc_per_node 2 -m training.loop --snapshot S --output DIR --device cpu

A run is its folder: ``final`` and ``best`` are open_clip folders, ``checkpoints`` is what the same command resumes from,
``metrics.jsonl`` has a line a step, ``run.json`` the options and the budget, ``run.html`` the plot.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from training import checkpoint
from training.batch import Batch, Needs
from training.decode import Pixels
from training.engine import Engine, start_engine, start_processes, train_step, uses_bf16
from training.gather import reduced
from training.held_out import Kept, held_out_batch
from training.methods import make
from training.model import Model, State, build, export, gathered, interpolated, plain_state
from training.options import Options, OptionsError, learning_rate
from training.reader import batches as read_batches
from training.reader import epoch_images
from training.snapshot import Manifest, read_manifest
from training.track import Metrics, Spent, checksum, write_record
from training.validate import FAMILIES, ORIGINALS, Validation, Validator

Say = Callable[[str], None]


def train(options: Options, say: Say = print, progress: bool = False, validator: Validator | None = None) -> dict[str, Any]:
    """Train, or take up what the output folder has; returns the record that ``run.json`` holds, in every process.

    ``validator`` stands in for the validation on a snapshot.

    Raises:
        FloatingPointError: the loss is no number any more.
        OptionsError: options that do not go together, a model that is not there, or an output folder that is another run's.
        SnapshotError: the snapshot is damaged, or has nothing to train or validate on.
    """
    rank, world, device = start_processes(options)
    torch.manual_seed(options.seed)
    output, chief = Path(options.output), rank == 0
    manifest = read_manifest(options.snapshot)
    try:
        method = make(options.method, **options.method_options)
    except ValueError as problem:
        raise OptionsError(str(problem)) from None
    model = build(options, world)
    start = plain_state(model) if options.wise_ft < 1 else {}
    pixels = Pixels.of(model.network.visual, options.augment, options.flip)
    validation = (validator or _validation(options, manifest, model)) if options.eval_every else None
    neighbours = _embedder(options, device) if method.needs.neighbours or method.needs.mined else None

    engine = start_engine(model, method, options, device)
    run = f"{options.run_hash}-{manifest.id}-{model.version}"
    state = checkpoint.load(engine, output, run) or {"run": run, "step": 0, "spent": {}, "best": {}}
    first, spent, best = state["step"], Spent(**state["spent"]), state["best"]
    part = Kept.from_training(manifest, 0.0 if options.validation else options.held_out, rank, world)
    share = options.batch_size // world
    chosen: dict[str, Any] = options.model_dump(include={"seed", "reader", "pool", "workers", "buffer_families"})
    chosen |= {"neighbours": neighbours, "warm_up": options.warmup_neighbours, "rank": rank, "world": world, "start_step": first}
    try:
        batches = read_batches(
            manifest, method.needs, batch_size=share, pixels=pixels, tokenize=model.tokenize, part=part, **chosen
        )
    except ValueError as problem:
        raise OptionsError(f"method {options.method}: {problem}") from None
    epoch = int(reduced(torch.tensor(epoch_images(part, method.needs), device=device)))
    record: dict[str, Any] = {
        "run": run, "options": options.model_dump(), "snapshot": manifest.id, "model": model.version, "processes": world,
        "device": _device_name(device), "precision": "bf16" if uses_bf16(options, device) else "fp32",
        "epoch_images": epoch,
    }  # fmt: skip
    if chief:
        _banner(say, options, record, model, method.needs, first)
        output.mkdir(parents=True, exist_ok=True)
        write_record(output, record)
    metrics = Metrics.open(output, options, first) if chief else None

    began, cpu_began = time.perf_counter(), time.process_time()
    with closing(batches), _bar(options, first, progress and chief) as advance:
        for step in range(first, options.steps):
            batch = next(batches)
            loss = train_step(engine, batch, step)
            row: dict[str, Any] = {
                "step": step, "loss": loss.total.item(), "lr": learning_rate(options, step), "scale": engine.scale.item(),
                "parts": loss.parts, "counts": loss.counts, "ids": checksum(batch),
            }  # fmt: skip
            if row["loss"] != row["loss"]:
                raise FloatingPointError(f"the loss of step {step} is not a number")
            spent.add(*reduced(torch.tensor(_seen(batch), device=device)).tolist(), expected=options.batch_size)
            done, last = step + 1, step + 1 == options.steps
            if validation and (last or done % options.eval_every == 0):
                row["validation"] = validation.measure(engine)
                if not best or row["validation"]["score"] > best["score"]:
                    best = {"step": done, **row["validation"]}
                    _export(engine, start, output / "best", chief)
            if metrics:
                metrics.add(row)
            if last or (options.save_every and done % options.save_every == 0):
                now = (time.perf_counter(), time.process_time())
                spent.wall_seconds += now[0] - began
                spent.cpu_seconds += float(reduced(torch.tensor(now[1] - cpu_began, device=device)))
                began, cpu_began = now
                checkpoint.save(engine, output, done, {"run": run, "spent": vars(spent), "best": best}, options.keep)
            advance(row)

    _export(engine, start, output / "final", chief)
    engine.deepspeed.destroy()
    record |= {"budget": spent.budget(epoch, options.accumulation), "best": best}
    if metrics:
        from training.plots import write_plot

        metrics.close()
        write_record(output, record)
        write_plot(output)
        say("budget: " + ", ".join(f"{value:g} {name.replace('_', ' ')}" for name, value in record["budget"].items()))
        say(f"weights: {output / 'final'}" + (f", best at step {best['step']}: {output / 'best'}" if best else ""))
    return record


def _validation(options: Options, manifest: Manifest, model: Model) -> Validation:
    other = read_manifest(options.validation) if options.validation else manifest
    share = 1.0 if options.validation else options.held_out
    how = (options.validation_images, Pixels.of(model.network.visual, augment=False), model.tokenize)
    return Validation(held_out_batch(other, share, ORIGINALS, *how), held_out_batch(other, share, FAMILIES, *how))


def _embedder(options: Options, device: torch.device) -> Callable[[list[str]], Any]:
    """Texts to vectors by the weights that the run starts from: a resumed run finds the same neighbours."""
    model = build(options)
    network: Any = model.network.eval().to(device)

    def embed(texts: list[str]) -> Any:
        with torch.inference_mode():
            parts = [network.encode_text(model.tokenize(texts[at : at + 256]).to(device)) for at in range(0, len(texts), 256)]
        return torch.cat(parts).float().cpu().numpy()

    return embed


def _export(engine: Engine, start: State, folder: Path, chief: bool) -> None:
    with gathered(engine.model):
        state = plain_state(engine.model) if chief else {}
    if chief:
        share = engine.options.wise_ft
        export(engine.model, interpolated(start, state, share) if share < 1 else state, folder)
    dist.barrier()


def _seen(batch: Batch) -> list[int]:
    """Images, originals (with placebos, which stand for them) among them, and texts of this process's share."""
    return [len(batch.image_ids), sum(one.endswith(("/0", "/0p")) for one in batch.image_ids), len(batch.text_ids)]


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads a process"


def _banner(say: Say, options: Options, record: dict[str, Any], model: Model, needs: Needs, first: int) -> None:
    weights = {one: getattr(one, "ds_numel", one.numel()) / 1e6 for one in model.network.parameters()}  # ZeRO 3 holds a part
    trained, total = sum(size for one, size in weights.items() if one.requires_grad), sum(weights.values())
    where = f"{record['processes']} x {record['device']}, {record['precision']}, ZeRO {options.zero}"
    since = f", from step {first} on" if first else ""
    say(f"method {options.method}, snapshot {record['snapshot']}: {record['epoch_images']} images an epoch")
    say(f"model {options.model} ({model.version}): {trained:.2f} of {total:.2f} M weights trained")
    say(f"on {where}, {options.steps} steps{since}")
    say(f"a step: {options.batch_size} images of {needs.members} a family, {dict(needs.variants) or 'no'} variants an image")
    say(f"options: {options.differing()}")


@contextmanager
def _bar(options: Options, first: int, shown: bool) -> Iterator[Callable[[dict[str, Any]], None]]:
    if not shown:
        yield lambda row: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns) as bar:
        task = bar.add_task("", total=options.steps, completed=first)
        yield lambda row: bar.update(task, advance=1, description=f"loss {row['loss']:.4f}, scale {row['scale']:.1f}")


if __name__ == "__main__":
    from training.commands import main

    main()
