"""The idea of Tegula in one file of NumPy: docs/how-it-works-in-300-lines.md goes through it.
A call records a node; its value is computed when somebody looks at it. Derivatives, batches and
compiled functions come of recording a function on placeholders and rewriting its graph.
"""

import itertools
from collections.abc import Callable
from math import pi, prod
from typing import NamedTuple

import numpy as np

# fmt: off
# ---- The graph: nodes, primitives, looking at a value

class Node:
    """A value: an array, what a primitive makes of its inputs, or a placeholder."""

    __array_ufunc__ = None  # array + node is the node's business
    numbers = itertools.count()

    def __init__(self, shape, primitive=None, inputs=(), attrs=None, array=None):
        self.shape, self.primitive, self.inputs, self.attrs = shape, primitive, inputs, attrs
        self.array, self.number = array, next(Node.numbers)  # inputs have smaller numbers
        self.known = all(x.known for x in inputs) if primitive else array is not None

    def numpy(self):
        """The value. What it needs and was not computed yet is computed now, in recorded order."""
        require(self.known, "a placeholder has no value: look at it outside of the transform")
        for node in behind([self], lambda node: node.array is None):
            arrays = [x.array for x in node.inputs]
            node.array = np.asarray(node.primitive.compute(*arrays, **node.attrs))
            node.inputs = ()  # a graph does not outlive its use
        return self.array

    def __repr__(self): return f"Node({self.numpy() if self.known else self.shape})"
    def __bool__(self): return bool(self.numpy())
    def __add__(self, other): return add(self, other)
    def __radd__(self, other): return add(other, self)
    def __mul__(self, other): return multiply(self, other)
    def __rmul__(self, other): return multiply(other, self)
    def __neg__(self): return multiply(self, -1.0)
    def __sub__(self, other): return add(self, multiply(other, -1.0))
    def __rsub__(self, other): return add(other, -self)
    def __truediv__(self, other): return multiply(self, reciprocal(other))
    def __rtruediv__(self, other): return multiply(other, reciprocal(self))
    def __matmul__(self, other): return matmul(self, other)
    def __rmatmul__(self, other): return matmul(other, self)
    def __gt__(self, other): return greater(self, other)
    def __lt__(self, other): return greater(other, self)

    def sum(self, axis=None):
        """The sum along an axis, which stays with size 1; without one the sum of all, a number."""
        if axis is None:
            return reshape(reduce_sum(self, axes=tuple(range(len(self.shape)))), shape=())
        return reduce_sum(self, axes=(axis % len(self.shape),))

def require(condition, message):
    if not condition:
        raise ValueError(message)

def node_of(x):
    return x if isinstance(x, Node) else Node(np.shape(x), array=np.array(x))

def behind(nodes, follow):
    """The nodes and what they are made from, as far as `follow` says, in recorded order."""
    found, stack = set(), list(nodes)
    while stack:
        node = stack.pop()
        if node not in found and follow(node):
            found.add(node)
            stack += node.inputs
    return sorted(found, key=lambda node: node.number)

def looped(primitive, inputs, mapped, **attrs):
    size = max(x.shape[0] for x, m in zip(inputs, mapped) if m)
    require(size, f"{primitive.name}: a batch of nothing")
    rows = [[take(x, i) if m else x for x, m in zip(inputs, mapped)] for i in range(size)]
    return stack(*(primitive(*row, **attrs) for row in rows))

class Primitive(NamedTuple):
    """All there is to know of an operation. A call records a node and computes nothing."""

    name: str
    compute: Callable  # arrays -> the result
    shape: Callable  # shapes -> the shape of the result
    vjp: Callable  # gradient, result, *inputs -> gradients of the inputs; None: nothing flows
    batch: Callable = looped  # primitive, inputs, which have a batch as axis 0 -> batch of results

    def __call__(self, *inputs, **attrs):
        inputs = tuple(map(node_of, inputs))
        return Node(tuple(self.shape(*(x.shape for x in inputs), **attrs)), self, inputs, attrs)

# ---- The primitives: all rules of an operation in one place

def pad(x, rank):
    n, *rest = x.shape
    return reshape(x, shape=(n, *[1] * (rank - len(rest)), *rest))

def aligned(primitive, inputs, mapped):
    """A batch where operands broadcast: the batch axis, ones up to the common rank, the rest."""
    rank = max(len(x.shape) - m for x, m in zip(inputs, mapped))
    return primitive(*(pad(x, rank) if m else x for x, m in zip(inputs, mapped)))

def elementwise(name, compute, vjp):
    return Primitive(name, compute, np.broadcast_shapes, vjp, aligned)

add = elementwise("add", np.add, lambda g, out, a, b: (g, g))
multiply = elementwise("multiply", np.multiply, lambda g, out, a, b: (g * b, g * a))
reciprocal = elementwise("reciprocal", lambda x: 1.0 / x, lambda g, out, x: (-g * out * out,))
exp = elementwise("exp", np.exp, lambda g, out, x: (g * out,))
log = elementwise("log", np.log, lambda g, out, x: (g / x,))
sin = elementwise("sin", np.sin, lambda g, out, x: (g * sin(x + pi / 2),))
greater = elementwise("greater", np.greater, lambda g, out, a, b: (None, None))
where = elementwise("where", np.where,
    lambda g, out, c, a, b: (None, where(c, g, 0.0), where(c, 0.0, g)))

