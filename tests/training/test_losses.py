from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vp_mqtt.fusion.tally import Tally
from vp_mqtt.protocol.votes import select
from vp_mqtt.training.losses import JointLoss, Target, fused_sums

WEIGHTS = [0.5, 0.7, 1.0]


def logits(seed: int = 0, pictures: int = 5, classes: int = 7) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(pictures, classes, generator=generator) for _ in WEIGHTS]


def target(share: float = 1.0, teacher: Tensor | None = None) -> Target:
    return Target(torch.tensor([0, 1, 2, 3, 4]), torch.tensor([4, 3, 2, 1, 0]), share, teacher)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 7))
def test_fusion_in_training_is_fusion_on_the_fusion_node(seed: int, k: int) -> None:
    outputs = logits(seed)
    sums = fused_sums(outputs, WEIGHTS, k)
    for row in range(5):
        tally = Tally(WEIGHTS, 7)
        for variant, one in enumerate(outputs):
            tally.add(variant, select(one[row].softmax(0).numpy(), k, b"1234"))
        np.testing.assert_allclose([tally.score(index) for index in range(7)], sums[row].softmax(0).numpy(), rtol=1e-4)


def test_without_its_extras_the_loss_is_cross_entropy() -> None:
    outputs = logits()
    loss = JointLoss(WEIGHTS, k=3)(outputs, target(), 0.0, [])
    expected = torch.stack([torch.nn.functional.cross_entropy(one, target().labels) for one in outputs]).mean()
    torch.testing.assert_close(loss, expected)


def test_the_fused_share_moves_from_the_variants_to_the_fusion() -> None:
    outputs, joint = logits(), JointLoss(WEIGHTS, k=3)
    alone, fused = joint(outputs, target(), 0.0, []), joint(outputs, target(), 1.0, [])
    torch.testing.assert_close(
        fused, torch.nn.functional.cross_entropy(fused_sums(outputs, WEIGHTS, 3), target().labels)
    )
    torch.testing.assert_close(joint(outputs, target(), 0.25, []), 0.75 * alone + 0.25 * fused)


def test_missing_variants_take_no_part_in_the_fused_loss_but_in_their_own() -> None:
    outputs, joint = logits(), JointLoss(WEIGHTS, k=3)
    outputs[1].requires_grad_()
    assert torch.autograd.grad(joint(outputs, target(), 0.5, [1]), outputs[1])[0].abs().sum() > 0
    fused_alone = joint(outputs, target(), 1.0, [1])
    weights = [WEIGHTS[0], 0.0, WEIGHTS[2]]
    expected = torch.nn.functional.cross_entropy(fused_sums(outputs, weights, 3), target().labels)
    torch.testing.assert_close(fused_alone, expected)


def test_mixup_mixes_the_losses_of_both_labels() -> None:
    outputs, joint = logits(), JointLoss(WEIGHTS, k=3, label_smoothing=0.1)
    other = Target(target().partner, target().labels, 1.0)
    mixed = joint(outputs, target(share=0.3), 0.5, [])
    torch.testing.assert_close(mixed, 0.3 * joint(outputs, target(), 0.5, []) + 0.7 * joint(outputs, other, 0.5, []))


def test_a_teacher_that_is_right_is_a_minimum() -> None:
    outputs = logits()
    outputs = [outputs[0].clone().requires_grad_() for _ in outputs]
    joint = JointLoss(WEIGHTS, k=3, distilled=1.0, mutual=0.0)
    loss = joint(outputs, target(teacher=outputs[0].detach()), 0.0, [])
    assert abs(loss.item()) < 1e-6
    gradients = torch.autograd.grad(loss, outputs)
    assert all(float(gradient.abs().max()) < 1e-6 for gradient in gradients)


def test_variants_that_agree_have_nothing_to_learn_from_each_other() -> None:
    one = logits()[0]
    agreeing = JointLoss(WEIGHTS, k=3, mutual=1.0)([one, one, one], target(), 0.0, [])
    assert abs(float(agreeing)) < 1e-6
    assert float(JointLoss(WEIGHTS, k=3, mutual=1.0)(logits(), target(), 0.0, [])) > 0.1
