"""BLIP's image-text matching head (Li et al. 2022) as a judge: does this text describe this picture?"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from udfs import clock, images
from udfs.role import Failure, Row
from udfs.settings import RoleSettings
from udfs.weights import version_of


class ImageTextJudge:
    """Role: row {"image": bytes, "text": str} -> {"probability": float}, that image and text match.

    ``settings.judge.image_text`` is a folder or hub name that transformers' ``BlipForImageTextRetrieval`` can load.
    """

    def __init__(self, settings: RoleSettings, device: str) -> None:
        from transformers import BlipForImageTextRetrieval, BlipProcessor

        weights = settings.judge.image_text
        self._processor = BlipProcessor.from_pretrained(weights)
        self._model = BlipForImageTextRetrieval.from_pretrained(weights).eval().to(device)
        self._device, self._max_pixels = device, settings.ingest.max_pixels
        self.name, self.version = Path(weights).name, version_of(weights)

    def __call__(self, rows: Sequence[Row]) -> list[Row | Failure]:
        """Judge a batch. An image that cannot be decoded is a failure with the decoder's status."""
        decoded = images.decode_each((row["image"] for row in rows), self._max_pixels)
        good = [(item, row["text"]) for item, row in zip(decoded, rows, strict=True) if not isinstance(item, Failure)]
        probabilities = iter(self._judge(*zip(*good, strict=True)) if good else [])
        return [item if isinstance(item, Failure) else {"probability": next(probabilities)} for item in decoded]

    def _judge(self, pictures: Sequence[Any], texts: Sequence[str]) -> list[float]:
        import torch

        longest = self._model.config.text_config.max_position_embeddings
        clean = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        with clock.spend("model"), torch.inference_mode():
            inputs = self._processor(
                images=list(pictures),
                text=clean,
                padding=True,
                truncation=True,
                max_length=longest,
                return_tensors="pt",
            ).to(self._device)
            # The steps of the model's own forward, which would leave one attention mask on the CPU.
            seen = self._model.vision_model(pixel_values=inputs["pixel_values"])[0]
            read = self._model.text_encoder(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                encoder_hidden_states=seen,
                encoder_attention_mask=torch.ones(seen.shape[:2], dtype=torch.long, device=seen.device),
            )[0]
            return self._model.itm_head(read[:, 0]).softmax(1)[:, 1].float().cpu().tolist()
