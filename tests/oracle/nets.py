"""The zoo's torch side: small nets, each with a spelling that exporters are known to find trouble with."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 -- torch's own convention

ROWS = 5


class Net(NamedTuple):
    """A module, one batch for it, and what it is trained for; `refused` is the reason `prepare` must give instead of a bundle.

    `double`: the module can compute in float64; Keras layers compute in the type that they were made for.
    """

    module: nn.Module
    features: Tensor
    targets: Tensor
    loss: str = "softmax-cross-entropy"
    logits: str | None = None
    outputs: tuple[str, ...] = ("output",)
    refused: str | None = None
    exporters: tuple[str, ...] = ("script", "dynamo")
    double: bool = True


class LeNet(nn.Sequential):
    def __init__(self):
        first = [nn.Conv2d(1, 4, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)]
        second = [nn.Conv2d(4, 6, 3), nn.ReLU(), nn.MaxPool2d(2)]
        super().__init__(*first, *second, nn.Flatten(), nn.Linear(24, 8), nn.ReLU(), nn.Linear(8, 4))


class Windows(nn.Sequential):
    """A one-dimensional convolutional net for sensor windows: stride, dilation, both poolings."""

    def __init__(self):
        first = [nn.Conv1d(3, 5, 5, stride=2, padding=2), nn.ReLU(), nn.MaxPool1d(2)]
        second = [nn.Conv1d(5, 6, 3, dilation=2, padding=1), nn.ReLU(), nn.AvgPool1d(3, stride=2, padding=1)]
        super().__init__(*first, *second, nn.Flatten(), nn.Linear(12, 4))


class Depthwise(nn.Module):
    """Depthwise and pointwise convolutions with a squeeze-and-excite gate."""

    def __init__(self):
        super().__init__()
        self.stem, self.depthwise = nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.pointwise = nn.Conv2d(6, 8, 1)
        self.gate, self.head = nn.Conv2d(8, 8, 1), nn.Linear(8, 4)

    def forward(self, x):
        x = F.hardswish(self.pointwise(F.hardswish(self.depthwise(F.hardswish(self.stem(x))))))
        x = x * F.hardsigmoid(self.gate(F.adaptive_avg_pool2d(x, 1)))
        return self.head(x.mean((2, 3)))


class Residual(nn.Module):
    """Batch normalisation after each convolution, and a shortcut around the second."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(4) for _ in range(2)])
        self.head = nn.Linear(4, 3)
        for norm in self.norms:
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 2)

    def forward(self, x):
        x = F.relu(self.norms[0](self.first(x)))
        return self.head(F.relu(x + self.norms[1](self.second(x))).mean((2, 3)))


class Attention(nn.Module):
    """A transformer block, its future hidden by a constant mask of minus infinity."""

    def __init__(self, width=8, steps=6):
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(2)])
        self.mix, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down, self.head = nn.Linear(width, 16), nn.Linear(16, width), nn.Linear(width, 4)
        self.register_buffer("mask", torch.triu(torch.full((steps, steps), float("-inf")), diagonal=1))

    def heads(self, x):
        return x.reshape(-1, 6, 2, 4).transpose(1, 2)

    def forward(self, x):
        query, key, value = map(self.heads, self.mix(self.norms[0](x)).split(8, dim=-1))
        weights = torch.softmax(query @ key.transpose(-1, -2) / 2 + self.mask, dim=-1)
        x = x + self.out((weights @ value).transpose(1, 2).reshape(-1, 6, 8))
        x = x + self.down(F.gelu(self.up(self.norms[1](x))))
        return self.head(x.mean(1))


