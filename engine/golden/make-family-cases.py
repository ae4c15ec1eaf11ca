#!/usr/bin/env python3
"""Makes reference cases of model families with transformers, PEFT and torch in float32 on a processor: sizes and settings that the
other cases do not show.

    python make-family-cases.py [NAME]...

Each case is a folder as engine/jobs/golden-case.ts reads it. Its config.json is written here as a hub folder might have it, old or
new form, without the fields that equal the family's default; the reference model is built from that very file. Everything follows from
the case's name, so a second run gives the same numbers up to the rounding of another machine.
"""
import json
import math
import shutil
import sys
import tempfile
import zlib
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

here = Path(__file__).parent
VOCABULARY = 47
SMALL = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, vocab_size=VOCABULARY)
LLAMA_TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
STARCODER_TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "c_fc", "c_proj"]
PHI_TARGETS = ["q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2"]
PHI3_TARGETS = ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]

# name: (config.json, target modules)
CASES = {
    # Heads wider than the hidden size shared among them, biases everywhere, YaRN over a context that rows exceed.
    "llama-yarn": (
        dict(model_type="llama", **SMALL, num_key_value_heads=2, head_dim=8, attention_bias=True, mlp_bias=True,
             max_position_embeddings=64, rms_norm_eps=1e-5, rope_theta=500.0,
             rope_scaling=dict(type="yarn", factor=8.0, original_max_position_embeddings=8, beta_fast=4.0, beta_slow=0.5)),
        LLAMA_TARGETS,
    ),
    "llama-linear": (
        dict(model_type="llama", **SMALL, tie_word_embeddings=True, max_position_embeddings=64,
             rope_parameters=dict(rope_type="linear", factor=2.5, rope_theta=1000.0)),
        LLAMA_TARGETS,
    ),
    "llama-dynamic": (
        dict(model_type="llama", **SMALL, num_key_value_heads=1, max_position_embeddings=24, hidden_act="gelu_pytorch_tanh",
             rope_scaling=dict(type="dynamic", factor=4.0)),
        LLAMA_TARGETS,
    ),
    "mistral-no-window": (
        dict(model_type="mistral", **SMALL, num_key_value_heads=2, sliding_window=None, rope_theta=1000.0),
        LLAMA_TARGETS,
    ),
    "mistral-layer-types": (
        dict(model_type="mistral", **SMALL, num_key_value_heads=2, head_dim=8, sliding_window=3, tie_word_embeddings=True,
             layer_types=["sliding_attention", "full_attention"]),
        LLAMA_TARGETS,
    ),
    "ministral3-long": (
        dict(model_type="ministral3", **SMALL, num_key_value_heads=2, head_dim=8, sliding_window=6, max_position_embeddings=64,
             rope_parameters=dict(type="yarn", rope_theta=1000.0, factor=4.0, original_max_position_embeddings=4, beta_fast=8.0,
                                  beta_slow=1.0, mscale=1.0, mscale_all_dim=0.5, llama_4_scaling_beta=0.3)),
        LLAMA_TARGETS,
    ),
    "qwen2-window": (
        dict(model_type="qwen2", **SMALL | dict(num_hidden_layers=3), num_key_value_heads=2, use_sliding_window=True,
             sliding_window=4, max_window_layers=1, rope_theta=1000.0, tie_word_embeddings=False),
        LLAMA_TARGETS,
    ),
    "qwen3-bias": (
        dict(model_type="qwen3", **SMALL, num_key_value_heads=2, head_dim=8, attention_bias=True, use_sliding_window=True,
             sliding_window=3, layer_types=["sliding_attention", "full_attention"],
             rope_parameters=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=16, attention_factor=0.9,
                                  rope_theta=1000.0, truncate=False)),
        LLAMA_TARGETS,
    ),
    "smollm3-window": (
        dict(model_type="smollm3", **SMALL | dict(num_hidden_layers=3), num_key_value_heads=2, use_sliding_window=True,
             sliding_window=4, no_rope_layer_interval=2, attention_bias=True, mlp_bias=True, tie_word_embeddings=False),
        LLAMA_TARGETS,
    ),
    "starcoder2": (
        dict(model_type="starcoder2", **SMALL, num_key_value_heads=2, sliding_window=5, rope_theta=1000.0,
             attention_dropout=0.1, residual_dropout=0.1, embedding_dropout=0.1, norm_epsilon=1e-4),
        STARCODER_TARGETS,
    ),
    "starcoder2-no-bias": (
        dict(model_type="starcoder2", **SMALL, num_key_value_heads=4, use_bias=False, tie_word_embeddings=False, hidden_act="gelu"),
        STARCODER_TARGETS,
    ),
    "stablelm": (
        dict(model_type="stablelm", **SMALL | dict(hidden_size=32), num_key_value_heads=2, use_qkv_bias=True),
        LLAMA_TARGETS,
    ),
    "stablelm-parallel": (
        dict(model_type="stablelm", **SMALL, num_key_value_heads=2, qk_layernorm=True, use_parallel_residual=True,
             partial_rotary_factor=0.5, rope_theta=1000.0, layer_norm_eps=1e-4, hidden_dropout=0.1),
        LLAMA_TARGETS,
    ),
    "granite-untied": (
        dict(model_type="granite", **SMALL, num_key_value_heads=2, attention_bias=True, mlp_bias=True, attention_multiplier=0.4,
             embedding_multiplier=4.0, logits_scaling=1.5, residual_multiplier=0.5, rope_theta=1000.0),
        LLAMA_TARGETS,
    ),
    "phi": (
        dict(model_type="phi", **SMALL, resid_pdrop=0.1, embd_pdrop=0.1, rope_theta=1000.0),
        PHI_TARGETS,
    ),
    "phi-qk-layernorm": (
        dict(model_type="phi", **SMALL | dict(hidden_size=32), num_key_value_heads=2, qk_layernorm=True,
             partial_rotary_factor=0.75, layer_norm_eps=1e-4, hidden_act="gelu"),
        PHI_TARGETS,
    ),
    # Some micro-batches are longer than the 9 tokens it was trained for, some are not; the greedy answer grows past them.
    "phi3-longrope": (
        dict(model_type="phi3", **SMALL | dict(hidden_size=32), num_key_value_heads=2, partial_rotary_factor=0.75,
             max_position_embeddings=64, original_max_position_embeddings=9, tie_word_embeddings=True, rope_theta=1000.0,
             rope_scaling=dict(type="longrope", short_factor=[1.0, 1.1, 1.3], long_factor=[1.5, 2.5, 6.0])),
        PHI3_TARGETS,
    ),
    "phi3-window": (
        dict(model_type="phi3", **SMALL, sliding_window=4, rms_norm_eps=1e-4,
             rope_parameters=dict(rope_type="longrope", rope_theta=1000.0, short_factor=[1.0, 1.2], long_factor=[2.0, 4.0],
                                  original_max_position_embeddings=4096, attention_factor=1.2)),
        PHI3_TARGETS,
    ),
}

