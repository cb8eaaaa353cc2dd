r"""Convolutional networks for small images, alone or stacked: strided convolutions, and residual networks.

A stack of E networks is one network on E times as many channels, in groups that do not see each other. So inside, images are
(n, E · channels, height, width), whatever the number of members.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from empirical import extra
from kdtheory.checks import whole

with extra():
    import torch
    from torch import Tensor, nn

__all__ = ["Affine", "ConvNet", "Convolution", "Normalisation", "ResNet"]

FOUR_STAGES = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}


class Convolution(nn.Module):
    """E convolutions side by side, (n, E · in, height, width) to (n, E · out, ...): weight (E, out, in, k, k), bias (E, out).

    Drawn as He et al. (2015) do for ReLU, with variance 2 / (in k²); biases start at zero.
    """

    def __init__(
        self, rngs: list[np.random.Generator], inputs: int, outputs: int, *, size: int = 3, stride: int = 1, bias: bool = True
    ) -> None:
        super().__init__()
        self.members, self.stride = len(rngs), stride
        self.weight = _normal(rngs, 2.0 / (inputs * size**2), outputs, inputs, size, size)
        self.bias = nn.Parameter(torch.zeros(len(rngs), outputs)) if bias else None

    def forward(self, h: Tensor) -> Tensor:
        """The images' next layer; borders are padded with zeros."""
        bias = None if self.bias is None else self.bias.flatten()
        padding = self.weight.shape[-1] // 2
        return nn.functional.conv2d(h, self.weight.flatten(0, 1), bias, self.stride, padding, groups=self.members)


