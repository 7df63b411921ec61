"""The usual ways to call a peer. Frameworks are imported in their own processes alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.kernel import Peer

Function = Callable[..., Any]  # of the framework and the inputs; gives the outputs


def torch_call(function: Function, channels_last: bool = False) -> Peer:
    """PyTorch's operators, eager, without recording gradients."""

    def setup(torch: Any, *inputs: Any) -> Callable[[], Any]:
        return lambda: function(torch, *inputs)

    return Peer("torch", setup, channels_last)


def torch_compiled(function: Function) -> Peer:
    """The same through ``torch.compile``."""

    def setup(torch: Any, *inputs: Any) -> Callable[[], Any]:
        torch._dynamo.reset()
        compiled = torch.compile(lambda *x: function(torch, *x), dynamic=False)
        return lambda: compiled(*inputs)

    return Peer("torch", setup)


def torch_gradient(
    function: Function, inputs: int, channels_last: bool = False, compiled: bool = False
) -> Peer:
    """The backward pass alone: gradients of the first ``inputs`` arrays.

    The last array is the gradient of ``function``'s output, the others are its arguments.
    """

    def setup(torch: Any, *arrays: Any) -> Callable[[], Any]:
        *arguments, gradient = arrays
        with torch.enable_grad():
            wanted = [x.detach().requires_grad_() for x in arguments[:inputs]]
            forward = lambda *x: function(torch, *x)  # noqa: E731
            if compiled:
                torch._dynamo.reset()
                forward = torch.compile(forward, dynamic=False)
            output = forward(*wanted, *arguments[inputs:])
        return lambda: torch.autograd.grad(output, wanted, gradient, retain_graph=True)

    return Peer("torch", setup, channels_last)


def jax_call(function: Function) -> Peer:
    """JAX's functions under ``jit``."""

    def setup(jax: Any, *inputs: Any) -> Callable[[], Any]:
        compiled = jax.jit(lambda *x: function(jax, *x))
        return lambda: jax.block_until_ready(compiled(*inputs))

    return Peer("jax", setup)


def jax_gradient(function: Function, inputs: int) -> Peer:
    """As ``torch_gradient``; XLA keeps of the forward pass what the gradients need."""

    def setup(jax: Any, *arrays: Any) -> Callable[[], Any]:
        def gradients(*x: Any) -> Any:
            *arguments, gradient = x
            forward = lambda *w: function(jax, *w, *arguments[inputs:])  # noqa: E731
            return jax.vjp(forward, *arguments[:inputs])[1](gradient)

        compiled = jax.jit(gradients)
        return lambda: jax.block_until_ready(compiled(*arrays))

    return Peer("jax", setup)


def onnx_nodes(*nodes: tuple[str, Sequence[str], dict[str, Any]]) -> Peer:
    """A graph for ONNX Runtime: operator, inputs and attributes of each node.

    Inputs are x0, x1, …; node i gives yi, and the last node's is the output.
    """

    def setup(onnxruntime: Any, *inputs: Any) -> Callable[[], Any]:
        import os

        import onnx

        h, types = onnx.helper, onnx.TensorProto
        made = [
            h.make_node(operator, list(names), [f"y{i}"], **attributes)
            for i, (operator, names, attributes) in enumerate(nodes)
        ]
        described = [
            h.make_tensor_value_info(
                f"x{i}", h.np_dtype_to_tensor_dtype(x.numpy().dtype), x.shape()
            )
            for i, x in enumerate(inputs)
        ]
        last = f"y{len(nodes) - 1}"
        result = h.make_tensor_value_info(last, types.FLOAT, None)
        graph = h.make_graph(made, "case", described, [result])
        model = h.make_model(graph, opset_imports=[h.make_opsetid("", 20)], ir_version=10)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ["OMP_NUM_THREADS"])
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        binding = session.io_binding()
        for i, x in enumerate(inputs):
            binding.bind_ortvalue_input(f"x{i}", x)
        binding.bind_output(last)
        session.run_with_iobinding(binding)
        binding.bind_ortvalue_output(last, binding.get_outputs()[0])

        def run() -> Any:
            session.run_with_iobinding(binding)
            return binding.get_outputs()

        return run

    return Peer("onnxruntime", setup)
