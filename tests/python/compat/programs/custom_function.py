"""Functions with a derivative of their own, hooks, torch.autograd.grad and double backward."""


def run(torch, fill):
    class LegendrePolynomial3(torch.autograd.Function):
        @staticmethod
        def forward(ctx, input):
            ctx.save_for_backward(input)
            return 0.5 * (5 * input**3 - 3 * input)

        @staticmethod
        def backward(ctx, grad_output):
            (input,) = ctx.saved_tensors
            return grad_output * 1.5 * (5 * input**2 - 1)

    class Scaled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, factor, y):
            ctx.factor = factor
            ctx.save_for_backward(x, y)
            return x * factor + y, x * y

        @staticmethod
        def backward(ctx, first, second):
            x, y = ctx.saved_tensors
            return first * ctx.factor + second * y, None, first + second * x

    x = torch.linspace(-3.14, 3.14, 200)
    y = torch.sin(x)
    a, b, c, d = (torch.full((), v, requires_grad=True) for v in (0.0, -1.0, 0.0, 0.3))
    losses = []
    for _ in range(5):
        P3 = LegendrePolynomial3.apply
        y_pred = a + b * P3(c + d * x)
        loss = (y_pred - y).pow(2).sum()
        losses.append(loss.item())
        loss.backward()
        with torch.no_grad():
            for p in (a, b, c, d):
                p -= 5e-6 * p.grad
                p.grad = None
    u = torch.tensor([1.0, 2.0], requires_grad=True)
    w = torch.tensor([3.0, 4.0], requires_grad=True)
    seen = []
    handle = u.register_hook(lambda g: seen.append(g.sum().item()))
    first, second = Scaled.apply(u, 10.0, w)
    (first.sum() + (second**2).sum()).backward()
    handle.remove()
    losses += u.grad.tolist() + w.grad.tolist() + seen
    v = torch.tensor([0.5, 1.5], requires_grad=True)
    (g,) = torch.autograd.grad((v**3).sum(), v, create_graph=True)
    (gg,) = torch.autograd.grad(g.sum(), v)
    return losses + g.tolist() + gg.tolist()
