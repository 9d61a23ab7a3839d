"""The networks in LiteRT: a graph is made of a network's operations in memory and carried out.

So weights are written down once, in a package; what LiteRT's parser gets to see is made here.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from rgru_codec.runtime.engine import Source
from rgru_codec.runtime.networks import Network, Port
from rgru_codec.runtime.rect import Rect
from rgru_codec.runtime.weights import Array
from rgru_codec.terminal import without_stderr
from rgru_format.errors import OutOfMemory

_Op = schema.BuiltinOperator
_ANY = Rect(0, 64, 0, 64)
"""The picture for which a graph is written down; any other can follow."""
_ALIGNED = 16
_JOINED = 4


class _Buffer(schema.BufferT):  # type: ignore[misc]
    """Bytes of a constant, where arithmetic likes them to begin."""

    def __init__(self, data: bytes = b"") -> None:
        super().__init__()
        self._content = data

    def Pack(self, builder: Any) -> int:  # noqa: N802
        """Called by the schema's own code."""
        content = None
        if self._content:
            builder.StartVector(1, len(self._content), _ALIGNED)
            builder.head -= len(self._content)
            builder.Bytes[builder.head : builder.head + len(self._content)] = self._content
            content = builder.EndVector()
        schema.BufferStart(builder)
        if content is not None:
            schema.BufferAddData(builder, content)
        return int(schema.BufferEnd(builder))


def _made(kind: Callable[[], Any], **values: Any) -> Any:
    """An object of the schema with these fields."""
    made = kind()
    vars(made).update(values)
    return made


def _elementwise(code: int, options: Callable[[], Any] | None = None) -> Callable[..., int]:
    """An operation that keeps the shape."""

    def node(ops: GraphOps, *x: int) -> int:
        return ops._node(code, list(x), ops._shape(x[0]), options and options())

    return node


