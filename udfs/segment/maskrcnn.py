"""Mask R-CNN (He et al. 2017, ResNet-50-FPN) from torchvision, with weights from a local state dict."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from udfs import clock, images, masks
from udfs.role import Failure
from udfs.segment.detection import Detection, DetectionRow
from udfs.settings import RoleSettings
from udfs.weights import load_state_dict, version_of


class MaskRcnn:
    """torchvision's ``maskrcnn_resnet50_fpn`` with COCO's 91 category ids.

    Pictures go through one at a time: in a batch the model pads them to the largest picture, which changes its detections.
    """

    def __init__(self, settings: RoleSettings, device: str, outlines: bool) -> None:
        import torch
        from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights, maskrcnn_resnet50_fpn

        weights, self._side = settings.segmenter.weights, settings.segmenter.image_size
        state = load_state_dict(weights)
        model = maskrcnn_resnet50_fpn(
            weights=None,
            weights_backbone=None,
            num_classes=state["roi_heads.box_predictor.cls_score.weight"].shape[0],
            max_size=self._side,
            min_size=self._side * 3 // 5,  # torchvision's own proportion, 800 to 1333
            box_score_thresh=settings.segmenter.confidence,
            box_detections_per_img=settings.segmenter.max_instances,
        )
        model.load_state_dict(state)
        if not outlines:
            model.roi_heads.mask_roi_pool = None  # only boxes: torchvision then skips the mask branch
        self._model, self._device, self._outlines = model.eval().to(device), torch.device(device), outlines
        # The class names come with torchvision's description of the published weights; nothing is downloaded for them.
        self._labels = MaskRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
        self.name, self.version = f"maskrcnn_resnet50_fpn {Path(weights).name}", version_of(weights)

    def find(self, pictures: Sequence[np.ndarray], rows: Sequence[DetectionRow]) -> list[list[Detection] | Failure]:
        """Detect in each picture: boxes clipped to the picture, masks (probability over 0.5) of its own size."""
        return [self._find(picture) for picture in pictures]

    def _find(self, picture: np.ndarray) -> list[Detection]:
        import torch

        height, width = picture.shape[:2]
        # Shrunk here and not by the model, which returns each mask as a float image of its input's size.
        small = images.shrink(picture, self._side)
        with clock.spend("model"), torch.inference_mode():
            pixels = torch.from_numpy(small).to(self._device).permute(2, 0, 1).float() / 255
            output = {key: value.cpu() for key, value in self._model([pixels])[0].items()}
        scale = np.array([width / small.shape[1], height / small.shape[0]] * 2)
        boxes = output["boxes"].numpy() * scale
        detections = []
        for number, (label, score) in enumerate(zip(output["labels"].tolist(), output["scores"].tolist(), strict=True)):
            rle = None
            if self._outlines:
                with clock.spend("encode"):
                    probabilities = output["masks"][number, 0].numpy()
                    rle = masks.to_rle(cv2.resize(probabilities, (width, height), interpolation=cv2.INTER_LINEAR) > 0.5)
            left, top, right, bottom = boxes[number].tolist()
            detections.append(Detection(self._labels[label], score, (left, top, right, bottom), rle))
        return detections
