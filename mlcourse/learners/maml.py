"""MAML: adapt to a support set by gradient steps, and differentiate the query loss after them."""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.func import grad, vmap

Params = dict[str, Tensor]
Loss = Callable[[Params, Any], Tensor]  # loss(params, points) of one task is one number


def adapt(
    loss: Loss, params: Params, support: Any, inner_lr, steps: int = 1, first_order: bool = False
) -> Params:
    """The parameters θ′ after `steps` gradient steps on one task's support set.

    params: any tensors by name, which stay as they are; support: what `loss` takes as its points.
    inner_lr: α, a number, or a tensor of one number through which gradients flow.
    first_order: take the inner gradients for constants, so that dθ′/dθ is the identity (FOMAML).
    Source: Finn et al. (2017), equation 1 and section 5.2.
    """
    for _ in range(steps):
        grads = grad(loss)(params, support)
        if first_order:
            grads = {name: g.detach() for name, g in grads.items()}
        params = {name: p - inner_lr * grads[name] for name, p in params.items()}
    return params


def losses_after(
    loss: Loss, params: Params, episodes: Any, inner_lr, steps: int = 1, first_order: bool = False
) -> Tensor:
    """The query loss of each task after adapting to its support set, (tasks,).

    episodes: an `Episode` (support, query) whose tensors have a leading task dimension.
    """

    def after_adapting(episode):
        support, query = episode
        return loss(adapt(loss, params, support, inner_lr, steps, first_order), query)

    return vmap(after_adapting)(tuple(episodes))


def meta_loss(
    loss: Loss, params: Params, episodes: Any, inner_lr, steps: int = 1, first_order: bool = False
) -> Tensor:
    """The mean over tasks of the query loss after adaptation, one number."""
    return losses_after(loss, params, episodes, inner_lr, steps, first_order).mean()


def meta_gradient(
    loss: Loss, params: Params, episodes: Any, inner_lr, steps: int = 1, first_order: bool = False
) -> Params:
    """The gradient of `meta_loss` with respect to the start, by name.

    For one task it is (I − αH₀) … (I − αHₖ₋₁) ∇L(θₖ), with a Hessian of the support loss at each
    visited point and the gradient of the query loss at the last; first order, ∇L(θₖ) alone.
    """
    return grad(meta_loss, argnums=1)(loss, params, episodes, inner_lr, steps, first_order)
