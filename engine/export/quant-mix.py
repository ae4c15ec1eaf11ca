"""Writes quant-mix.json: the types that llama.cpp's own quantizer gives the tensors of small models.

    python quant-mix.py FOLDER

The folder has the libraries of llama.cpp's published builds (the npm package @node-llama-cpp/linux-x64 has them). The gguf package from
PyPI and numpy are needed.
"""

import ctypes
import itertools
import json
import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np

FILE_TYPES = {
    "f16": 1, "bf16": 32, "q8_0": 7, "q6_k": 18, "q5_k_m": 17, "q5_1": 9, "q5_0": 8, "q4_k_m": 15, "q4_1": 3, "q4_0": 2,
    "q3_k_m": 12, "q2_k": 10,
}  # fmt: skip
MODELS = [
    {"architecture": "llama", "layers": 9, "heads": 4, "keyValueHeads": 4, "hidden": 256, "feedForward": 512, "tied": True},
    {"architecture": "llama", "layers": 33, "heads": 8, "keyValueHeads": 2, "hidden": 256, "feedForward": 256, "tied": False},
    {"architecture": "llama", "layers": 30, "heads": 9, "keyValueHeads": 3, "hidden": 576, "feedForward": 1536, "tied": True},
    {"architecture": "llama", "layers": 4, "heads": 2, "keyValueHeads": 1, "hidden": 512, "feedForward": 800, "tied": False},
    {"architecture": "llama", "layers": 80, "heads": 8, "keyValueHeads": 2, "hidden": 256, "feedForward": 256, "tied": False},
    {"architecture": "llama", "layers": 80, "heads": 4, "keyValueHeads": 4, "hidden": 256, "feedForward": 256, "tied": True},
    {"architecture": "qwen2", "layers": 80, "heads": 4, "keyValueHeads": 4, "hidden": 256, "feedForward": 256, "tied": True},
    {"architecture": "phi3", "layers": 12, "heads": 4, "keyValueHeads": 4, "hidden": 256, "feedForward": 512, "tied": False},
    {"architecture": "gpt2", "layers": 12, "heads": 4, "keyValueHeads": 4, "hidden": 768, "feedForward": 1024, "tied": True},
]  # fmt: skip


class Importance(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("data", ctypes.POINTER(ctypes.c_float)), ("size", ctypes.c_size_t)]


class Parameters(ctypes.Structure):
    """llama.h, llama_model_quantize_params."""

    _fields_ = [
        *((name, ctypes.c_int32) for name in ("threads", "file_type", "output_type", "embedding_type")),
        *((name, ctypes.c_bool) for name in ("requantize", "quantize_output", "copy", "pure", "keep_split", "dry_run")),
        ("importance", ctypes.POINTER(Importance)),
        *((name, ctypes.c_void_p) for name in ("overrides", "tensor_types", "prune")),
    ]


def load(folder):
    for name in ("libggml-base.so", "libggml.v*.so", "libllama.v*.so"):
        library = ctypes.CDLL(str(next(Path(folder).glob(name))), mode=ctypes.RTLD_GLOBAL)
    library.llama_model_quantize_default_params.restype = Parameters
    return library


def shapes_of(model):
    """Shapes outside of the blocks, and in each block."""
    hidden, feed_forward = model["hidden"], model["feedForward"]
    key_value = hidden // model["heads"] * model["keyValueHeads"]
    fused = model["architecture"] in ("phi3", "gpt2")
    block = {"attn_norm.weight": (hidden,), "attn_output.weight": (hidden, hidden), "ffn_norm.weight": (hidden,)}
    if fused:
        block["attn_qkv.weight"] = (hidden + 2 * key_value, hidden)
    else:
        block |= {"attn_q.weight": (hidden, hidden), "attn_k.weight": (key_value, hidden), "attn_v.weight": (key_value, hidden)}
        block["ffn_gate.weight"] = (feed_forward, hidden)
    block["ffn_up.weight"] = (feed_forward * (2 if model["architecture"] == "phi3" else 1), hidden)
    block["ffn_down.weight"] = (hidden, feed_forward)
    outer = {"token_embd.weight": (64, hidden), "output_norm.weight": (hidden,)}
    if model["architecture"] == "gpt2":
        outer["position_embd.weight"] = (32, hidden)
    if not model["tied"]:
        outer["output.weight"] = (64, hidden)
    return outer, block


def runs(values):
    """`Q6_K*2 Q4_K*3` for two of the one, then three of the other."""
    return " ".join(f"{value}*{len(list(group))}" for value, group in itertools.groupby(values))


def write_model(path, model, shapes):
    writer = gguf.GGUFWriter(path, model["architecture"])
    writer.add_block_count(model["layers"])
    writer.add_context_length(128)
    writer.add_embedding_length(model["hidden"])
    writer.add_feed_forward_length(model["feedForward"])
    writer.add_head_count(model["heads"])
    writer.add_head_count_kv(model["keyValueHeads"])
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_layer_norm_eps(1e-5)
    writer.add_rope_dimension_count(model["hidden"] // model["heads"])
    for name, shape in shapes.items():
        writer.add_tensor(name, np.zeros(shape, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def importance_of(shapes):
    columns = {name: np.ones(shape[-1], dtype=np.float32) for name, shape in shapes.items() if len(shape) == 2}
    entries = (Importance * (len(columns) + 1))()
    for entry, (name, values) in zip(entries, columns.items()):
        entry.name, entry.size = name.encode(), values.size
        entry.data = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
    return entries, columns


def main():
    library = load(sys.argv[1])
    quiet = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *_: None)
    library.llama_log_set(quiet, None)
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        source, target = f"{folder}/source.gguf", f"{folder}/target.gguf"
        for model in MODELS:
            outer, block = shapes_of(model)
            layers = range(model["layers"])
            shapes = outer | {f"blk.{layer}.{name}": shape for layer in layers for name, shape in block.items()}
            write_model(source, model, shapes)
            entries, _columns = importance_of(shapes)
            case = {**model, "outer": outer, "block": block, "types": {}}
            for quantization, file_type in FILE_TYPES.items():
                if model["layers"] == 80 and quantization not in ("q4_k_m", "q3_k_m", "q2_k"):
                    continue
                for importance in (False, True):
                    if importance and quantization not in ("q4_0", "q5_0", "q4_k_m"):
                        continue
                    parameters = library.llama_model_quantize_default_params()
                    parameters.threads, parameters.file_type = 2, file_type
                    if importance:
                        parameters.importance = ctypes.cast(entries, ctypes.POINTER(Importance))
                    if library.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(parameters)) != 0:
                        print("refused", model, quantization)
                        continue
                    found = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(target).tensors}
                    key = f"{quantization} with importance" if importance else quantization
                    of_block = {name: runs(found[f"blk.{layer}.{name}"] for layer in layers) for name in block}
                    case["types"][key] = {name: found[name] for name in outer} | of_block
            cases.append(case)
    Path(__file__).with_name("quant-mix.json").write_text(json.dumps(cases, indent=1) + "\n")


main()
