"""YOLO by ultralytics, from any file that its backends load (TFLite, ONNX, TorchScript, OpenVINO, TensorRT, .pt).

Prefer exported formats: a ``.pt`` file is a pickle. It is read with ultralytics' safe loader, which makes objects of its own
model classes only. For weights that you trust, ``ULTRALYTICS_SAFE_LOAD=false`` in the environment unpickles anything.

The library's forward pass and suppression are called directly and not through its ``predict``, which sizes the letterbox by the
other pictures of the batch, drops the rest of a batch when suppression takes too long, and reports usage.
"""

import json
import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from udfs import clock, masks
from udfs.role import Failure
from udfs.segment.detection import Detection, DetectionRow
from udfs.settings import RoleSettings
from udfs.weights import version_of

NMS_IOU = 0.7  # ultralytics' own default


class Yolo:
    """Boxes, and masks where the weights have a mask head. Labels are the model's own class names.

    On the CPU pictures go through one at a time, elsewhere in batches padded to ``batch_size``: the detections in a picture must
    not depend on its neighbours, and floating-point sums depend on the shape of a batch.
    """

    def __init__(self, settings: RoleSettings, device: str, weights: str, outlines: bool) -> None:
        if not weights:
            raise ValueError("segmenter.weights is empty: give a local file of weights, --set segmenter.weights=FILE")
        if not Path(weights).exists():
            raise FileNotFoundError(f"YOLO weights must be a local file or folder; there is none at {weights!r}")
        self.name, self.version = Path(weights).name, version_of(weights)
        self._confidence, self._limit = settings.segmenter.confidence, settings.segmenter.max_instances
        _import_quietly(settings.spark.threads_per_task)
        import torch
        from ultralytics.nn.autobackend import AutoBackend

        self._model = AutoBackend(weights, device=torch.device(device), verbose=False).eval()
        backend = self._model.backend
        # Exports without metadata do not name their task, by which the outputs are read.
        backend.task = backend.task or getattr(backend.model, "task", None) or "segment"
        if backend.task not in ("segment", "detect"):
            raise ValueError(f"{self.name} is a YOLO for the task {backend.task}; its task must be detect or segment")
        if outlines and backend.task != "segment":
            raise ValueError(f"{self.name} gives no masks: use a YOLO-seg, or kind=sam with this file as box_weights")
        self._has_masks, self._outlines = backend.task == "segment", outlines
        # The backend's device, not ours: some formats run on the CPU only.
        self._batch_size = 1 if backend.device.type == "cpu" else settings.segmenter.batch_size
        side = -(-settings.segmenter.image_size // backend.stride) * backend.stride
        fixed = None if backend.dynamic else getattr(backend, "imgsz", None)
        self._shape = (int(fixed[0]), int(fixed[1])) if fixed else (side, side)
        self._labels = _labels(backend.names)

    @property
    def labels(self) -> tuple[str, ...]:
        """The model's class names, in its order."""
        return tuple(self._labels)

    def find(self, pictures: Sequence[np.ndarray], rows: Sequence[DetectionRow]) -> list[list[Detection] | Failure]:
        """Detect in each picture: boxes clipped to the picture, masks of its own size."""
        results: list[list[Detection] | Failure] = []
        for start in range(0, len(pictures), self._batch_size):
            batch = pictures[start : start + self._batch_size]
            with clock.spend("model"):
                detections, prototypes = self._forward(batch)
            for number, picture in enumerate(batch):
                prototype = prototypes[number] if self._outlines else None
                results.append(list(self._assemble(picture, detections[number], prototype)))
        return results

    def _forward(self, pictures: Sequence[np.ndarray]) -> tuple[list[Any], Any]:
        """Return each picture's detections [n, 6 + coefficients] in letterbox pixels, and mask prototypes."""
        import torch
        from ultralytics.data.augment import LetterBox
        from ultralytics.utils import nms

        letterbox = LetterBox(self._shape, auto=False)
        batch = np.zeros((self._batch_size, *self._shape, 3), np.uint8)
        for number, picture in enumerate(pictures):
            batch[number] = letterbox(image=picture)
        with torch.inference_mode():
            pixels = torch.from_numpy(batch).to(self._model.device).permute(0, 3, 1, 2).contiguous()
            output = self._model(pixels.float() / 255)
            prototypes = None
            if isinstance(output, (list, tuple)) and isinstance(output[0], (list, tuple)):
                output = output[0]  # torch models return ((detections, prototypes), training output)
            if isinstance(output, (list, tuple)):
                output, prototypes = output[0], output[1] if self._has_masks else None
            # One picture at a time: suppression has a time limit for a batch, and drops the rest of it then.
            kept = [
                nms.non_max_suppression(
                    output[number : number + 1],
                    self._confidence,
                    NMS_IOU,
                    max_det=self._limit,
                    nc=len(self._labels),
                    end2end=self._model.end2end,
                )[0]
                for number in range(len(pictures))
            ]
        return kept, prototypes

    def _assemble(self, picture: np.ndarray, detections: Any, prototype: Any) -> Iterator[Detection]:
        from ultralytics.utils import ops

        size = (picture.shape[0], picture.shape[1])
        boxes = ops.scale_boxes(self._shape, detections[:, :4].clone(), size).tolist()
        logits: Any = [None] * len(boxes)
        if self._outlines:
            logits = (detections[:, 6:] @ prototype.float().flatten(1)).unflatten(1, prototype.shape[1:]).cpu().numpy()
        for box, (score, label), logit in zip(boxes, detections[:, 4:6].tolist(), logits, strict=True):
            with clock.spend("encode"):
                rle = None if logit is None else masks.to_rle(draw_mask(logit, box, size, self._shape))
            yield Detection(self._labels[int(label)], score, tuple(box), rle)


def draw_mask(logit: np.ndarray, box: Sequence[float], size: tuple[int, int], letterbox: tuple[int, int]) -> np.ndarray:
    """Draw the mask of one instance, bool [H, W]: where its logits, resampled to the image's ``size``, are over 0 inside its box.

    Args:
        logit: float32 [h, w], the mask head's output for the whole letterbox.
        box: left, top, right, bottom in pixels of the image.
        size: the image's height and width.
        letterbox: height and width of the letterbox, in which the image lies scaled, in its own proportions, and centred.

    Only the pixels in the box are resampled: resampling whole images, as ultralytics does, took as long as the model.
    """
    gain = min(letterbox[0] / size[0], letterbox[1] / size[1])
    left, top = max(int(box[0]), 0), max(int(box[1]), 0)
    right, bottom = min(math.ceil(box[2]), size[1]), min(math.ceil(box[3]), size[0])
    mask = np.zeros(size, np.bool_)
    if right <= left or bottom <= top:
        return mask
    transforms = []  # scale and offset of each axis
    for axis, first in ((1, left), (0, top)):
        inside = max(round(size[axis] * gain), 1)
        pad = round((letterbox[axis] - inside) / 2 - 0.1)
        to_logit = logit.shape[axis] / letterbox[axis]
        scale = inside / size[axis] * to_logit
        # From the centre of a pixel in the box to the centre of a logit.
        transforms.append((scale, (first + 0.5) * scale + pad * to_logit - 0.5))
    (scale_x, offset_x), (scale_y, offset_y) = transforms
    matrix = np.array([[scale_x, 0, offset_x], [0, scale_y, offset_y]])
    drawn = cv2.warpAffine(
        logit,
        matrix,
        (right - left, bottom - top),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    mask[top:bottom, left:right] = drawn > 0
    return mask


def _labels(names: dict[int, str]) -> list[str]:
    """Return the model's class names in order; COCO's where the model has only placeholders."""
    labels = [names[index] for index in sorted(names)]
    if all(label == f"class{index}" for index, label in enumerate(labels)):
        from udfs.captions import lexicon

        coco = list(lexicon.labels())
        return coco + labels[len(coco) :]
    return labels


TRACKERS = ("clearml", "comet", "dvc", "mlflow", "raytune", "tensorboard", "wandb")


def _import_quietly(threads: int) -> None:
    """Import ultralytics so that it installs nothing, sends nothing and leaves no settings behind."""
    os.environ.update(YOLO_AUTOINSTALL="false", YOLO_OFFLINE="true", YOLO_VERBOSE="false")
    os.environ.setdefault("ULTRALYTICS_SAFE_LOAD", "true")
    # It reads and writes its settings during the import, and never again.
    with tempfile.TemporaryDirectory() as folder:
        os.environ["YOLO_CONFIG_DIR"] = folder
        settings = Path(folder) / "Ultralytics" / "settings.json"
        settings.parent.mkdir()
        # Otherwise it would report to every tracker that happens to be installed.
        settings.write_text(json.dumps({"sync": False} | dict.fromkeys(TRACKERS, False)))
        import torchvision  # noqa: F401  (imported before, it does the suppression; ultralytics' own is slower)
        from ultralytics.nn.backends import litert
    litert.NUM_THREADS = threads  # by default all cores but one, up to eight; read when an interpreter is created
