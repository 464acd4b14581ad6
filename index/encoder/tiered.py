"""The tower `resnet10t`, put together from torchvision's parts.

Every model that is drawn with has torchvision in memory already; open_clip and timm together take
half a second more to import, which is a tenth of a picture's whole time from a cold start. Names
and numbers are those of open_clip's adapter around timm's network, so that the weights fit either.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import normalize as unit
from torchvision.models.resnet import BasicBlock, ResNet

_WIDTHS = (64, 128, 256, 512)
_STEM = (24, 32, 64)
_CONFIG = {"timm_model_name": "resnet10t", "timm_pool": "", "timm_proj": "linear"}
_IRRELEVANT = ("image_size", "timm_model_pretrained")


def is_tiered(vision: Mapping[str, Any]) -> bool:
    """Whether an open_clip `vision_cfg` means this tower and nothing else."""
    return {k: v for k, v in vision.items() if k not in _IRRELEVANT} == _CONFIG


class TieredTower(nn.Module):
    """What embeds pictures `(n, 3, height, width)` as rows `(n, width)`."""

    def __init__(self, width: int) -> None:
        """Weights are whatever torchvision begins with."""
        super().__init__()
        self.visual: nn.Module = nn.Sequential(OrderedDict(trunk=_trunk(), head=_head(width)))

    def encode_image(self, image: Tensor, normalize: bool) -> Tensor:
        """As open_clip's models do."""
        rows: Tensor = self.visual(image)
        return unit(rows, dim=-1) if normalize else rows


def _head(width: int) -> nn.Module:
    return nn.Sequential(OrderedDict(proj=nn.Linear(_WIDTHS[-1], width, bias=False)))


def _trunk() -> ResNet:
    trunk = ResNet(BasicBlock, [1, 1, 1, 1])
    trunk.conv1 = _stem()
    for number in (1, 2, 3):
        block = getattr(trunk, f"layer{number + 1}")[0]
        block.downsample = _downsample(_WIDTHS[number - 1], _WIDTHS[number])
    trunk.fc = nn.Identity()
    return trunk


def _stem() -> nn.Sequential:
    """Three small convolutions; the norm behind the last is the network's own."""
    layers: list[nn.Module] = []
    for before, after in zip((3, *_STEM), _STEM, strict=False):
        stride = 2 if before == 3 else 1
        layers += [nn.Conv2d(before, after, 3, stride, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers[:-2])


def _downsample(before: int, after: int) -> nn.Sequential:
    pool = nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False)
    return nn.Sequential(pool, nn.Conv2d(before, after, 1, bias=False), nn.BatchNorm2d(after))