class Normalisation(nn.Module):
    """E batch normalisations side by side, each over its own minibatch; running mean and variance in eval mode."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, members: int, channels: int) -> None:
        super().__init__()
        self.members = members
        self.weight, self.bias = nn.Parameter(torch.ones(members, channels)), nn.Parameter(torch.zeros(members, channels))
        self.register_buffer("running_mean", torch.zeros(members, channels))
        self.register_buffer("running_var", torch.ones(members, channels))

    def forward(self, h: Tensor) -> Tensor:
        """Every channel of every member by itself."""
        mean, variance = self.running_mean.view(-1), self.running_var.view(-1)
        return nn.functional.batch_norm(h, mean, variance, self.weight.flatten(), self.bias.flatten(), self.training)


class Affine(nn.Module):
    """E linear layers with bias side by side, from (E, n, in) to (E, n, out): weight (E, in, out), bias (E, 1, out)."""

    def __init__(self, rngs: list[np.random.Generator], inputs: int, outputs: int) -> None:
        super().__init__()
        self.members = len(rngs)
        self.weight = _normal(rngs, 1.0 / inputs, inputs, outputs)
        self.bias = nn.Parameter(torch.zeros(len(rngs), 1, outputs))

    def forward(self, h: Tensor) -> Tensor:
        """One batched matrix product."""
        return torch.baddbmm(self.bias, h, self.weight)


class _Images(nn.Module):
    """What the two networks share: the shape of what comes in and goes out, the members, and the last layer."""

    last: Affine

    def __init__(self, shape: Sequence[int], outputs: int, members: int | None, seed: int | Sequence[int], **how: Any) -> None:
        super().__init__()
        if len(shape) != 3:
            raise ValueError(f"`shape` must be (channels, height, width), got {tuple(shape)}.")
        self.shape = tuple(whole(s, "shape", least=1) for s in shape)
        self.outputs = whole(outputs, "outputs", least=1)
        self.members = None if members is None else whole(members, "members", least=1)
        self.seed = [whole(s, "seed") for s in ([seed] if isinstance(seed, (int, np.integer)) else seed)]
        self.rngs = [np.random.default_rng([e, *self.seed]) for e in range(self.members or 1)]
        self.how = how

    def finish(self, dtype: torch.dtype, device: torch.device | str) -> None:
        """Numbers were drawn in float64 on the CPU; from here on they are where and what was asked for."""
        del self.rngs
        self.to(device, dtype)

    def images(self, X: Tensor) -> Tensor:
        """(n, E · channels, height, width) from what was given."""
        stacks = (4,) if self.members is None else (4, 5)
        if X.ndim not in stacks or X.shape[-3:] != self.shape or (X.ndim == 5 and len(X) != self.members):
            or_each = "" if self.members is None else f" or ({self.members}, n, {', '.join(map(str, self.shape))})"
            raise ValueError(f"`X` must have shape (n, {', '.join(map(str, self.shape))}){or_each}, got {tuple(X.shape)}.")
        if self.members is None:
            return X
        each = X.transpose(0, 1) if X.ndim == 5 else X[:, None].expand(-1, self.members, *self.shape)
        return each.flatten(1, 2)

    def by_member(self, h: Tensor) -> Tensor:
        """(E, n, features)."""
        return h.reshape(len(h), self.members or 1, -1).transpose(0, 1)

    def features(self, X: Tensor) -> Tensor:
        """What enters the last layer, (E, n, features); E is 1 for a network alone."""
        raise NotImplementedError

    def forward(self, X: Tensor) -> Tensor:
        """Outputs (n, p), or (E, n, p) of a stack."""
        f: Tensor = self.last(self.features(X))
        return f[0] if self.members is None else f

    @property
    def architecture(self) -> dict[str, Any]:
        """What to build it from, but for its numbers."""
        return {"shape": self.shape, "outputs": self.outputs, "members": self.members, "seed": self.seed, **self.how}


class ConvNet(_Images):
    r"""Strided 3 × 3 convolutions with ReLU, each with half the height and twice the channels, then one linear layer.

    Parameters
    ----------
    shape : (channels, height, width)
        Of an image.
    outputs : int
    width, depth : int
        Channels of the first convolution, and number of convolutions.
    members : int, optional
        E, for a stack as in `MLP`: images (n, ...) or (E, n, ...), outputs (E, n, p); member e does not depend on E.
    seed, dtype, device
        As in `MLP`.

    Raises
    ------
    ValueError
        If a number is out of its range, or images of another shape come in.

    Examples
    --------
    >>> few, many = (ConvNet((1, 8, 8), 10, members=members, seed=1) for members in (2, 5))
    >>> X = torch.ones(4, 1, 8, 8)
    >>> many(X).shape, bool(torch.allclose(few(X)[1], many(X)[1], atol=1e-6)), bool(torch.allclose(few(X)[0], few(X)[1]))
    (torch.Size([5, 4, 10]), True, False)
    """

    def __init__(
        self,
        shape: Sequence[int],
        outputs: int,
        *,
        width: int = 12,
        depth: int = 2,
        members: int | None = None,
        seed: int | Sequence[int] = 0,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(shape, outputs, members, seed, width=width, depth=depth)
        channels, height, across = self.shape
        self.convolutions = nn.ModuleList()
        for level in range(whole(depth, "depth", least=1)):
            wider = whole(width, "width", least=1) * 2**level
            self.convolutions.append(Convolution(self.rngs, channels, wider, stride=2))
            channels, height, across = wider, (height + 1) // 2, (across + 1) // 2
        self.last = Affine(self.rngs, channels * height * across, self.outputs)
        self.finish(dtype, device)

    def features(self, X: Tensor) -> Tensor:
        """What enters the last layer, (E, n, features); E is 1 for a network alone."""
        h = self.images(X)
        for convolution in self.convolutions:
            h = torch.relu(convolution(h))
        return self.by_member(h)


class _Block(nn.Module):
    """Two convolutions and the identity; where the shape changes, a 1 × 1 convolution or a padded subsample instead of it."""

    def __init__(self, rngs: list[np.random.Generator], inputs: int, outputs: int, stride: int, projected: bool) -> None:
        super().__init__()
        self.members, self.stride, self.wider = len(rngs), stride, outputs - inputs
        self.first = Convolution(rngs, inputs, outputs, stride=stride, bias=False)
        self.first_norm = Normalisation(len(rngs), outputs)
        self.second = Convolution(rngs, outputs, outputs, bias=False)
        self.second_norm = Normalisation(len(rngs), outputs)
        changed = stride > 1 or self.wider > 0
        self.shortcut = (
            nn.Sequential(
                Convolution(rngs, inputs, outputs, size=1, stride=stride, bias=False), Normalisation(len(rngs), outputs)
            )
            if changed and projected
            else None
        )

    def forward(self, h: Tensor) -> Tensor:
        """The residual and the shortcut, then ReLU."""
        residual = self.second_norm(self.second(torch.relu(self.first_norm(self.first(h)))))
        return torch.relu(residual + self.around(h))

    def around(self, h: Tensor) -> Tensor:
        """The shortcut."""
        if self.shortcut is not None:
            skipped: Tensor = self.shortcut(h)
            return skipped
        if self.stride == 1 and not self.wider:
            return h
        apart = h[..., :: self.stride, :: self.stride].reshape(
            len(h), self.members, -1, *(-(-s // self.stride) for s in h.shape[-2:])
        )
        return nn.functional.pad(apart, (0, 0, 0, 0, 0, self.wider)).flatten(1, 2)


class ResNet(_Images):
    r"""Residual network for small images: ResNet-20, 32, ... (6k + 2 layers, three stages) or ResNet-18, 34 (four stages).

    Parameters
    ----------
    shape : (channels, height, width)
    outputs : int
    depth : int
        6k + 2 for three stages of k blocks, shortcuts padded with zeros; 18 or 34 for four, shortcuts by 1 × 1 convolutions.
    width : int, optional
        Channels of the first stage, doubled from stage to stage; left out, 16 with three stages and 64 with four.
    members, seed, dtype, device
        As in `ConvNet`. Call ``eval()`` for predictions and tangent kernels: in training mode, normalisation mixes the batch.

    Raises
    ------
    ValueError
        If there is no such depth, a number is out of its range, or images of another shape come in.

    References
    ----------
    He, Zhang, Ren & Sun (2016), arXiv:1512.03385, section 4.2 for three stages; the four-stage networks are theirs for large
    images without the first stride and pooling, as is usual for 32 × 32.

    Examples
    --------
    >>> sum(p.numel() for p in ResNet((3, 32, 32), 10, depth=20).parameters())  # 0.27 million in the paper
    269722
    """

    def __init__(
        self,
        shape: Sequence[int],
        outputs: int,
        *,
        depth: int = 20,
        width: int | None = None,
        members: int | None = None,
        seed: int | Sequence[int] = 0,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        if depth not in FOUR_STAGES and (depth < 8 or (depth - 2) % 6):
            raise ValueError(f"`depth` must be 6k + 2 (8, 14, 20, 32, ...), 18 or 34, got {depth}.")
        stages = FOUR_STAGES.get(depth, ((depth - 2) // 6,) * 3)
        channels = (64 if depth in FOUR_STAGES else 16) if width is None else whole(width, "width", least=1)
        super().__init__(shape, outputs, members, seed, depth=depth, width=channels)
        self.first = Convolution(self.rngs, self.shape[0], channels, bias=False)
        self.first_norm = Normalisation(len(self.rngs), channels)
        self.blocks = nn.ModuleList()
        for stage, count in enumerate(stages):
            for block in range(count):
                wider = channels * (2 if stage and not block else 1)
                self.blocks.append(_Block(self.rngs, channels, wider, wider // channels, depth in FOUR_STAGES))
                channels = wider
        self.last = Affine(self.rngs, channels, self.outputs)
        self.finish(dtype, device)

    def features(self, X: Tensor) -> Tensor:
        """What enters the last layer, (E, n, features): means over the image. E is 1 for a network alone."""
        h = torch.relu(self.first_norm(self.first(self.images(X))))
        for block in self.blocks:
            h = block(h)
        return self.by_member(h.mean((-2, -1)))


def _normal(rngs: list[np.random.Generator], variance: float, *shape: int) -> nn.Parameter:
    drawn = np.stack([rng.normal(scale=math.sqrt(variance), size=shape) for rng in rngs])
    return nn.Parameter(torch.tensor(drawn))
