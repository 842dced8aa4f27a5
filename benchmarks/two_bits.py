"""A rival that keeps weights in few bits too: onnxruntime's MatMulNBits, from its package on PyPI."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

_BLOCK = 128  # weights that share a scale, here 1
_INT8 = 4  # its name for the accuracy level that rounds inputs to int8, the fastest


def two_bit_product(x: np.ndarray, s: np.ndarray, *, threads: int) -> Callable[[], np.ndarray]:
    """Return a call that multiplies x (n, d) float32 with s (m, d) of -1, 0 and +1: x s^T, (n, m) float32."""
    more = -x.shape[1] % _BLOCK  # columns to whole blocks, where the inputs are 0
    x, s = np.pad(x, ((0, 0), (0, more))), np.pad(s, ((0, 0), (0, more)))
    (n, d), m = x.shape, len(s)
    codes = (s + 1).astype(np.uint8).reshape(m, d // _BLOCK, _BLOCK // 4, 4)  # less a zero point of 1
    packed = (codes << np.array([0, 2, 4, 6], dtype=np.uint8)).sum(axis=-1, dtype=np.uint8)
    zeros = np.full((m, -(-d // _BLOCK * 2 // 8)), 0b01010101, dtype=np.uint8)
    constants = {"b": packed, "scales": np.ones((m, d // _BLOCK), dtype=np.float32), "zeros": zeros}
    node = helper.make_node(
        "MatMulNBits",
        ["x", *constants],
        ["y"],
        domain="com.microsoft",
        K=d,
        N=m,
        bits=2,
        block_size=_BLOCK,
        accuracy_level=_INT8,
    )
    graph = helper.make_graph(
        [node],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [n, d])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [n, m])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    versions = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=versions, ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: np.asarray(session.run(None, {"x": x})[0])