RECIPE = {"learningRate": 0.005, "schedule": "linear", "warmupSteps": 1, "maxSteps": 4, "batchSize": 2, "gradientAccumulation": 2,
          "weightDecay": 0.01, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "maxGradientNorm": 0.5, "shuffle": False,
          "packing": False, "dropout": 0, "precision": "float32", "seed": 1}


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1) + "\n")


def make_base(config, folder):
    """A model with random weights, norms and biases too, and its hub folder."""
    folder.mkdir()
    write_json(folder / "config.json", config)
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), attn_implementation="eager", dtype=torch.float32)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                # A head that is the embedding shall not make logits so large that rounding shows.
                embedded = 0.3 if model.config.tie_word_embeddings else 1.0
                parameter.normal_(0, embedded if "embed" in name else 1.4 / math.sqrt(parameter.shape[1]))
            else:
                parameter.normal_(1.0 if name.endswith("weight") else 0.0, 0.2)
    with tempfile.TemporaryDirectory() as scratch:
        model.save_pretrained(scratch)
        shutil.copy(Path(scratch) / "model.safetensors", folder / "model.safetensors")


def load_base(folder):
    return AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()


def make_rows(generator):
    def between(low, high):
        return int(torch.randint(low, high + 1, (1,), generator=generator))

    rows = []
    for _ in range(16):
        ids = torch.randint(3, VOCABULARY, (between(5, 13),), generator=generator).tolist()
        prompt = between(1, len(ids) - 3)
        rows.append({"input_ids": ids, "labels": [-100] * prompt + ids[prompt:]})
    return rows


def padded(rows):
    time = max(len(row["input_ids"]) for row in rows)
    mask = [[1] * len(row["input_ids"]) + [0] * (time - len(row["input_ids"])) for row in rows]

    def of(key, filler):
        return torch.tensor([row[key] + [filler] * (time - len(row[key])) for row in rows])

    return of("input_ids", 0), of("labels", -100), torch.tensor(mask)


def logits_of(model, rows):
    ids, _, mask = padded(rows)
    return model(input_ids=ids, attention_mask=mask).logits


