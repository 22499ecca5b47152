"""What people use today for classes of their own, reproduced: a frozen MobileNetV2, and a small head trained on it.

The recipe is that of Frigate 0.18 (frigate/util/classification.py, MIT): width 0.35 at 224 pixels, global average
pooling, a dense layer of 128 with ReLU, dropout 0.3, a softmax layer; Adam at 1e-3, batches of 16, 50 epochs. It keeps
a fifth of the pictures out of the training, and scales pixels to 0..1 although the weights were trained on -1..1. Here
it gets all pictures and -1..1, with which it is better.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

HIDDEN, DROPOUT, BATCH, EPOCHS, LEARNING_RATE = 128, 0.3, 16, 50, 1e-3
_KERAS_EPS = 1e-7


def train_head(
    features: NDArray[np.float32], labels: NDArray[np.int64], tested: NDArray[np.float32], classes: int, seed: int
) -> NDArray[np.intp]:
    """Train the head, and return the labels that it gives to other pictures, shape (N,).

    Args:
        features: of the training pictures, shape (M, features).
        labels: their classes, shape (M,).
        tested: features of the other pictures, shape (N, features).
        classes: number of classes.
        seed: random seed.
    """
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    first, last = nn.Linear(features.shape[1], HIDDEN), nn.Linear(HIDDEN, classes)
    for layer in (first, last):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    head = nn.Sequential(first, nn.ReLU(), nn.Dropout(DROPOUT), last)
    optimizer = torch.optim.Adam(head.parameters(), lr=LEARNING_RATE, eps=_KERAS_EPS)
    inputs, truth = torch.from_numpy(features), torch.from_numpy(labels)
    for _ in range(EPOCHS):
        for chosen in torch.split(torch.randperm(len(inputs)), BATCH):
            loss = functional.cross_entropy(head(inputs[chosen]), truth[chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    with torch.no_grad():
        return np.asarray(head.eval()(torch.from_numpy(tested)).argmax(1))