class GraphOps:
    """The operations of :class:`rgru_codec.runtime.layers.Ops` as nodes; tensors are numbers."""

    def __init__(self) -> None:
        self._tensors: list[Any] = []
        self._buffers: list[_Buffer] = [_Buffer()]
        self._nodes: list[Any] = []
        self._codes: list[int] = []

    def input(self, port: Port) -> int:
        """A tensor that goes in."""
        return self._tensor(port.shape(_ANY))

    def conv(self, x: int, kernel: Array, bias: Array | None, stride: int, relu: bool) -> int:
        options = schema.Conv2DOptionsT()
        weights = kernel.transpose(3, 0, 1, 2)
        return self._kernel(_Op.CONV_2D, options, x, weights, bias, stride, relu)

    def depthwise(self, x: int, kernel: Array, stride: int) -> int:
        options = _made(schema.DepthwiseConv2DOptionsT, depthMultiplier=1)
        return self._kernel(_Op.DEPTHWISE_CONV_2D, options, x, kernel[None], None, stride, False)

    def product(self, x: int, kernel: Array, bias: Array | None = None, relu: bool = False) -> int:
        return self.conv(x, kernel[None, None], bias, 1, relu)

    def multiply(self, a: int, b: int | float) -> int:
        if isinstance(b, float):
            b = self._constant(np.full((1, 1, 1, 1), b, np.float32))
        return self._node(_Op.MUL, [a, b], self._shape(a), schema.MulOptionsT())

    add = _elementwise(_Op.ADD, schema.AddOptionsT)
    subtract = _elementwise(_Op.SUB, schema.SubOptionsT)
    relu = _elementwise(_Op.RELU)
    sigmoid = _elementwise(_Op.LOGISTIC)
    tanh = _elementwise(_Op.TANH)
    exp = _elementwise(_Op.EXP, schema.ExpOptionsT)
    clip = _elementwise(_Op.RELU_N1_TO_1)

    def join(self, parts: Sequence[int]) -> int:
        """Channels side by side, a few at a time: XNNPACK takes no more."""
        if len(parts) > _JOINED:
            return self.join([self.join(parts[:_JOINED]), *parts[_JOINED:]])
        options = _made(schema.ConcatenationOptionsT, axis=3)
        first = self._shape(parts[0])
        depth = sum(self._shape(part)[3] for part in parts)
        return self._node(_Op.CONCATENATION, list(parts), (*first[:3], depth), options)

    def depth_to_space(self, x: int, factor: int) -> int:
        options = _made(schema.DepthToSpaceOptionsT, blockSize=factor)
        _, rows, columns, depth = self._shape(x)
        shape = (1, rows * factor, columns * factor, depth // factor**2)
        return self._node(_Op.DEPTH_TO_SPACE, [x], shape, options)

    def space_to_depth(self, x: int, factor: int) -> int:
        options = _made(schema.SpaceToDepthOptionsT, blockSize=factor)
        _, height, width, depth = self._shape(x)
        shape = (1, height // factor, width // factor, depth * factor**2)
        return self._node(_Op.SPACE_TO_DEPTH, [x], shape, options)

    def model(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """The graph as LiteRT reads it."""
        graph, model = schema.SubGraphT(), schema.ModelT()
        graph.tensors, graph.operators = self._tensors, self._nodes
        graph.inputs, graph.outputs = list(inputs), list(outputs)
        model.version, model.subgraphs, model.buffers = 3, [graph], self._buffers
        model.operatorCodes = [
            _made(schema.OperatorCodeT, builtinCode=c, deprecatedBuiltinCode=min(c, 127), version=1)
            for c in self._codes
        ]
        size = sum(len(buffer._content) + _ALIGNED for buffer in self._buffers)
        builder = flatbuffers.Builder(size + 2**16)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    def _shape(self, tensor: int) -> tuple[int, ...]:
        return tuple(self._tensors[tensor].shape)

    def _tensor(self, shape: Sequence[int], buffer: int = 0) -> int:
        number = len(self._tensors)
        made = _made(schema.TensorT, shape=list(shape), buffer=buffer, name=f"t{number}")
        self._tensors.append(made)
        return number

    def _constant(self, values: Array) -> int:
        self._buffers.append(_Buffer(np.ascontiguousarray(values, "<f4").tobytes()))
        return self._tensor(values.shape, len(self._buffers) - 1)

    def _node(self, code: int, inputs: list[int], shape: Sequence[int], options: Any = None) -> int:
        if code not in self._codes:
            self._codes.append(code)
        node = schema.OperatorT()
        node.opcodeIndex, node.inputs = self._codes.index(code), inputs
        node.outputs = [self._tensor(shape)]
        if options is not None:
            name = type(options).__name__.removesuffix("T")
            node.builtinOptionsType = getattr(schema.BuiltinOptions, name)
            node.builtinOptions = options
        self._nodes.append(node)
        return int(node.outputs[0])

    def _kernel(
        self,
        code: int,
        options: Any,
        x: int,
        weights: Array,
        bias: Array | None,
        stride: int,
        relu: bool,
    ) -> int:
        depth = weights.shape[0] if code == _Op.CONV_2D else weights.shape[3]
        options.padding = schema.Padding.SAME
        options.strideH = options.strideW = stride
        if relu:
            options.fusedActivationFunction = schema.ActivationFunctionType.RELU
        bias = np.zeros(depth, np.float32) if bias is None else bias
        _, rows, columns, _ = self._shape(x)
        shape = (1, -(-rows // stride), -(-columns // stride), depth)
        return self._node(code, [x, self._constant(weights), self._constant(bias)], shape, options)


def graph_of(network: Network) -> tuple[bytes, list[int], list[int]]:
    """The graph of a network, and the numbers of its inputs and outputs, in their order."""
    ops = GraphOps()
    inputs = {name: ops.input(port) for name, port in network.inputs.items()}
    found = network.run(ops, inputs)
    outputs = [found[name] for name in network.outputs]
    return ops.model(list(inputs.values()), outputs), list(inputs.values()), outputs


_engines: weakref.WeakSet[LiteRT] = weakref.WeakSet()


def _leave_to_parent() -> None:
    """In a forked process: let no interpreter of the parent's ever be taken down."""
    for engine in _engines:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(engine._interpreter))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


class LiteRT:
    """An engine in LiteRT. Nothing is copied but what sources write and readers take out.

    A forked process makes its interpreter anew, since the threads of the parent's do not follow;
    that one is left as it is, for its end would wait for them and bring the process down.

    Args:
        network: what it carries out.
        threads: of the engine.
    """

    def __init__(self, network: Network, threads: int) -> None:
        self.network = network
        self.pixels = 0
        self._threads = threads
        self._graph, self._inputs, self._outputs = graph_of(network)
        self._start()

    def _start(self) -> None:
        self._process = os.getpid()
        self._size: tuple[int, int] | None = None
        self._interpreter: Any = Interpreter(model_content=self._graph, num_threads=self._threads)
        _engines.add(self)

    @contextlib.contextmanager
    def step(self, sources: Mapping[str, Source], window: Rect) -> Iterator[Mapping[str, Array]]:
        """See :class:`rgru_codec.runtime.engine.Engine`."""
        if self._process != os.getpid():
            self._start()
        try:
            self._prepare(window)
            for name, index in zip(self.network.inputs, self._inputs, strict=True):
                sources[name](window, self._interpreter.tensor(index)())
            self._interpreter.invoke()
        except (RuntimeError, MemoryError) as error:
            self._size = None
            raise OutOfMemory(f"a window of {window.width}x{window.height} pixels") from error
        results = {
            name: self._interpreter.tensor(index)()
            for name, index in zip(self.network.outputs, self._outputs, strict=True)
        }
        yield results
        results.clear()

    def _prepare(self, window: Rect) -> None:
        if self._size == (window.height, window.width):
            return
        for index, port in zip(self._inputs, self.network.inputs.values(), strict=True):
            self._interpreter.resize_tensor_input(index, port.shape(window))
        with _quiet():
            self._interpreter.allocate_tensors()
        self._size, self.pixels = (window.height, window.width), window.height * window.width


_first = threading.Lock()
_started = False


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the note that the engine makes at the first start off the user's terminal.

    It is made once a process, in C++, on file descriptor 2; later starts touch nothing.
    """
    global _started
    if _started:
        yield
        return
    with _first:
        with contextlib.nullcontext() if _started else without_stderr():
            yield
        _started = True
