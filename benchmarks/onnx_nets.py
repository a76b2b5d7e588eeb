"""The nets of benchmarks/onnx.py as torch modules, and a training step of torch eager. Imports nothing of ours: its memory is measured."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 -- torch's own convention

BATCH, CLASSES, RATE = 32, 6, 0.01


class Depthwise(nn.Sequential):
    """Three depthwise-separable blocks on 3 x 32 x 32, without batch normalisation."""

    def __init__(self) -> None:
        blocks: list[nn.Module] = [nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.ReLU()]
        for inside, outside, stride in ((16, 32, 1), (32, 64, 2), (64, 64, 1)):
            depthwise = nn.Conv2d(inside, inside, 3, stride=stride, padding=1, groups=inside)
            blocks += [depthwise, nn.ReLU(), nn.Conv2d(inside, outside, 1), nn.ReLU()]
        super().__init__(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, CLASSES))


class Transformer(nn.Module):
    """One block of width 64 with four heads over 32 steps."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(64), nn.LayerNorm(64)
        self.mix, self.out, self.up, self.down = nn.Linear(64, 192), nn.Linear(64, 64), nn.Linear(64, 128), nn.Linear(128, 64)
        self.head = nn.Linear(64, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 32, 64) -> (n, 6)."""
        parts = self.mix(self.first(x)).split(64, dim=-1)
        query, key, value = (part.reshape(-1, 32, 4, 16).transpose(1, 2) for part in parts)
        mixed = torch.softmax(query @ key.transpose(-1, -2) / 4, dim=-1) @ value
        x = x + self.out(mixed.transpose(1, 2).reshape(-1, 32, 64))
        x = x + self.down(F.gelu(self.up(self.second(x))))
        return self.head(x.mean(1))  # type: ignore[no-any-return]  # torch's modules return Any


class Text(nn.Module):
    """The mean of 32 word vectors out of 5,000."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.head = nn.Embedding(5000, 32), nn.Linear(32, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        """(n, 32) -> (n, 6)."""
        return self.head(self.words(tokens).mean(1))  # type: ignore[no-any-return]  # likewise


def mlp() -> nn.Module:
    """64-128-64-6."""
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, CLASSES))


def lenet() -> nn.Module:
    """LeNet-5 on 28 x 28."""
    first = [nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*first, nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, CLASSES))


def cnn1d() -> nn.Module:
    """Windows of six sensors, 128 samples."""
    first = [nn.Conv1d(6, 32, 5, stride=2, padding=2), nn.ReLU(), nn.MaxPool1d(2)]
    second = [nn.Conv1d(32, 64, 3, padding=2, dilation=2), nn.ReLU(), nn.AvgPool1d(2), nn.Conv1d(64, 64, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*first, *second, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(64, CLASSES))


NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "MLP": (mlp, (64,)),
    "LeNet-5": (lenet, (1, 28, 28)),
    "CNN-1D": (cnn1d, (6, 128)),
    "transformer block": (Transformer, (32, 64)),
    "text": (Text, (32,)),
    "depthwise": (Depthwise, (3, 32, 32)),
}


def torch_step(net: nn.Module, features: Tensor, targets: Tensor) -> Callable[[], object]:
    """One step in torch eager."""
    net = copy.deepcopy(net).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=RATE)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(net(features), targets).backward()
        optimizer.step()

    return step


def case(name: str) -> tuple[nn.Module, Tensor, Tensor]:
    """A fresh net, one batch and its targets, the same at every call."""
    torch.manual_seed(1)
    make, shape = NETS[name]
    features = torch.randint(0, 5000, (BATCH, *shape)) if name == "text" else torch.randn(BATCH, *shape)
    return make(), features, torch.randint(0, CLASSES, (BATCH,))
