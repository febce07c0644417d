"""Train the embedded CLIP: a small open_clip model, from scratch, on scenes and their captions.

    python -m training.embedded.train_clip --domain objects --size 64 --scenes 20000 --seed 1 --epochs 20 --output DIR

Renders scenes of the train split to memory, trains on the CPU and writes ``clip_<domain>.json`` (open_clip's config including the
preprocessing) and ``clip_<domain>.safetensors``. A scene has five captions; each visit draws one of them. Nothing is removed from
these scenes: the effect of removals is for the runs that start from this model.
"""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from jobs.scenes.seeds import check
from training.embedded import clip_scenes

if TYPE_CHECKING:
    import torch

CONTEXT = 32  # tokens; the longest caption of a scene has about as many

# CLIP's ResNet with attention pooling. Its batch norms are meant for this training only: freeze them for further training
# (open_clip.utils.freeze_batch_norm_2d). The text tower is narrow because open_clip's tokenizer has 49,408 tokens, and the file
# one row of this width for each.
NETWORK: dict[str, Any] = {
    "embed_dim": 64,
    "vision_cfg": {"layers": [1, 1, 1, 1], "width": 12, "head_width": 64, "image_size": 64},
    "text_cfg": {"context_length": CONTEXT, "vocab_size": 49408, "width": 60, "heads": 3, "layers": 3},
}
PREPROCESS: dict[str, Any] = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "interpolation": "bicubic"}
BATCH = 128
RATE, WARM, DECAY, BETAS, CLIP = 2e-3, 0.05, 0.1, (0.9, 0.98), 1.0  # WARM: share of the steps; CLIP: gradient norm
SHIFT, LIGHT = 3, 0.15  # augmentation: pixels; share of brightness and contrast
MOST_SCALE = 100.0  # largest scale of the logits, as in CLIP


def config(size: int) -> dict[str, Any]:
    """The config file: open_clip's ``model_cfg`` and ``preprocess_cfg``."""
    model = NETWORK | {"vision_cfg": NETWORK["vision_cfg"] | {"image_size": size}}
    return {"model_cfg": model, "preprocess_cfg": PREPROCESS | {"size": size, "resize_mode": "shortest"}}


def loss(images: "torch.Tensor", texts: "torch.Tensor", scale: "torch.Tensor", same: "torch.Tensor") -> "torch.Tensor":
    """Symmetric InfoNCE of a batch (Radford et al. 2021, figure 3).

    Args:
        images: unit vectors [b, d]; likewise ``texts``.
        scale: of the logits, a scalar.
        same: bool [b, b], pairs of different rows with identical texts, which are not negatives; its diagonal is false.
    """
    import torch
    from torch.nn.functional import cross_entropy

    logits = (scale * images @ texts.T).masked_fill(same, float("-inf"))
    target = torch.arange(len(logits))
    return (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2


def same_texts(tokens: "torch.Tensor") -> "torch.Tensor":
    """Which rows of [b, context] are equal, bool [b, b] with a false diagonal."""
    equal = (tokens[:, None] == tokens[None]).all(-1)
    return equal.fill_diagonal_(False)


def visits(count: int, epochs: int, seed: int) -> Iterator[tuple[int, Any, Any]]:
    """Yield (epoch, scenes [BATCH], caption of each [BATCH]): every scene once an epoch, without the incomplete last batch."""
    rng = np.random.default_rng(seed)
    for epoch in range(epochs):
        order, caption = rng.permutation(count), rng.integers(clip_scenes.CAPTIONS, size=count)
        for start in range(0, count - count % min(BATCH, count), BATCH):
            batch = order[start : start + BATCH]
            yield epoch, batch, caption[batch]


def changed(pictures: "torch.Tensor", rng: "torch.Generator") -> "torch.Tensor":
    """Augment pictures, uint8 [b, 3, s, s] to float32 in 0 to 1: a small shift, other light. Sides and colours do not change."""
    import torch
    from torch.nn.functional import pad

    count, _, side, _ = pictures.shape
    wide = pad(pictures.float() / 255, (SHIFT,) * 4, mode="reflect")
    down, right = torch.randint(0, 2 * SHIFT + 1, (2, count), generator=rng)
    rows, columns = down[:, None] + torch.arange(side), right[:, None] + torch.arange(side)
    moved = wide[torch.arange(count)[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    contrast, brightness = 1 + LIGHT * (2 * torch.rand((2, count, 1, 1, 1), generator=rng) - 1)
    middle = moved.mean((1, 2, 3), keepdim=True)
    return ((moved - middle) * contrast + middle * brightness).clamp(0, 1)


def train(pairs: clip_scenes.Pairs, tree: dict[str, Any], epochs: int, seed: int, report: Callable[[str], None]) -> Any:
    """Train a model from scratch and return it, in evaluation mode.

    Args:
        pairs: training data.
        tree: the config file's content.
        epochs: number of visits to every scene.
        seed: seed of weights, order, captions and augmentation.
        report: called with one progress line an epoch.
    """
    import open_clip
    import torch

    torch.manual_seed(seed)
    model = open_clip.model.CLIP(**tree["model_cfg"])
    model.visual.to(memory_format=torch.channels_last)  # 10% faster
    decayed = [p for name, p in model.named_parameters() if p.ndim > 1 and "embedding" not in name]
    free = [p for name, p in model.named_parameters() if p.ndim <= 1 or "embedding" in name]
    groups = [{"params": decayed, "weight_decay": DECAY}, {"params": free, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=BETAS, fused=True)
    steps = epochs * max(1, len(pairs.pictures) // BATCH)
    warm = max(1, round(WARM * steps))
    schedule = torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.LinearLR(optimizer, 1 / warm, 1.0, warm),
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps - warm), RATE / 100),
        ],
        [warm],
    )
    mean, std = (torch.tensor(tree["preprocess_cfg"][key]).view(3, 1, 1) for key in ("mean", "std"))
    rng = torch.Generator().manual_seed(seed)
    losses: list[float] = []
    started, cpu = time.perf_counter(), time.process_time()
    model.train()
    for step, (epoch, batch, caption) in enumerate(visits(len(pairs.pictures), epochs, seed), 1):
        tokens = torch.from_numpy(pairs.tokens[batch, caption]).long()
        pictures = (changed(torch.from_numpy(pairs.pictures[batch]), rng) - mean) / std
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        images, texts = model.encode_image(pictures, normalize=True), model.encode_text(tokens, normalize=True)
        value = loss(images, texts, model.logit_scale.exp(), same_texts(tokens))
        optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, float(np.log(MOST_SCALE)))
        losses.append(value.item())
        if step * epochs // steps > epoch:
            spent, cpu_step = time.perf_counter() - started, (time.process_time() - cpu) / step
            shown = f"loss {np.mean(losses):.3f}, scale {model.logit_scale.exp().item():.1f}"
            report(f"epoch {epoch + 1} of {epochs}, {step} steps, {spent:.0f} s ({cpu_step:.3f} CPU s a step): {shown}")
            losses.clear()
    return model.eval()