def loss_sum(logits, rows):
    """Summed over the supervised tokens, and how many they are."""
    labels = padded(rows)[1][:, 1:]
    total = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels.flatten(), ignore_index=-100, reduction="sum")
    return total, int((labels != -100).sum())


def schedule(step):
    warmup, steps = RECIPE["warmupSteps"], RECIPE["maxSteps"]
    return step / warmup if step < warmup else (steps - step) / (steps - warmup)


def trained_of(model):
    """What is trained, under its name in the adapter's file."""
    return {key.replace(".default", ""): value for key, value in model.named_parameters() if value.requires_grad}


def train(model, rows):
    trained = list(trained_of(model).values())
    optimizer = torch.optim.AdamW(trained, lr=RECIPE["learningRate"], betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
    result = {"step_losses": [], "learning_rates": [], "gradient_norms": [], "supervised_tokens": []}
    for step in range(RECIPE["maxSteps"]):
        micro = [rows[start:start + 2] for start in range(step * 4, step * 4 + 4, 2)]
        supervised = sum(int((padded(part)[1][:, 1:] != -100).sum()) for part in micro)
        loss = 0.0
        for part in micro:
            total = loss_sum(logits_of(model, part), part)[0] / supervised
            total.backward()
            loss += total.item()
        rate = RECIPE["learningRate"] * schedule(step)
        result["step_losses"].append(loss)
        result["gradient_norms"].append(torch.nn.utils.clip_grad_norm_(trained, RECIPE["maxGradientNorm"]).item())
        result["learning_rates"].append(rate)
        result["supervised_tokens"].append(supervised)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        optimizer.zero_grad()
    return result


def make_case(name):
    config, targets = CASES[name]
    folder = here / name
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "adapter").mkdir(parents=True)
    torch.manual_seed(zlib.crc32(name.encode()))
    make_base({**config, "pad_token_id": 0, "torch_dtype": "float32"}, folder / "model")
    rows = make_rows(torch.Generator().manual_seed(zlib.crc32(name.encode()) + 1))
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_json(folder / "recipe.json", RECIPE)
    first = rows[:2]

    base = load_base(folder / "model")
    with torch.no_grad():
        tensors = {"base_logits": logits_of(base, first)}
    lora = LoraConfig(r=2, lora_alpha=4, target_modules=targets, task_type="CAUSAL_LM", init_lora_weights=False)
    model = get_peft_model(base, lora).eval()
    with torch.no_grad():
        for key, value in trained_of(model).items():
            value.normal_(0, 0.3 if "lora_A" in key else 0.2)
    with tempfile.TemporaryDirectory() as scratch:
        model.save_pretrained(scratch)
        shutil.copy(Path(scratch) / "adapter_model.safetensors", folder / "adapter")
        adapter_config = json.loads((Path(scratch) / "adapter_config.json").read_text())
    adapter_config |= {"target_modules": sorted(targets), "base_model_name_or_path": "model"}
    write_json(folder / "adapter" / "adapter_config.json", adapter_config)
    assert trained_of(model).keys() == load_file(folder / "adapter" / "adapter_model.safetensors").keys()

    logits = logits_of(model, first)
    total, count = loss_sum(logits, first)
    (total / count).backward()
    tensors["logits"] = logits.detach()
    tensors |= {f"grad.{key}": value.grad.clone() for key, value in trained_of(model).items()}

    prompt = first[0]["input_ids"][:4]
    with torch.no_grad():
        generated = model.generate(input_ids=torch.tensor([prompt]), attention_mask=torch.ones(1, 4, dtype=torch.long),
                                   do_sample=False, max_new_tokens=12, eos_token_id=None, pad_token_id=0)
    greedy = {"prompt": prompt, "tokens": generated[0, 4:].tolist()}
    assert len(greedy["tokens"]) == 12
    with torch.no_grad():
        model.merge_adapter()
        tensors["merged_logits"] = logits_of(model, first)

    # Merging leaves rounding in the base; training starts again from what is written.
    model = PeftModel.from_pretrained(load_base(folder / "model"), folder / "adapter", is_trainable=True).eval()
    steps = train(model, rows)
    tensors |= {f"trained.{key}": value.detach().clone() for key, value in trained_of(model).items()}
    save_file({key: value.contiguous() for key, value in tensors.items()}, folder / "expected.safetensors")
    write_json(folder / "expected.json", {"loss": (total / count).item(), **steps, "greedy": greedy})
    print(f"{name}: loss {(total / count).item():.4f}, logits up to {tensors['logits'].abs().max():.1f}, greedy {greedy['tokens']}")


if __name__ == "__main__":
    for case in sys.argv[1:] or CASES:
        make_case(case)
