r"""What a student is trained on: labels and a teacher, weighed. One loss per member of a stack, a mean over its minibatch."""

from __future__ import annotations

from empirical import extra

with extra():
    import torch
    from torch import Tensor, nn

__all__ = ["LOSSES", "cross_entropy", "squared"]


def squared(
    f: Tensor,
    labels: Tensor,
    teacher: Tensor | None,
    teacher_weight: Tensor,
    temperature: float = 1.0,  # noqa: ARG001
) -> Tensor:
    r"""Half the squared distance to the mixed target, :math:`\tfrac12 |f - (1 - w)\,y - w\,T|^2`, mean over points.

    Parameters
    ----------
    f, labels, teacher : (E, n, p) tensors
        Outputs, coded labels and the teacher's outputs; without a teacher the labels alone count.
    teacher_weight : (E,) tensor
        w, any real numbers.
    temperature : float
        Of no meaning here.

    Returns
    -------
    (E,) tensor

    Examples
    --------
    Students are compared with the mix, not with its parts:

    >>> f, y, T = (torch.full((1, 1, 1), value) for value in (1.5, 1.0, 2.0))
    >>> squared(f, y, T, torch.tensor([0.5]))
    tensor([0.])
    """
    if teacher is None:
        target = labels
    else:
        w = teacher_weight[:, None, None]
        target = (1 - w) * labels + w * teacher
    return (f - target).square().sum(-1).mean(-1) / 2


def cross_entropy(
    f: Tensor, labels: Tensor, teacher: Tensor | None, teacher_weight: Tensor, temperature: float = 4.0
) -> Tensor:
    r"""Cross-entropy to the classes, and divergence from the softened teacher.

    .. math::
        (1 - w)\,\mathrm{CE}(y, f) + w\,\tau^2\, \mathrm{KL}\big(\mathrm{softmax}(T/\tau) \,\|\, \mathrm{softmax}(f/\tau)\big),

    mean over points: exactly the first term at w = 0, exactly the second at w = 1.

    Parameters
    ----------
    f, teacher : (E, n, C) tensors
        Logits.
    labels : (E, n) tensor of int64
        Classes.
    teacher_weight : (E,) tensor
    temperature : float
        :math:`\tau > 0`, of student and teacher.

    Returns
    -------
    (E,) tensor

    References
    ----------
    Hinton, Vinyals & Dean (2015), arXiv:1503.02531, for the factor :math:`\tau^2`, with which the gradient of the second term
    does not vanish as the temperature grows.

    Examples
    --------
    >>> f, T = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.0, 2.0]]])
    >>> y, w = torch.tensor([[1]]), torch.tensor([0.0])
    >>> bool(cross_entropy(f, y, T, w) == nn.functional.cross_entropy(f[0], y[0]))
    True
    """
    hard = nn.functional.cross_entropy(f.flatten(0, 1), labels.flatten(), reduction="none").reshape(labels.shape).mean(-1)
    if teacher is None:
        return hard
    soft = torch.log_softmax(teacher / temperature, -1)
    divergence = (soft.exp() * (soft - torch.log_softmax(f / temperature, -1))).sum(-1).mean(-1)
    return (1 - teacher_weight) * hard + teacher_weight * (temperature**2 * divergence)


#: By the name that a `Recipe` calls them.
LOSSES = {"squared": squared, "cross_entropy": cross_entropy}