def matmul_shape(a, b):
    require(min(len(a), len(b)) > 1 and a[-1] == b[-2], f"matmul: {a} and {b} do not fit")
    return (*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1])

def swapped(x):
    *rest, n, m = range(len(x.shape))
    return transpose(x, axes=(*rest, m, n))

matmul = Primitive("matmul", np.matmul, matmul_shape,
    lambda g, out, a, b: (g @ swapped(b), swapped(a) @ g), aligned)
reduce_sum = Primitive("reduce_sum", lambda x, axes: x.sum(axes, keepdims=True),
    lambda x, axes: [1 if i in axes else n for i, n in enumerate(x)],
    lambda g, out, x, axes: (broadcast_to(g, shape=x.shape),),
    lambda self, xs, mapped, axes: self(*xs, axes=tuple(i + 1 for i in axes)))
broadcast_to = Primitive("broadcast_to", np.broadcast_to,
    lambda x, shape: np.broadcast_shapes(x, shape),
    lambda g, out, x, shape: (g,),  # `pull` sums it to the shape of x
    lambda self, xs, mapped, shape: self(pad(*xs, len(shape)), shape=xs[0].shape[:1] + shape))
reshape = Primitive("reshape", np.reshape,
    lambda x, shape: require(prod(x) == prod(shape), f"reshape: {x} cannot be {shape}") or shape,
    lambda g, out, x, shape: (reshape(g, shape=x.shape),),
    lambda self, xs, mapped, shape: self(*xs, shape=xs[0].shape[:1] + shape))
transpose = Primitive("transpose", np.transpose, lambda x, axes: [x[i] for i in axes],
    lambda g, out, x, axes: (transpose(g, axes=tuple(map(axes.index, range(len(axes))))),),
    lambda self, xs, mapped, axes: self(*xs, axes=(0, *(i + 1 for i in axes))))
take = Primitive("take", lambda x, rows: x[rows], lambda x, rows: rows + x[1:],
    lambda g, out, x, rows: (put(g, rows, size=x.shape[0]), None),
    lambda self, xs, mapped: looped(self, xs, mapped) if mapped[0] else self(*xs))
put = Primitive("put",  # `take` transposed: rows of x added up where they came from
    lambda x, rows, size: np.tensordot(np.eye(size)[rows], x, (range(rows.ndim),) * 2),
    lambda x, rows, size: (size, *x[len(rows) :]),
    lambda g, out, x, rows, size: (take(g, rows), None))
stack = Primitive("stack", lambda *xs: np.stack(xs), lambda *shapes: (len(shapes), *shapes[0]),
    lambda g, out, *xs: [take(g, i) for i in range(len(xs))])

# ---- Recording a function, recording its graph again

class Graph:
    """How outputs are made from inputs. What is made from anything else is left as it is."""

    def __init__(self, inputs, outputs):
        self.inputs, self.outputs, self.nodes = list(inputs), list(outputs), []
        first, reached = min((x.number for x in inputs), default=0), set(inputs)
        for node in behind(outputs, lambda node: node.number > first):
            if not reached.isdisjoint(node.inputs):
                reached.add(node)
                self.nodes.append(node)

def flatten(tree):
    """The leaves of nested tuples and lists, and their form, None standing for a leaf."""
    if not isinstance(tree, (tuple, list)):
        return [node_of(tree)], None
    flat = [flatten(part) for part in tree]
    return [x for leaves, _ in flat for x in leaves], (type(tree), *(form for _, form in flat))

def unflatten(form, leaves):
    leaves = iter(leaves)
    return form[0](unflatten(part, leaves) for part in form[1:]) if form else next(leaves)

def record(fn, args, mapped=None):
    """The graph of fn for such arguments, the form of its result, what its inputs stand for."""
    leaves, form = flatten(args)
    new = {Node(x.shape[m:]): x for x, m in zip(leaves, mapped or [False] * len(leaves))}
    outputs, result_form = flatten(fn(*unflatten(form, new)))
    return Graph(new, outputs), result_form, new

def replay(graph, new, mapped=frozenset()):
    """Records the graph again on what `new` has for its inputs, and adds the other nodes to it.
    Those of `mapped` have a batch there, as axis 0, and so has what is made from them.
    """
    for node in [node for node in graph.nodes if node not in new]:
        inputs = [new.get(x, x) for x in node.inputs]
        if mapped.isdisjoint(node.inputs):
            new[node] = node.primitive(*inputs, **node.attrs)
        else:
            has_batch = [x in mapped for x in node.inputs]
            new[node] = node.primitive.batch(node.primitive, inputs, has_batch, **node.attrs)
            mapped.add(node)
    return [new.get(x, x) for x in graph.outputs]

# ---- The transforms

