"""Tiny random models in the real formats, saved to a folder: the code that loads them is the code that loads real ones."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from udfs import images
from udfs.captions import lexicon
from udfs.codec import CodecSettings

WORDS = (*("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "a", "on"), *("person", "dog", "cat", "hot", "teddy", "bear"))


def picture(height: int = 48, width: int = 64, seed: int = 0) -> bytes:
    """A PNG of a coloured disc on smooth noise."""
    noise = np.random.default_rng(seed).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    rgb = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    cv2.circle(rgb, (width // 3, height // 2), min(height, width) // 4, (220, 40, 40), -1)
    return images.encode(rgb, CodecSettings(format="png"))


def yolo_checkpoint(folder: Path, seed: int = 0) -> str:
    """A .pt file as ultralytics' trainer writes it, of YOLOv8n-seg with random weights."""
    from udfs.segment.yolo import _import_quietly

    _import_quietly(threads=1)
    from ultralytics.nn.tasks import SegmentationModel

    torch.manual_seed(seed)
    model = SegmentationModel("yolov8n-seg.yaml", nc=4, verbose=False)
    model.names = {0: "person", 1: "dog", 2: "cat", 3: "banana"}
    torch.save({"model": model, "train_args": {"task": "segment"}}, folder / "yolo.pt")
    return str(folder / "yolo.pt")


def sam_folder(folder: Path) -> str:
    """SAM with one layer of width 32 and 64-pixel images."""
    from transformers import SamConfig, SamImageProcessor, SamModel, SamProcessor

    torch.manual_seed(0)
    vision = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "output_channels": 16}
    vision |= {"image_size": 64, "patch_size": 16, "window_size": 2, "num_pos_feats": 8, "mlp_dim": 32}
    prompt = {"hidden_size": 16, "image_size": 64, "patch_size": 16, "mask_input_channels": 4, "image_embedding_size": 4}
    decoder = {"hidden_size": 16, "mlp_dim": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    decoder |= {"iou_head_hidden_dim": 16}
    config = SamConfig(
        vision_config=vision | {"global_attn_indexes": [0]}, prompt_encoder_config=prompt, mask_decoder_config=decoder
    )
    SamModel(config).save_pretrained(folder)
    sizes = {"size": {"longest_edge": 64}, "pad_size": {"height": 64, "width": 64}}
    sizes |= {"mask_size": {"longest_edge": 16}, "mask_pad_size": {"height": 16, "width": 16}}
    SamProcessor(SamImageProcessor(**sizes)).save_pretrained(folder)
    return str(folder)


def dino_folder(folder: Path, phrases: Iterable[str] = (), side: int = 64) -> str:
    """Grounding DINO of width 32 whose text encoder takes 64 tokens. It knows the words of all labels and of the phrases.

    ``side`` is the shorter one that it gets pictures in: more than 64 pixels for square ones, as its coarsest level would be one
    pixel, which is too little for its norm.
    """
    from transformers import (
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessor,
        GroundingDinoProcessor,
        SwinConfig,
    )

    torch.manual_seed(0)
    tokenizer = bert_tokenizer(folder, [*lexicon.labels(), *phrases])
    swin = {"image_size": 64, "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2], "window_size": 4}
    text = {"model_type": "bert", "vocab_size": len(tokenizer), "hidden_size": 32, "num_hidden_layers": 1}
    text |= {"num_attention_heads": 2, "intermediate_size": 32}
    sizes = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 2, "num_queries": 12, "encoder_ffn_dim": 32}
    sizes |= {"decoder_ffn_dim": 32, "encoder_attention_heads": 2, "decoder_attention_heads": 2, "max_text_len": 64}
    config = GroundingDinoConfig(backbone_config=SwinConfig(**swin, out_indices=[2, 3, 4]), text_config=text, **sizes)
    GroundingDinoForObjectDetection(config).save_pretrained(folder)
    processor = GroundingDinoImageProcessor(size={"shortest_edge": side, "longest_edge": side * 3 // 2})
    GroundingDinoProcessor(processor, tokenizer).save_pretrained(folder)
    return str(folder)


def owl_folder(folder: Path) -> str:
    """OWLv2 of width 32 that reads letters."""
    from transformers import CLIPTokenizer, Owlv2Config, Owlv2ForObjectDetection, Owlv2ImageProcessor, Owlv2Processor

    torch.manual_seed(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: place for place, token in enumerate(vocabulary)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"), model_max_length=32)
    layers = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = layers | {"vocab_size": len(vocabulary), "max_position_embeddings": 32, "pad_token_id": 0}
    text |= {"bos_token_id": len(vocabulary) - 2, "eos_token_id": len(vocabulary) - 1}
    vision = layers | {"image_size": 64, "patch_size": 16}
    model = Owlv2ForObjectDetection(Owlv2Config(text_config=text, vision_config=vision, projection_dim=32))
    model.save_pretrained(folder)
    Owlv2Processor(Owlv2ImageProcessor(size={"height": 64, "width": 64}), tokenizer).save_pretrained(folder)
    return str(folder)


def bert_tokenizer(folder: Path, phrases: Iterable[str] = ()) -> Any:
    """A word-piece tokenizer that knows ``WORDS`` and the words of the phrases."""
    from transformers import BertTokenizer

    vocabulary = dict.fromkeys([*WORDS, *(word for phrase in phrases for word in phrase.split())])
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    return BertTokenizer(vocab=str(folder / "vocab.txt"))


def clip_files(folder: Path) -> tuple[str, str]:
    """A config file and a safetensors checkpoint of a two-layer CLIP that embeds into 16 numbers."""
    import json

    import open_clip
    from safetensors.torch import save_file

    layers = {"width": 32, "layers": 2}
    config = {"embed_dim": 16, "vision_cfg": layers | {"image_size": 32, "patch_size": 16, "head_width": 16}}
    config["text_cfg"] = layers | {"context_length": 77, "vocab_size": 49408, "heads": 2}
    (folder / "tiny-clip.json").write_text(json.dumps(config), encoding="utf-8")
    torch.manual_seed(0)
    save_file(open_clip.model.CLIP(**config).state_dict(), folder / "tiny-clip.safetensors")
    return str(folder / "tiny-clip.json"), str(folder / "tiny-clip.safetensors")
