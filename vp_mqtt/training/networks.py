"""MobileNetV2 at any width, and the variants derived from it.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018; the narrow head with global max
pooling is that of arXiv 2210.08376. Parameters are named as in torchvision. Batch norm's epsilon and the padding of the
stride-2 convolutions are those of the TensorFlow original, so that its ImageNet weights fit exactly.
"""

from __future__ import annotations

import copy
import math
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vp_mqtt.bundle.manifest import STAGES, VariantSpec

BATCH_NORM_EPS = 1e-3

# Expansion, channels, repeats, stride of the first block: table 2 of the MobileNetV2 paper.
_BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
_STEM_CHANNELS = 32
_DIVISOR = 8
_TOLERANCE = 1e-6

N = TypeVar("N", bound=nn.Module)


def scaled_channels(channels: int, alpha: float) -> int:
    """Return `channels` times `alpha`, rounded to a multiple of 8, but not more than 10 % down."""
    scaled = channels * alpha
    rounded = max(_DIVISOR, int(scaled + _DIVISOR / 2) // _DIVISOR * _DIVISOR)
    return rounded + _DIVISOR if rounded < 0.9 * scaled else rounded


class SamePaddedConv2d(nn.Conv2d):
    """A 3x3 convolution with stride 2, padded as in TensorFlow ("same"): even sizes at right and bottom only."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (the base class's name)
        """Return the convolution of (N, C, H, W), shape (N, C, ceil(H / 2), ceil(W / 2))."""
        top, left = input.shape[-2] % 2, input.shape[-1] % 2
        return super().forward(functional.pad(input, (left, 1, top, 1)))


class SmallMapConv2d(nn.Conv2d):
    """A 3x3 convolution with padding 1 whose backward pass stays fast on a CPU for small feature maps.

    For a depth-wise convolution of 2x2 maps, oneDNN's gradient takes 13 times as long as with explicit padding.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (the base class's name)
        """Return the convolution of (N, C, H, W), of the same shape."""
        if not self.training or min(input.shape[-2:]) >= self.kernel_size[0]:
            return super().forward(input)
        return functional.conv2d(functional.pad(input, (1, 1, 1, 1)), self.weight, self.bias, groups=self.groups)