class Text(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.head = nn.Embedding(20, 6), nn.Linear(6, 3)

    def forward(self, tokens):
        return self.head(self.words(tokens).mean(1))


class Groups(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(2, 6, 3, padding=1), nn.GroupNorm(3, 6), nn.SiLU(), nn.Flatten(), nn.Linear(96, 3))


class Autoencoder(nn.Sequential):
    def __init__(self):
        down = [nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.ELU(), nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.Softplus()]
        up = [nn.ConvTranspose2d(6, 4, 3, stride=2, padding=1, output_padding=1), nn.Tanh(), nn.ConvTranspose2d(4, 1, 2, stride=2)]
        super().__init__(*down, *up)


class Segments(nn.Module):
    """A small U-net: two ways to enlarge, and a concatenated skip."""

    def __init__(self):
        super().__init__()
        self.down, self.middle, self.deep, self.up = (nn.Conv2d(*size, 3, padding=1) for size in ((1, 4), (4, 4), (4, 4), (8, 1)))

    def forward(self, x):
        skip = F.relu(self.down(x))
        half = F.relu(self.middle(F.max_pool2d(skip, 2)))
        quarter = F.relu(self.deep(F.avg_pool2d(half, 2)))
        half = half + F.interpolate(quarter, scale_factor=2, mode="nearest")
        return self.up(torch.cat([skip, F.interpolate(half, scale_factor=2, mode="bilinear", align_corners=False)], 1))


class Curves(nn.Sequential):
    """Activations that few use: parametric, leaky, approximated."""

    def __init__(self):
        first = [nn.Conv1d(2, 4, 3), nn.PReLU(4), nn.Flatten(), nn.Linear(24, 8), nn.GELU(approximate="tanh")]
        super().__init__(*first, nn.Linear(8, 8), nn.LeakyReLU(0.1), nn.Linear(8, 8), nn.Softsign(), nn.Linear(8, 2))


class Tied(nn.Module):
    """The decoder is the encoder's own weight, transposed."""

    def __init__(self):
        super().__init__()
        self.encode, self.offset = nn.Linear(8, 3), nn.Parameter(torch.zeros(8))

    def forward(self, x):
        return torch.sigmoid(self.encode(x)) @ self.encode.weight + self.offset


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.kind, self.size = nn.Linear(6, 8), nn.Linear(8, 3), nn.Linear(8, 1)

    def forward(self, x):
        x = torch.relu(self.body(x))
        return self.size(x), self.kind(x)


class Padded(nn.Module):
    """Padding worked out in the graph from the shape of the input, as TensorFlow's `same` does."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 3, 4, stride=2), nn.Linear(27, 3)

    def forward(self, x):
        rows, columns = ((size + 1) // 2 * 2 + 2 - size for size in x.shape[2:])
        x = F.pad(x, [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2])
        return self.head(torch.relu(self.conv(x)).flatten(1))


class Recurrent(nn.Module):
    def __init__(self, kind, **options):
        super().__init__()
        self.cells = kind(3, 4, batch_first=True, **options)
        self.head = nn.Linear(8 if options.get("bidirectional") else 4, 3)

    def forward(self, x):
        return self.head(self.cells(x)[0][:, -1])


class Remembering(nn.Module):
    """First states that are learned, and the last ones that are used."""

    def __init__(self):
        super().__init__()
        self.cells, self.head = nn.LSTM(3, 4, batch_first=True), nn.Linear(8, 3)
        self.first, self.cell = (nn.Parameter(torch.zeros(1, 1, 4)) for _ in range(2))

    def forward(self, x):
        rows = x.shape[0]
        _, (h, c) = self.cells(x, (self.first.expand(1, rows, 4).contiguous(), self.cell.expand(1, rows, 4).contiguous()))
        return self.head(torch.cat([h[0], c[0]], 1))


class Rounded(nn.Sequential):
    """Rounding has no derivative that trains."""

    def __init__(self):
        super().__init__(nn.Linear(6, 4), Round(), nn.Linear(4, 3))


class Round(nn.Module):
    def forward(self, x):
        return torch.round(x)


class Einstein(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 4))

    def forward(self, x):
        return torch.einsum("bi,io->bo", x, self.weight)


def mlp(*last):
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4), *last)


def twice_normalised():
    """Two fresh layer normalisations of one width: exporters merge their equal scales and offsets into one tensor each."""
    return nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 4))


def _randomised(module):
    """Every parameter random, so that none is zero, dropped by an exporter, or equal to another."""
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.4)
    return module


def zoo():
    """Every net by name, the same at every call."""
    torch.manual_seed(20)
    image, classes = torch.randn(ROWS, 1, 12, 12), torch.randint(0, 3, (ROWS,))
    table, window = torch.randn(ROWS, 6), torch.randn(ROWS, 3, 24)
    nets = {
        "mlp": Net(mlp(), table, classes),
        "probabilities": Net(mlp(nn.Softmax(-1)), table, classes),
        "lenet": Net(LeNet(), image, classes),
        "cnn1d": Net(Windows(), window, classes),
        "depthwise": Net(Depthwise(), torch.randn(ROWS, 3, 8, 8), classes),
        "residual": Net(Residual(), torch.randn(ROWS, 2, 6, 6), classes, exporters=("script", "dynamo", "script-unfolded")),
        "transformer": Net(Attention(), torch.randn(ROWS, 6, 8), classes),
        "text": Net(Text(), torch.randint(0, 20, (ROWS, 7)), classes),
        "groupnorm": Net(Groups(), torch.randn(ROWS, 2, 4, 4), classes),
        "autoencoder": Net(Autoencoder(), image[:, :, :8, :8], image[:, :, :8, :8], "mse"),
        "unet": Net(Segments(), image[:, :, :8, :8], (image[:, :, :8, :8] > 0).float(), "binary-cross-entropy"),
        "curves": Net(Curves(), torch.randn(ROWS, 2, 8), torch.randn(ROWS, 2), "huber"),
        "tied": Net(Tied(), torch.randn(ROWS, 8), torch.randn(ROWS, 8), "mse"),
        "heads": Net(TwoHeads(), table, classes, logits="kind", outputs=("size", "kind")),
        "padded": Net(Padded(), image[:, :, :5, :5], classes),
        "lstm": Net(Recurrent(nn.LSTM), window.transpose(1, 2), classes),
        "gru": Net(Recurrent(nn.GRU), window.transpose(1, 2), classes),
        "rnn": Net(Recurrent(nn.RNN, nonlinearity="relu"), window.transpose(1, 2)[:, :8], classes),
        "lstm-deep": Net(Recurrent(nn.LSTM, num_layers=2, bidirectional=True), window.transpose(1, 2)[:, :6], classes),
        "gru-deep": Net(Recurrent(nn.GRU, num_layers=2, bidirectional=True), window.transpose(1, 2)[:, :6], classes),
        "remembering": Net(Remembering(), window.transpose(1, 2)[:, :6], classes),
        "einsum": Net(Einstein(), table[:, :3], classes),
        "rounded": Net(Rounded(), table, classes, refused="model-unsupported"),
    }
    nets = {name: net._replace(module=_randomised(net.module).eval()) for name, net in nets.items()}
    return nets | {"fresh": Net(twice_normalised().eval(), table, classes)}
