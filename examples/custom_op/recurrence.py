"""A linear recurrence along the last axis, computed by a C++ kernel, with its derivatives.

``linear(a, x)[t] = a[t] * linear(a, x)[t - 1] + x[t]``: exponential averages, IIR filters, the
state of a diagonal state-space model.
"""

from pathlib import Path

import tegula as tg

linear = tg.load_custom_ops(Path(__file__).with_name("librecurrence.so")).linear


def previous(x, reverse):
    """What came one step before each element of the last axis, or after it if reverse; else 0."""
    zero = tg.zeros((*x.shape[:-1], 1), dtype=x.dtype)
    if reverse:
        return tg.concat([x, zero], axis=-1)[..., 1:]
    return tg.concat([zero, x], axis=-1)[..., : x.shape[-1]]


@linear.vjp
def _(inputs, h, upstream, reverse):
    """The gradient runs along the same recurrence, the other way."""
    a, _ = inputs
    into_x = linear(previous(a, not reverse), upstream, reverse=not reverse)
    return into_x * previous(h, reverse), into_x


@linear.jvp
def _(inputs, h, tangents, reverse):
    a, _ = inputs
    tangent_a, tangent_x = tangents
    return linear(a, tangent_a * previous(h, reverse) + tangent_x, reverse=reverse)


@linear.batch
def _(inputs, axes, size, reverse):
    """Leading axes are rows of their own, so a batch is one more."""
    together = [
        tg.broadcast_to(x, (size, *x.shape)) if axis is None else tg.moveaxis(x, axis, 0)
        for x, axis in zip(inputs, axes, strict=True)
    ]
    return linear(*together, reverse=reverse)


if __name__ == "__main__":
    noisy = tg.sin(tg.arange(200) / 20.0) + 0.3 * tg.random.normal((200,))
    decay = tg.asarray(0.9).requires_grad_()

    def average(decay):
        return (1 - decay) * linear(tg.broadcast_to(decay, (200,)), noisy)

    loss = tg.mean((average(decay) - noisy) ** 2)
    loss.backward()
    print(f"loss {loss.item():.4f}, its derivative by the decay {decay.grad.item():.4f}")