def _convolution(inputs: int, outputs: int, *, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    if stride == 1:
        layer = nn.Conv2d if kernel == 1 else SmallMapConv2d
        return layer(inputs, outputs, kernel, 1, kernel // 2, groups=groups, bias=False)
    return SamePaddedConv2d(inputs, outputs, kernel, stride, 0, groups=groups, bias=False)


def _conv_norm(inputs: int, outputs: int, *, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        _convolution(inputs, outputs, kernel=kernel, stride=stride, groups=groups),
        nn.BatchNorm2d(outputs, eps=BATCH_NORM_EPS),
        nn.ReLU6(inplace=True),
    )


class InvertedResidual(nn.Module):
    """Expansion, depth-wise convolution and projection, with a skip connection if shapes allow."""

    def __init__(self, inputs: int, outputs: int, *, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        layers: list[nn.Module] = [] if expansion == 1 else [_conv_norm(inputs, hidden)]
        layers += [
            _conv_norm(hidden, hidden, kernel=3, stride=stride, groups=hidden),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs, eps=BATCH_NORM_EPS),
        ]
        self.conv = nn.Sequential(*layers)
        self._has_skip = stride == 1 and inputs == outputs

    def forward(self, picture: Tensor) -> Tensor:
        """Return features, shape (N, outputs, H / stride, W / stride)."""
        features: Tensor = self.conv(picture)
        return picture + features if self._has_skip else features


def backbone(alpha: float, stages: int = STAGES) -> tuple[nn.Sequential, int]:
    """Return MobileNetV2's features without the last convolution, and the number of their channels.

    Args:
        alpha: width multiplier.
        stages: first stages of inverted residuals to return, 1..7.
    """
    channels = scaled_channels(_STEM_CHANNELS, alpha)
    layers: list[nn.Module] = [_conv_norm(3, channels, kernel=3, stride=2)]
    for expansion, width, repeats, stride in _BLOCKS[:stages]:
        outputs = scaled_channels(width, alpha)
        for repeat in range(repeats):
            first_stride = stride if repeat == 0 else 1
            layers.append(InvertedResidual(channels, outputs, stride=first_stride, expansion=expansion))
            channels = outputs
    return nn.Sequential(*layers), channels


def fold_batch_norm(network: N) -> N:
    """Return a copy for inference with batch norms folded into the preceding convolutions."""
    folded = copy.deepcopy(network).eval()
    for sequence in [module for module in folded.modules() if isinstance(module, nn.Sequential)]:
        for index in range(len(sequence) - 1):
            convolution, norm = sequence[index], sequence[index + 1]
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                sequence[index] = fuse_conv_bn_eval(convolution, norm)
                sequence[index + 1] = nn.Identity()
    return folded


def freeze_norms(network: nn.Module) -> None:
    """Switch the batch norms to evaluation mode: they use their statistics, and no longer change them."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def _folded_norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    """Return the batch norms that only add a bias in evaluation mode: theirs were folded into the convolutions."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    return [
        norm
        for norm in norms
        if not norm.get_buffer("running_mean").any()
        and bool((norm.weight == 1).all())
        and bool(((norm.get_buffer("running_var") + norm.eps - 1).abs() < _TOLERANCE).all())
    ]


def needs_statistics(network: nn.Module) -> bool:
    """Return whether a network has batch norms without statistics, which it needs before it is trained."""
    return bool(_folded_norms(network))


def measure_statistics(network: nn.Module, pictures: Tensor) -> None:
    """Set the statistics of batch norms that only add a bias to those of their inputs; their outputs stay the same.

    Without them, the network's outputs would change as soon as it is trained: in training mode, a batch norm scales by
    the statistics of the batch.

    Args:
        network: left in evaluation mode.
        pictures: shape (N, 3, resolution, resolution), float32, -1..1; an N of about 100 is enough.
    """

    def measure(norm: nn.Module, inputs: tuple[Tensor]) -> None:
        variance, mean = torch.var_mean(inputs[0], dim=(0, 2, 3), correction=0)
        norm.get_buffer("running_mean").copy_(mean)
        norm.get_buffer("running_var").copy_(variance)
        norm.get_parameter("weight").copy_((variance + BATCH_NORM_EPS).sqrt())
        norm.get_parameter("bias").add_(mean)

    hooks = [norm.register_forward_pre_hook(measure) for norm in _folded_norms(network)]
    try:
        with torch.no_grad():
            network.eval()(pictures)
    finally:
        for hook in hooks:
            hook.remove()


class SeededDropout(nn.Module):
    """Dropout with its own random generator, so that variants trained side by side stay reproducible.

    On a GPU, torch's dropout is used: training there is not bit-for-bit reproducible anyway.
    """

    def __init__(self, share: float) -> None:
        """Drop this share of the values, 0..1, in training mode."""
        super().__init__()
        self._share = share
        self._generator = torch.Generator()

    def seed(self, seed: int) -> None:
        """Seed the generator."""
        self._generator.manual_seed(seed)

    def forward(self, values: Tensor) -> Tensor:
        """Return the values; in training mode, some are zero and the others are scaled up to compensate."""
        if not self.training or self._share == 0:
            return values
        if values.is_cuda:
            return functional.dropout(values, self._share)
        kept = torch.empty(values.shape).bernoulli_(1 - self._share, generator=self._generator)
        return values * kept.to(values) / (1 - self._share)

    def __deepcopy__(self, memo: dict[int, object]) -> SeededDropout:
        """Return a layer with the same share and a new generator, since generators cannot be copied."""
        return SeededDropout(self._share)


class VariantNetwork(nn.Module):
    """One variant: the backbone, a head, global pooling, and a classifier.

    A variant that covers only some of the classes has one more output, for "none of these".
    """

    def __init__(self, spec: VariantSpec, classes: int, dropout: float = 0.1) -> None:
        """Build it with random weights.

        Args:
            spec: width, stages, head and pooling.
            classes: number of the family's classes.
            dropout: of the head's output in training, 0..1.
        """
        super().__init__()
        self.features, channels = backbone(spec.alpha, spec.stages)
        self.head = nn.Sequential(
            nn.Conv2d(channels, spec.head, 1, bias=False),
            nn.BatchNorm2d(spec.head, eps=BATCH_NORM_EPS),
            nn.ReLU(inplace=True) if spec.pooling == "max" else nn.ReLU6(inplace=True),
        )
        self._has_max_pooling = spec.pooling == "max"
        self.dropout = SeededDropout(dropout)
        self._classes = classes
        self._knows = spec.knows
        self._places: Tensor
        if spec.knows is not None:
            # A constant of the module: one that is computed is not folded by the ONNX export if it is large.
            self.register_buffer("_places", torch.eye(classes)[list(spec.knows)], persistent=False)
        self.classifier = nn.Conv2d(spec.head, classes if spec.knows is None else len(spec.knows) + 1, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        # Start with nearly uniform predictions: the first steps would only unlearn random ones.
        nn.init.normal_(self.classifier.weight, std=0.01)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return logits, shape (N, classes), for pictures, shape (N, 3, resolution, resolution), float32, -1..1."""
        return self.classify(self.features(pictures))

    def classify(self, features: Tensor) -> Tensor:
        """Return logits, shape (N, classes), for the output of the last block.

        The probability of "none of these" is spread evenly over the classes that the variant does not cover.
        """
        logits = self._outputs(features)
        if self._knows is None:
            return logits
        own = logits.log_softmax(1)
        others = self._classes - len(self._knows)
        spread = own[:, -1:].expand(-1, self._classes) - math.log(max(1, others))
        return spread.index_copy(1, torch.tensor(self._knows, device=own.device), own[:, :-1])

    def probabilities(self, pictures: Tensor) -> Tensor:
        """Return probabilities, shape (N, classes), 0 for classes that the variant does not cover."""
        own = self._outputs(self.features(pictures)).softmax(1)
        if self._knows is None:
            return own
        return own[:, :-1] @ self._places

    def _outputs(self, features: Tensor) -> Tensor:
        features = self.head(features)
        pool = torch.amax if self._has_max_pooling else torch.mean
        return torch.flatten(self.classifier(self.dropout(pool(features, dim=(2, 3), keepdim=True))), 1)
