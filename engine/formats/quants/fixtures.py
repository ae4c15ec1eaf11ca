"""Writes fixtures.json: blocks, rows and importance, and what llama.cpp's own library makes of them.

    python fixtures.py PATH/libggml-base.so

The library is the one of llama.cpp's published builds (the npm package @node-llama-cpp/linux-x64 has it). The gguf package from PyPI
must agree on every value it can compute; it and numpy are all that is needed.
"""

import base64
import ctypes
import json
import sys
from pathlib import Path

import gguf
import numpy as np

TYPES = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS"]
READ_ONLY = {"IQ4_NL", "IQ4_XS"}
# Offsets of the half-precision numbers in a block, which must not be infinite or NaN.
HALVES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
    "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0],
}  # fmt: skip
WIDTH = 512

ggml = ctypes.CDLL(sys.argv[1])
ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
random = np.random.default_rng(20)


def text(array):
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def pointer(array):
    return None if array is None else array.ctypes.data_as(ctypes.c_void_p)


def random_blocks(name, count):
    _, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]
    blocks = random.integers(0, 256, (count, size), dtype=np.uint8)
    for at in HALVES[name]:
        blocks[:, at : at + 2] = random.normal(0, 0.02, (count, 1)).astype(np.float16).view(np.uint8)
    return blocks


def dequantize(name, blocks):
    quant = gguf.GGMLQuantizationType[name]
    elements, _ = gguf.GGML_QUANT_SIZES[quant]
    values = np.empty(blocks.shape[0] * elements, dtype=np.float32)
    function = getattr(ggml, "dequantize_row_" + (name.lower()[:-1] + "K" if name.endswith("K") else name.lower()))
    function(pointer(blocks), pointer(values), ctypes.c_int64(values.size))
    other = gguf.quants.dequantize(blocks.reshape(-1), quant)
    assert np.array_equal(values.view(np.uint32), other.astype(np.float32).view(np.uint32)), name
    return values


def quantize(name, rows, importance):
    quant = gguf.GGMLQuantizationType[name]
    elements, size = gguf.GGML_QUANT_SIZES[quant]
    blocks = np.zeros(rows.size // elements * size, dtype=np.uint8)
    ggml.ggml_quantize_chunk(
        int(quant), pointer(rows), pointer(blocks), ctypes.c_int64(0), ctypes.c_int64(rows.shape[0]),
        ctypes.c_int64(rows.shape[1]), pointer(importance),
    )  # fmt: skip
    if importance is None and not name.endswith("K"):
        assert np.array_equal(blocks, gguf.quants.quantize(rows, quant).reshape(-1)), name
    return blocks


def make_rows():
    """Weights as models have them, and what is hard: tails, one sign, constants, zeros, and numbers below half precision."""
    rows = random.normal(0, 0.02, (4, WIDTH)).astype(np.float32)
    rows[1] *= random.standard_t(3, WIDTH).astype(np.float32)
    rows[1, 256:] = np.abs(rows[1, 256:]) + np.float32(0.01)
    rows[2, :64] = 0
    rows[2, 64:128] = 0.25
    rows[2, 128:192] = -0.25
    rows[2, 192:256] = 0
    rows[2, 200] = 3
    rows[2, 256:] = np.round(rows[2, 256:] * 200) / 16
    rows[3, :256] *= np.float32(1e-7)
    rows[3, 256:] = 0
    return rows


def main():
    rows = make_rows()
    importance = (random.standard_normal(WIDTH) ** 2 + 0.01).astype(np.float32)
    importance[40:60] = 0
    fixtures = {"width": WIDTH, "rows": text(rows), "importance": text(importance), "types": {}}
    for name in TYPES:
        elements, _ = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]
        blocks = random_blocks(name, 256 // elements)
        entry = {"blocks": text(blocks), "values": text(dequantize(name, blocks))}
        if name not in READ_ONLY:
            entry["plain"] = text(quantize(name, rows, None))
            entry["weighted"] = text(quantize(name, rows, importance))
        fixtures["types"][name] = entry
    Path(__file__).with_name("fixtures.json").write_text(json.dumps(fixtures, indent=2) + "\n")


main()
