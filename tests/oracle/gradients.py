"""Loss and gradients by torch in float64, the oracle of the zoo."""

import copy

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 -- torch's own convention

LOSSES = {
    "softmax-cross-entropy": F.cross_entropy,
    "mse": F.mse_loss,
    "huber": F.huber_loss,
    "binary-cross-entropy": F.binary_cross_entropy_with_logits,
}


def logits_of(net) -> torch.nn.Module:
    """The module without a softmax at its end: the loss takes logits."""
    layers = list(net.module.children())
    return net.module[:-1] if layers and isinstance(layers[-1], torch.nn.Softmax) else net.module


def answers(net) -> dict[str, np.ndarray]:
    """What a golden file holds: the batch, the loss, and each parameter with its gradient; a parameter off the path has none."""
    module, features, targets = logits_of(net), net.features, net.targets
    if net.double:
        module, features, targets = copy.deepcopy(module).double(), _double(features), _double(targets)
    output = module.eval()(features)
    if net.logits is not None:
        output = output[net.outputs.index(net.logits)]
    loss = LOSSES[net.loss](output, targets)
    loss.backward()
    stored = {"features": net.features.numpy(), "targets": net.targets.numpy(), "loss": loss.detach().numpy()}
    for name, parameter in module.named_parameters():
        if parameter.grad is not None:
            stored |= {f"value:{name}": parameter.detach().numpy(), f"gradient:{name}": parameter.grad.numpy()}
    return {name: _single(value) for name, value in stored.items()}


def _double(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def _single(value: np.ndarray) -> np.ndarray:
    return value.astype(np.float32) if value.dtype.kind == "f" else value
