"""A language model inside the worker: any instruct model that transformers loads, with batched greedy decoding.

All prompts of a task share a prefix: the system text and the examples. It is encoded once. Every batch starts from a copy of
its key-value cache, so a caption costs its own few tokens and not the prefix's few hundred.

A row of a batch is laid out as ``prefix | padding | rest``. Padding is masked and has no position, so a reply depends on its
own prompt only, up to rounding: masked zeros in sums and kernels chosen by batch size move float32 logits by about 1e-5,
which changes a reply only if two tokens tie to that many digits. In bfloat16 they tie to two or three digits, and the batch
size changed 4 to 6 of 24 replies of a small model: float32 is the default.
"""

import hashlib
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from udfs import clock
from udfs.language.gguf import local_model
from udfs.role import Failure

if TYPE_CHECKING:
    import torch

    from udfs.language.settings import LanguageModel

_USER = "@@THE USER'S MESSAGE@@"
# Weights in use, so that a rewriter and a judge share one copy. Unused weights are not kept.
_loaded: "weakref.WeakValueDictionary[tuple[str, str, str], torch.nn.Module]" = weakref.WeakValueDictionary()
# The chat template for models that have none.
_PLAIN = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}\n{% elif m.role == 'user' %}\nInput: {{ m.content }}\n"
    "{% else %}Output: {{ m.content }}{{ eos_token }}\n{% endif %}{% endfor %}Output:"
)
# ``choose`` has an answer only if the options' first tokens have at least this total probability.
_MIN_SHARE = 0.1


