"""MAML: adapt to a support set by gradient steps, and differentiate the query loss after them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import grad, vmap

from ..tasks import Episode, Points
from .networks import move, one_cycle

Params = dict[str, Tensor]
Loss = Callable[[Params, Any], Tensor]  # loss(params, points) of one task is one number
Rates = float | Tensor | dict[str, float | Tensor]  # α of all tensors, or of those it names


def rates(params: Params, inner_lr: Rates) -> dict[str, float | Tensor]:
    """α by tensor name, for the tensors that adapt: all of them unless `inner_lr` names some.

    Raises ValueError when it names a tensor that is not there.
    """
    if not isinstance(inner_lr, dict):
        return dict.fromkeys(params, inner_lr)
    if unknown := [name for name in inner_lr if name not in params]:
        raise ValueError(f"inner_lr names {unknown[0]!r}, but the tensors are {', '.join(params)}")
    return inner_lr


def adapt(
    loss: Loss,
    params: Params,
    support: Any,
    inner_lr: Rates,
    steps: int = 1,
    first_order: bool = False,
) -> Params:
    """The parameters θ′ after `steps` gradient steps on one task's support set.

    params: any tensors by name, which stay as they are; support: what `loss` takes as its points.
    inner_lr: α, a number or a tensor through which gradients flow, for all parameters; or one for
    each name, and parameters that are not named do not adapt.
    first_order: take the inner gradients for constants, so that dθ′/dθ is the identity (FOMAML).
    Source: Finn et al. (2017), equation 1 and section 5.2.
    """
    alpha = rates(params, inner_lr)
    for _ in range(steps):
        moving = {name: params[name] for name in alpha}
        grads = grad(lambda some, rest: loss(rest | some, support))(moving, params)
        if first_order:
            grads = {name: g.detach() for name, g in grads.items()}
        params = params | {name: p - alpha[name] * grads[name] for name, p in moving.items()}
    return params


def losses_after(
    loss: Loss,
    params: Params,
    episodes: Any,
    inner_lr: Rates,
    steps: int = 1,
    first_order: bool = False,
    start: Callable[[Params, Any], Params] | None = None,
) -> Tensor:
    """The query loss of each task after adapting to its support set, (tasks,).

    episodes: an `Episode` (support, query) whose tensors have a leading task dimension.
    start: start(params, support) is where a task begins, `params` itself unless given.
    """

    def after_adapting(episode):
        support, query = episode
        first = start(params, support) if start else params
        return loss(adapt(loss, first, support, inner_lr, steps, first_order), query)

    return vmap(after_adapting)(tuple(episodes))


def meta_loss(
    loss: Loss,
    params: Params,
    episodes: Any,
    inner_lr: Rates,
    steps: int = 1,
    first_order: bool = False,
    start: Callable[[Params, Any], Params] | None = None,
) -> Tensor:
    """The mean over tasks of the query loss after adaptation, one number."""
    return losses_after(loss, params, episodes, inner_lr, steps, first_order, start).mean()


def meta_gradient(
    loss: Loss,
    params: Params,
    episodes: Any,
    inner_lr: Rates,
    steps: int = 1,
    first_order: bool = False,
) -> Params:
    """The gradient of `meta_loss` with respect to the start, by name.

    For one task it is (I − αH₀) … (I − αHₖ₋₁) ∇L(θₖ), with a Hessian of the support loss at each
    visited point and the gradient of the query loss at the last; first order, ∇L(θₖ) alone.
    """
    return grad(meta_loss, argnums=1)(loss, params, episodes, inner_lr, steps, first_order)


def adapt_together(
    losses: Loss,
    params: Params,
    support: Points,
    inner_lr: Rates,
    steps: int = 1,
    first_order: bool = False,
) -> Params:
    """`adapt` for all tasks at once, two to three times as fast as `vmap` where the net is small.

    losses: losses(params, points) is (tasks,), computed from parameters with a leading task
    dimension; the gradient of their sum holds the gradient of every task. params: without that
    dimension; returned with it.
    """
    tasks, alpha = len(support.x), rates(params, inner_lr)
    params = {name: p.expand(tasks, *p.shape) for name, p in params.items()}
    with torch.enable_grad():
        for _ in range(steps):
            moving = [params[name].requires_grad_() for name in alpha]
            total = losses(params, support).sum()
            grads = torch.autograd.grad(total, moving, create_graph=not first_order)
            stepped = (p - alpha[name] * g for name, p, g in zip(alpha, moving, grads))
            params = params | dict(zip(alpha, stepped))
    return params


class MetaTraining:
    """Learns a start, and the inner rates too when they require gradients, with Adam.

    objective: objective(params, episodes, inner_lr, progress) is the meta-loss, one number; draw:
    draw() gives the episodes of one step. `progress` is the part, 0 to 1, of the run behind us.
    outer_lr: β, or its peak when `cycle`: it climbs for a tenth of the run and falls to zero as a
    cosine. The tensors in `params` are replaced by learned copies.
    """

    def __init__(
        self,
        objective: Callable[[Params, Episode, Rates, float], Tensor],
        params: Params,
        draw: Callable[[], Episode],
        inner_lr: Rates,
        outer_lr: float,
        cycle: bool = True,
    ):
        self.objective, self.draw = objective, draw
        self.outer_lr, self.cycle, self.waiting = outer_lr, cycle, None
        self.params = {name: learned(p) for name, p in params.items()}
        self.inner_lr, self.learned = inner_lr, [*self.params.values()]
        if isinstance(inner_lr, dict):
            free = {n: learned(r) for n, r in inner_lr.items() if getattr(r, "requires_grad", 0)}
            self.inner_lr = inner_lr | free
            self.learned += free.values()
        self.optimizer = torch.optim.Adam(self.learned, outer_lr, fused=True)

    def rate(self, progress: float) -> float:
        """β at this part of the run."""
        return self.outer_lr * (one_cycle(progress) if self.cycle else 1.0)

    def step(self, progress: float = 0.0) -> float:
        """One step of the outer loop; returns the meta-loss before it."""
        self.optimizer.param_groups[0]["lr"] = self.rate(progress)
        self.waiting = self.draw() if self.waiting is None else self.waiting
        device = self.learned[0].device
        episodes = self.waiting.map(lambda v: v.to(device))
        loss = self.objective(self.params, episodes, self.inner_lr, progress)
        grads = torch.autograd.grad(loss, self.learned)
        for tensor, g in zip(self.learned, grads):
            tensor.grad = g.contiguous()  # the fused Adam takes strides for granted
        self.optimizer.step()
        self.waiting = None
        return loss.item()

    def to(self, device: torch.device) -> None:
        """Go on on another device, with the optimiser's memory; a failed step keeps its tasks."""
        for tensor in self.learned:
            tensor.data = tensor.data.to(device)
        move(self.optimizer, device)


def learned(tensor: Tensor) -> Tensor:
    """A copy of its own, contiguous, that gradients are taken of."""
    return tensor.detach().clone(memory_format=torch.contiguous_format).requires_grad_()
