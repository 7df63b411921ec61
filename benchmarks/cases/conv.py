"""Convolutions in float32: images are (batch, channels, height, width)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.kernel import FMA, Array, Kernel, Peer, Recorded, Step, Target, normal, traffic
from benchmarks.peer_calls import jax_call, onnx_nodes, torch_call

METHOD = (
    "Convolutions, forward and both gradients. Rows without a mark have operands that are "
    "channels-last in memory; NCHW marks row-major ones, which the planner uses. Every row "
    "is beside PyTorch in both layouts. The operations counted are those of the definition; of "
    "rows with the default algorithm, what a user gets, those that Winograd needs."
)
LAST = (0, 2, 3, 1)  # channels-last


@dataclass(frozen=True)
class Conv:
    """A convolution of square images."""

    batch: int
    channels: int
    size: int
    filters: int
    kernel: int = 3
    stride: int = 1
    groups: int = 1

    @property
    def padding(self) -> int:
        return self.kernel // 2

    @property
    def out_size(self) -> int:
        return (self.size + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def operations(self) -> float:
        taps = self.kernel**2 * (self.channels // self.groups)
        return 2.0 * self.batch * self.filters * self.out_size**2 * taps

    @property
    def attrs(self) -> tuple[int, ...]:
        padding = (0, self.padding, self.padding)
        return (1, self.stride, self.stride, *padding, *padding, 1, 1, 1, self.groups)

    def arrays(self, order: tuple[int, ...]) -> dict[str, Array]:
        """Image x, weights w, result y and what flows back: dx, dw, dy."""
        x = (self.batch, self.channels, self.size, self.size)
        w = (self.filters, self.channels // self.groups, self.kernel, self.kernel)
        y = (self.batch, self.filters, self.out_size, self.out_size)
        shapes = {"x": x, "w": w, "y": y}
        made = {name: Array(shape, fill=normal, order=order) for name, shape in shapes.items()}
        return made | {f"d{name}": array for name, array in made.items()}


def _forward(c: Conv) -> Callable[..., Any]:
    def run(torch: Any, x: Any, w: Any) -> Any:
        return torch.conv2d(x, w, None, c.stride, c.padding, 1, c.groups)

    return run


def _backward(c: Conv, which: int) -> Callable[..., Any]:
    """Gradient of input (0) or weight (1)."""
    stride, padding = [c.stride] * 2, [c.padding] * 2
    wanted = [which == 0, which == 1, False]

    def run(torch: Any, dy: Any, x: Any, w: Any) -> Any:
        return torch.ops.aten.convolution_backward(
            dy, x, w, None, stride, padding, [1, 1], False, [0, 0], c.groups, wanted
        )[which]

    return run


def _jax_forward(c: Conv) -> Callable[..., Any]:
    def run(jax: Any, x: Any, w: Any) -> Any:
        return jax.lax.conv_general_dilated(
            x, w, (c.stride, c.stride), [(c.padding, c.padding)] * 2, feature_group_count=c.groups
        )

    return run


def _kernel(
    title: str, c: Conv, arrays: dict[str, Array], step: Step, inputs: tuple[str, ...],
    peers: dict[str, Peer], target: Target,
) -> Kernel:  # fmt: skip
    depthwise = c.groups == c.channels
    used = {name: arrays[name] for name in {*inputs, *step.inputs, *step.outputs}}
    return Kernel(
        title=title,
        arrays=dict(sorted(used.items())),
        inputs=inputs,
        outputs=step.outputs,
        steps=(step,),
        limit=traffic(1, 1, arrays["x"].bytes) if depthwise else FMA,
        operations=c.operations,
        bytes=float(sum(arrays[name].bytes for name in "xwy")),
        peers=peers,
        target=target,
    )


def forward(title: str, c: Conv, target: Target, order: tuple[int, ...] = LAST) -> Kernel:
    peers = {
        "PyTorch": torch_call(_forward(c)),
        "PyTorch channels-last": torch_call(_forward(c), channels_last=True),
        "JAX": jax_call(_jax_forward(c)),
        "ONNX Runtime": onnx_nodes(
            ("Conv", ("x0", "x1"), {
                "strides": [c.stride] * 2, "pads": [c.padding] * 4, "group": c.groups
            })
        ),
    }  # fmt: skip
    step = Step("conv", ("x", "w"), ("y",), c.attrs)
    return _kernel(title, c, c.arrays(order), step, ("x", "w"), peers, target)


def gradients(title: str, c: Conv, targets: tuple[Target, Target]) -> list[Kernel]:
    """Of the input and of the weights."""
    image, taps = (1, c.size, c.size), (1, c.kernel, c.kernel)
    steps = (
        Step("conv_input_grad", ("dy", "w"), ("dx",), (*c.attrs, *image)),
        Step("conv_weight_grad", ("x", "dy"), ("dw",), (*c.attrs, *taps)),
    )
    made = []
    for which, name in enumerate(("input", "weight")):
        peers = {
            "PyTorch": torch_call(_backward(c, which)),
            "PyTorch channels-last": torch_call(_backward(c, which), channels_last=True),
        }
        made.append(
            _kernel(f"{title}, {name} gradient", c, c.arrays(LAST), steps[which],
                    ("dy", "x", "w"), peers, targets[which])
        )  # fmt: skip
    return made


def _all(title: str, c: Conv, targets: tuple[Target, Target, Target]) -> list[Kernel]:
    return [forward(f"{title}, forward", c, targets[0]), *gradients(title, c, targets[1:])]


def _default(c: Conv) -> list[Kernel]:
    """What a user gets of a 3×3 convolution with stride 1: Winograd F(2×2, 3×3), which multiplies
    2.25 times less, where it is the default.
    """
    arrays = c.arrays(LAST)
    lines = {
        "y": ("y = conv2d x w padding=1",),
        "dx": ("parameters x", "y = conv2d x w padding=1", "dx = gradients y dy x"),
        "dw": ("parameters w", "y = conv2d x w padding=1", "dw = gradients y dy w"),
    }
    made = []
    names = {"y": "forward", "dx": "input gradient", "dw": "weight gradient"}
    for output, name in names.items():
        inputs = ("x", "w") if output == "y" else ("dy", "x", "w")
        function = _forward(c) if output == "y" else _backward(c, ("dx", "dw").index(output))
        peers = {
            "PyTorch": torch_call(function),
            "PyTorch channels-last": torch_call(function, channels_last=True),
        }
        made.append(
            Kernel(
                title=f"3×3 {c.channels}@{c.size}², default algorithm, {name}",
                arrays={x: arrays[x] for x in (*inputs, output)},
                inputs=inputs,
                outputs=(output,),
                steps=(Recorded(inputs, (output,), lines[output]),),
                limit=replace(FMA, name="FMA f32, of Winograd's multiplications"),
                operations=c.operations / 2.25,
                bytes=float(sum(arrays[x].bytes for x in "xwy")),
                peers=peers,
                target=_times(1.6),
            )
        )
    return made


def _times(ratio: float) -> Target:
    return Target(ratio={"PyTorch channels-last": ratio})


_DIRECT = (Target((0.90, 0.0)), Target((0.88, 0.0)), Target((0.90, 0.0)))
_RESNET = [Conv(16, 64, 56, 64), Conv(16, 128, 28, 128), Conv(16, 256, 14, 256),
           Conv(16, 512, 7, 512)]  # fmt: skip

KERNELS = [
    *(
        replace(k, algorithm="direct")
        for c in _RESNET
        for k in _all(f"3×3 {c.channels}@{c.size}²", c, _DIRECT)
    ),
    *(
        replace(k, algorithm="direct")
        for c in _RESNET
        for k in [
            forward(
                f"3×3 {c.channels}@{c.size}², forward, NCHW", c, Target(ratio={"PyTorch": 1.0}), ()
            )
        ]
    ),
    *(k for c in _RESNET for k in _default(c)),
    *_all("1×1 256@56² to 64", Conv(16, 256, 56, 64, 1), (_times(2.5),) * 3),
    *_all("1×1 64@56² to 256", Conv(16, 64, 56, 256, 1), (_times(2.5),) * 3),
    *_all("7×7 stride 2, 3@224² to 64", Conv(16, 3, 224, 64, 7, 2), (_times(1.0),) * 3),
    *_all("depthwise 3×3 128@56²", Conv(16, 128, 56, 128, 3, 1, 128), (_times(1.5),) * 3),
]