def pull(node, g):
    """(input, gradient) where something flows back from a node whose gradient is g."""
    gradients = node.primitive.vjp(g, node, *node.inputs, **node.attrs)
    return [(x, sum_to(d, x.shape)) for x, d in zip(node.inputs, gradients) if d is not None]

def sum_to(x, shape):
    """The sum of x over the axes along which something of this shape was repeated."""
    new = len(x.shape) - len(shape)
    axes = tuple(i for i, n in enumerate(x.shape) if i < new or n != shape[i - new])
    return x if x.shape == shape else reshape(reduce_sum(x, axes=axes), shape=shape)

def reverse(graph, seeds):
    """The gradients of sum(outputs * seeds) by the inputs."""
    flows = {}
    for x, g in zip(graph.outputs, seeds, strict=True):
        require(x.shape == g.shape, f"the gradient of an output {x.shape} has shape {g.shape}")
        flows[x] = flows[x] + g if x in flows else g
    for node in reversed(graph.nodes):
        for x, g in pull(node, flows[node]) if node in flows else ():
            flows[x] = flows[x] + g if x in flows else g
    return [flows[x] if x in flows else node_of(np.zeros(x.shape)) for x in graph.inputs]

def vjp(fn, *args):
    """The result, and a function from its gradient to the gradients of the arguments."""
    graph, form, new = record(fn, args)
    def pullback(seed):
        gradients = Graph(graph.inputs, reverse(graph, flatten(seed)[0]))
        return unflatten(flatten(args)[1], replay(gradients, new))
    return unflatten(form, replay(graph, new)), pullback

def value_and_grad(fn):
    """A function that gives the result, a number, and its gradient by the first argument."""
    def both(*args):
        value, pullback = vjp(fn, *args)
        return value, pullback(1.0)[0]
    return both

def grad(fn):
    return lambda *args: value_and_grad(fn)(*args)[1]

def forward(graph, tangents):
    """How the outputs move when the inputs move by the tangents. No primitive has a rule for it:
    a vjp is linear in the gradient g, and its transpose is the jvp. Reverse mode transposes: the
    vjp, recorded on a placeholder g, is differentiated by g, with the tangents for gradients.
    """
    moves = dict(zip(graph.inputs, tangents, strict=True))
    for x, t in moves.items():
        require(x.shape == t.shape, f"the tangent of an argument {x.shape} has shape {t.shape}")
    for node in graph.nodes:
        g = Node(node.shape)
        pairs = [(d, moves[x]) for x, d in pull(node, g) if x in moves]
        if pairs:
            gradients, seeds = zip(*pairs)
            (moves[node],) = reverse(Graph([g], gradients), seeds)
    return [moves[x] if x in moves else node_of(np.zeros(x.shape)) for x in graph.outputs]

def jvp(fn, args, tangents):
    """The result, and how it moves when the arguments move by the tangents."""
    graph, form, new = record(fn, args)
    both = Graph(graph.inputs, graph.outputs + forward(graph, flatten(tangents)[0]))
    outputs = iter(replay(both, new))
    return unflatten(form, outputs), unflatten(form, outputs)

def vmap(fn, in_axes=0):
    """What fn gives for each example along axis 0, or without a batch where in_axes is None."""
    def over_batch(*args):
        axes = in_axes if isinstance(in_axes, tuple) else (in_axes,) * len(args)
        require({*axes} <= {0, None}, f"vmap: an axis is 0 or None, not {axes}")
        has_batch = [a == 0 for arg, a in zip(args, axes, strict=True) for _ in flatten(arg)[0]]
        graph, form, new = record(fn, args, has_batch)
        mapped = {x for x, m in zip(new, has_batch) if m}
        sizes = {new[x].shape[:1] for x in mapped}
        require(len(sizes) == 1 and () not in sizes, f"vmap: axes 0 of sizes {sizes}, not of one")
        return unflatten(form, [y if x in mapped else broadcast_to(y, shape=max(sizes) + y.shape)
                                for y, x in zip(replay(graph, new, mapped), graph.outputs)])
    return over_batch

def jit(fn):
    """A function that records fn once for each form and shapes of arguments, then runs steps."""
    programs = {}
    def run(*args):
        leaves, form = flatten(args)
        key = form, tuple(x.shape for x in leaves)
        if key not in programs:
            programs[key] = compiled(*record(fn, args)[:2])
        return programs[key](leaves)
    return run

def compiled(graph, form):
    used = {x for node in graph.nodes for x in node.inputs}.union(graph.outputs)
    constants = list(used.difference(graph.inputs, graph.nodes))
    place = {x: i for i, x in enumerate([*graph.inputs, *constants, *graph.nodes])}
    steps = [(x.primitive.compute, x.attrs, [place[i] for i in x.inputs]) for x in graph.nodes]
    def run(leaves):
        if not all(x.known for x in [*leaves, *constants]):  # within another transform
            return unflatten(form, replay(graph, dict(zip(graph.inputs, leaves))))
        values = [x.numpy() for x in [*leaves, *constants]]
        for compute, attrs, inputs in steps:
            values.append(compute(*[values[i] for i in inputs], **attrs))
        return unflatten(form, [node_of(values[place[x]]) for x in graph.outputs])
    return run
