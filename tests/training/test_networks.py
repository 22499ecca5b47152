from __future__ import annotations

import pytest
import torch

from vp_mqtt.bundle.manifest import VariantSpec
from vp_mqtt.training.networks import SamePaddedConv2d, SmallMapConv2d, VariantNetwork, scaled_channels


def network(resolution: int = 96, head: int = 256, classes: int = 10, alpha: float = 0.35) -> VariantNetwork:
    return VariantNetwork(VariantSpec(resolution=resolution, head=head, alpha=alpha), classes)


@pytest.mark.parametrize(("head", "millions"), [(256, 0.282), (320, 0.290), (448, 0.306), (576, 0.322)])
def test_the_papers_variants_have_the_papers_parameters(head: int, millions: float) -> None:
    params = sum(parameter.numel() for parameter in network(head=head).parameters())
    assert round(params / 1e6, 3) == millions


def test_channels_are_rounded_as_in_the_original() -> None:
    assert [scaled_channels(c, 0.35) for c in (16, 24, 32, 64, 96, 160, 320)] == [8, 8, 16, 24, 32, 56, 112]
    assert [scaled_channels(c, 1.0) for c in (16, 24, 320)] == [16, 24, 320]


@pytest.mark.parametrize("resolution", [40, 44, 96])
def test_any_resolution_gives_one_logit_per_class(resolution: int) -> None:
    assert network().eval()(torch.zeros(2, 3, resolution, resolution)).shape == (2, 10)


def test_stride_two_convolutions_pad_right_and_bottom_only() -> None:
    convolution = SamePaddedConv2d(1, 1, 3, 2, 0, bias=False)
    torch.nn.init.ones_(convolution.weight)
    found = convolution(torch.arange(16.0).reshape(1, 1, 4, 4))
    # Upper left window: rows 0..2, columns 0..2; lower right: rows 2..3, columns 2..3, the rest zeros.
    assert found.flatten().tolist() == [45.0, 39.0, 66.0, 50.0]
    # Odd sizes are padded on all sides: the first window's centre is the corner.
    assert convolution(torch.ones(1, 1, 3, 3)).flatten().tolist() == [4.0, 4.0, 4.0, 4.0]
    assert convolution(torch.ones(1, 1, 1, 1)).shape == (1, 1, 1, 1)


def test_the_base_model_is_mobilenet_v2() -> None:
    base = VariantNetwork(VariantSpec(resolution=224, alpha=1.0, head=1280, pooling="average"), 10).eval()
    assert sum(parameter.numel() for parameter in base.parameters()) == 2_236_682
    with torch.inference_mode():
        features = base.head(base.features(torch.zeros(1, 3, 64, 64)))
    assert float(features.max()) <= 6
    torch.testing.assert_close(
        base(torch.zeros(1, 3, 64, 64)), base.classifier(features.mean((2, 3), keepdim=True)).flatten(1)
    )


def test_a_cut_network_has_the_first_stages_of_the_whole_one() -> None:
    whole, cut = (
        VariantNetwork(VariantSpec(resolution=64, alpha=0.35, head=16, stages=stages), 10).eval() for stages in (7, 5)
    )
    # One block after another: the stem, then 1, 2, 3, 4 and 3 inverted residuals, the last ones with 96 channels.
    assert len(cut.features) == 14
    cut.features.load_state_dict(whole.features[:14].state_dict())
    pictures = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(cut.features(pictures), whole.features[:14](pictures))
        assert cut.features(pictures).shape == (2, scaled_channels(96, 0.35), 4, 4)
        assert cut(pictures).shape == (2, 10)


def test_a_wide_network_without_its_last_stages_has_a_third_of_the_parameters() -> None:
    specs = [VariantSpec(resolution=96, alpha=1.0, head=704, pooling="average", stages=stages) for stages in (7, 5)]
    whole, cut = (sum(parameter.numel() for parameter in VariantNetwork(spec, 10).parameters()) for spec in specs)
    assert (whole, cut) == (2_045_450, 618_570)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 2), (2, 5), (3, 3), (4, 4)])
def test_small_maps_are_filtered_alike_in_training_and_evaluation(height: int, width: int) -> None:
    torch.manual_seed(0)
    convolution = SmallMapConv2d(6, 6, 3, 1, 1, groups=6, bias=False)
    maps = torch.randn(2, 6, height, width)
    found = []
    for training in (True, False):
        inputs = maps.clone().requires_grad_()
        outputs = convolution.train(training)(inputs)
        (outputs**2).sum().backward()
        found.append((outputs.detach(), inputs.grad, convolution.weight.grad))
        convolution.weight.grad = None
    for trained, evaluated in zip(*found, strict=True):
        torch.testing.assert_close(trained, evaluated)