class TransformersModel:
    """Greedy replies of a causal language model; see ``udfs.language.model.Model``."""

    def __init__(self, settings: "LanguageModel", device: str, system: str, examples: Sequence[tuple[str, str]]) -> None:
        """Load the weights (safetensors only, no code of the model's own) and lay out the prefix."""
        from transformers import AutoTokenizer
        from transformers.utils import logging

        if not settings.model:
            raise ValueError("kind transformers needs model: a folder, a GGUF file, smollm2 or a hub name")
        logging.disable_progress_bar()
        source = local_model(settings.model)
        self.settings, self.device = settings, device
        self.tokenizer = AutoTokenizer.from_pretrained(source)
        self.model: Any = _weights(source, settings.dtype, device)
        self.name = Path(settings.model).stem if Path(settings.model).exists() else settings.model
        self.version = _version(source, self.model.config)
        self.parameters: int | None = sum(tensor.numel() for tensor in self.model.parameters())
        self.ends = _end_tokens(self.model, self.tokenizer)
        head, self.tail = self._frame(system, examples)
        self.prefix: list[int] = self.tokenizer(head, add_special_tokens=False).input_ids
        self.cache: Any = None  # of the prefix, batch size 1; made by the first batch

    def __call__(self, prompts: Sequence[str]) -> list[str | Failure]:
        """One reply per user message, in order."""
        import torch

        results: list[str | Failure] = [Failure("prompt_too_long", "longer than the model's context")] * len(prompts)
        with clock.spend("model"), torch.inference_mode():
            for members, rests in self._batches(prompts):
                for place, tokens in zip(members, self._generate(rests), strict=True):
                    results[place] = str(self.tokenizer.decode(tokens, skip_special_tokens=True)).strip()
        return results

    def choose(self, prompts: Sequence[str], options: Sequence[str]) -> list[str | None | Failure]:
        """The option with the most probable first token; None if all options together have less than a tenth."""
        import torch

        firsts = [self.tokenizer(option, add_special_tokens=False).input_ids[0] for option in options]
        if len(set(firsts)) < len(options):
            raise ValueError(f"the options {list(options)} begin with the same token")
        results: list[str | None | Failure] = [Failure("prompt_too_long", "longer than the model's context")] * len(prompts)
        with clock.spend("model"), torch.inference_mode():
            for members, rests in self._batches(prompts):
                logits, _, _ = self._start(rests)
                shares = logits.float().softmax(dim=-1)[:, firsts].cpu()
                for place, share in zip(members, shares, strict=True):
                    sure = float(share.sum()) >= _MIN_SHARE
                    results[place] = options[int(share.argmax())] if sure else None
        return results

    def _batches(self, prompts: Sequence[str]) -> Iterator[tuple[list[int], list[list[int]]]]:
        """Batches of (indices, token lists), sorted by length to keep padding short."""
        rests = [self._rest(prompt) for prompt in prompts]
        room = getattr(self.model.config, "max_position_embeddings", 1 << 30)
        room -= len(self.prefix) + self.settings.max_new_tokens
        order = sorted((i for i in range(len(rests)) if len(rests[i]) <= room), key=lambda i: (len(rests[i]), i))
        for start in range(0, len(order), self.settings.batch_size):
            members = order[start : start + self.settings.batch_size]
            yield members, [rests[i] for i in members]

    def _rest(self, prompt: str) -> list[int]:
        # Control tokens written in a prompt are split into plain text, so it cannot end its own turn.
        user = self.tokenizer(prompt, add_special_tokens=False, split_special_tokens=True).input_ids
        tail: list[int] = self.tokenizer(self.tail, add_special_tokens=False, split_special_tokens=False).input_ids
        return list(user) + tail

    def _frame(self, system: str, examples: Sequence[tuple[str, str]]) -> tuple[str, str]:
        """The text that the chat template puts before and after the user's message."""
        from jinja2 import TemplateError

        turns = [
            {"role": role, "content": text}
            for example in examples
            for role, text in zip(("user", "assistant"), example, strict=True)
        ]
        turns.append({"role": "user", "content": _USER})
        template = None if self.tokenizer.chat_template else _PLAIN
        try:
            text = self._render([{"role": "system", "content": system}, *turns], template)
        except TemplateError:  # some formats have no system turn: put the text before the first message
            turns[0] = {"role": "user", "content": f"{system}\n\n{turns[0]['content']}"}
            text = self._render(turns, template)
        head, marker, tail = text.partition(_USER)
        if not marker:
            raise ValueError("the model's chat template drops the user's message; use an instruct model")
        return head, tail

    def _render(self, turns: list[dict[str, str]], template: str | None) -> str:
        return str(self.tokenizer.apply_chat_template(turns, chat_template=template, tokenize=False, add_generation_prompt=True))

    def _start(self, rests: list[list[int]]) -> "tuple[torch.Tensor, Any, torch.Tensor]":
        """Encode a batch: next-token logits [B, V], its cache, and the attention mask [B, prefix + longest rest]."""
        import torch
        from transformers import DynamicCache

        longest = max(map(len, rests))
        padded = [[self.ends[0]] * (longest - len(rest)) + rest for rest in rests]
        tokens = torch.tensor(padded, device=self.device)
        lengths = torch.tensor([len(rest) for rest in rests], device=self.device)
        shown = torch.arange(longest, device=self.device) >= longest - lengths[:, None]
        before = torch.ones(len(rests), len(self.prefix), dtype=torch.bool, device=self.device)
        mask = torch.cat([before, shown], dim=1)
        if self.settings.prefix_cache:
            cache = self._prefix_cache(len(rests))
        else:
            cache = DynamicCache(config=self.model.config)
            prefix = torch.tensor([self.prefix], device=self.device).expand(len(rests), -1)
            tokens = torch.cat([prefix, tokens], dim=1)
        return self._step(tokens, mask, cache), cache, mask

    def _step(self, tokens: "torch.Tensor", mask: "torch.Tensor", cache: Any) -> "torch.Tensor":
        positions = (mask.long().cumsum(dim=1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
        output = self.model(
            input_ids=tokens,
            attention_mask=mask.long(),
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: torch.Tensor = output.logits[:, -1]
        return logits

    def _prefix_cache(self, rows: int) -> Any:
        import copy

        import torch
        from transformers import DynamicCache

        if self.cache is None:
            self.cache = DynamicCache(config=self.model.config)
            tokens = torch.tensor([self.prefix], device=self.device)
            self._step(tokens, torch.ones_like(tokens), self.cache)
        cache = copy.deepcopy(self.cache)
        cache.batch_repeat_interleave(rows)
        return cache

    def _generate(self, rests: list[list[int]]) -> list[list[int]]:
        """Greedy replies as token lists, without the end token. A finished row leaves the batch."""
        import torch

        logits, cache, mask = self._start(rests)
        replies: list[list[int]] = [[] for _ in rests]
        rows = list(range(len(rests)))
        for _ in range(self.settings.max_new_tokens):
            picked = logits.argmax(dim=-1)
            tokens = picked.tolist()
            alive = [i for i, token in enumerate(tokens) if token not in self.ends]
            for i in alive:
                replies[rows[i]].append(tokens[i])
            if not alive:
                break
            if len(alive) < len(rows):
                kept = torch.tensor(alive, device=self.device)
                cache.batch_select_indices(kept)
                mask, picked, rows = mask[kept], picked[kept], [rows[i] for i in alive]
            mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
            logits = self._step(picked[:, None], mask, cache)
        return replies


def _weights(source: str, dtype: str, device: str) -> "torch.nn.Module":
    import torch
    from transformers import AutoModelForCausalLM

    key = (source, dtype, device)
    model = _loaded.get(key)
    if model is None:
        model = AutoModelForCausalLM.from_pretrained(source, dtype=getattr(torch, dtype), use_safetensors=True)
        model.eval().requires_grad_(False).to(device)
        _loaded[key] = model
    return model


def _end_tokens(model: Any, tokenizer: Any) -> list[int]:
    ends = model.generation_config.eos_token_id
    listed = ends if isinstance(ends, list) else [ends]
    distinct = dict.fromkeys(token for token in [*listed, tokenizer.eos_token_id] if token is not None)
    if not distinct:
        raise ValueError("neither the model nor its tokenizer has an end token; use an instruct model")
    return list(distinct)


def _version(source: str, config: Any) -> str:
    """Sixteen hex digits over a folder's files (size, and 64 KiB at 64 evenly spaced offsets of each), or the hub's commit."""
    folder = Path(source)
    if not folder.is_dir():
        return str(getattr(config, "_commit_hash", None) or "unknown")
    digest = hashlib.sha256()
    for file in sorted([*folder.glob("*.json"), *folder.glob("*.jinja"), *folder.glob("*.safetensors")]):
        size = file.stat().st_size
        digest.update(f"{file.name} {size}".encode())
        with file.open("rb") as stream:
            for place in range(64):
                stream.seek(place * size // 64)
                digest.update(stream.read(65536))
    return digest.hexdigest()[:16]