def state(model: Any, tokens: Any) -> dict[str, Any]:
    """The model's weights in half precision; embeddings of tokens that training never saw are set to zero."""
    import torch

    weights = model.state_dict().items()
    halved = {name: (value.half() if value.is_floating_point() else value).contiguous() for name, value in weights}
    used = torch.zeros(len(halved["token_embedding.weight"]), dtype=torch.bool)
    used[torch.from_numpy(np.unique(tokens)).long()] = True
    halved["token_embedding.weight"][~used] = 0
    return halved


def main(
    output: Annotated[Path, typer.Option(help="folder for config and weights")],
    domain: Annotated[str, typer.Option(help="a built-in domain or a definition file")] = "objects",
    size: Annotated[int, typer.Option(min=32, max=256, help="side of the model's pictures in pixels, a multiple of 32")] = 64,
    scenes: Annotated[int, typer.Option(min=2, help="number of training scenes, each with five captions")] = 20000,
    seed: Annotated[int, typer.Option(help="seed of scenes and training: 1 to 99")] = 1,
    epochs: Annotated[int, typer.Option(min=1, help="number of visits to each scene")] = 20,
    threads: Annotated[int, typer.Option(min=1, help="threads of torch, and rendering processes; 1 on a shared machine")] = 2,
) -> None:
    """Render scenes, train a CLIP on them, and write its config and weights."""
    import torch
    from safetensors.torch import save_file

    check(seed, "training")
    if size % 32:
        raise typer.BadParameter(f"size must be a multiple of 32, not {size}")
    output.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(threads)
    started = time.perf_counter()
    pairs = clip_scenes.make(domain, "train", seed, scenes, size, CONTEXT, threads)
    typer.echo(f"{scenes} scenes rendered in {time.perf_counter() - started:.0f} s")
    tree = config(size)
    model = train(pairs, tree, epochs, seed, typer.echo)
    name = f"clip_{Path(domain).stem}"
    (output / f"{name}.json").write_text(json.dumps(tree, indent=2) + "\n", encoding="utf-8")
    save_file(state(model, pairs.tokens), output / f"{name}.safetensors")
    typer.echo(f"{output / name}.safetensors: {(output / f'{name}.safetensors').stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    typer.run(main)
