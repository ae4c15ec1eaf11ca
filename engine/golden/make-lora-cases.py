"""Makes reference cases of LoRA variants with transformers and PEFT: `python make-lora-cases.py FOLDER [NAME...]`.

Each case is a folder as the others here: a tiny random model, an adapter with random factors, rows, a recipe, and what PEFT computes.
"""

import copy
import json
import math
import sys
from pathlib import Path

import peft
import torch
import transformers
from peft import LoraConfig, get_peft_model
from peft.optimizers import create_loraplus_optimizer
from safetensors.torch import save_file

LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

CASES = {
    # DoRA of every kind of module at once, with its scale by the root of the rank, patterns and a regular expression.
    "lora-dora-all": dict(
        model=dict(hidden_size=40, intermediate_size=48, num_attention_heads=5, num_key_value_heads=1, num_hidden_layers=3, attention_bias=True),
        lora=dict(
            r=3,
            lora_alpha=5,
            use_dora=True,
            use_rslora=True,
            target_modules=r".*(q_proj|down_proj|embed_tokens|lm_head)",
            exclude_modules=r"model\.layers\.1\..*",
            rank_pattern={r"layers\.[02]\.self_attn\.q_proj": 6, "down_proj": 2},
            alpha_pattern={"lm_head": 2.5},
            bias="all",
        ),
    ),
    # A head tied to the embedding, both adapted, and norms trained whole.
    "lora-tied": dict(
        model=dict(tie_word_embeddings=True, num_hidden_layers=3),
        lora=dict(r=4, target_modules=["embed_tokens", "lm_head", "v_proj", "up_proj"], modules_to_save=["norm"]),
    ),
    # The embedding trained whole, while the head tied to it stays.
    "lora-tied-saved": dict(
        model=dict(tie_word_embeddings=True),
        lora=dict(r=2, target_modules=["o_proj"], modules_to_save=["embed_tokens", "layers.1.mlp"]),
    ),
    # Another learning rate for B, biases and the embedding's factors.
    "lora-plus": dict(
        model=dict(model_type="qwen2"),
        lora=dict(r=4, target_modules=LINEARS + ["embed_tokens"], bias="lora_only", layers_to_transform=[1], layers_pattern="layers"),
        recipe=dict(loraplusLrRatio=8, loraplusLrEmbedding=0.002, warmupSteps=0, schedule="cosine"),
    ),
    # GPT-2 keeps its matrices transposed.
    "lora-gpt2": dict(
        model=dict(model_type="gpt2", n_embd=32, n_head=4, n_layer=2, n_inner=56, n_positions=64, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0),
        lora=dict(r=3, use_dora=True, fan_in_fan_out=True, target_modules=["c_attn", "mlp.c_proj"], modules_to_save=["ln_f"]),
    ),
}

FULL = {"full-tied": dict(model=dict(tie_word_embeddings=True, model_type="qwen2")), "full-gpt2": dict(model=CASES["lora-gpt2"]["model"])}

# Factors that begin as a part of each matrix; a matrix that is wider than tall, and the other way round.
PRINCIPAL = {
    "pissa": dict(model=dict(), lora=dict(r=4, lora_alpha=6, target_modules=["q_proj", "k_proj", "down_proj", "up_proj"], rank_pattern={"k_proj": 2})),
    "olora": dict(model=dict(), lora=dict(r=3, lora_alpha=3, use_rslora=True, target_modules=["v_proj", "gate_proj", "down_proj"])),
}

RECIPE = dict(
    learningRate=0.005, schedule="linear", warmupSteps=1, maxSteps=4, batchSize=2, gradientAccumulation=2, weightDecay=0.01,
    beta1=0.9, beta2=0.999, epsilon=1e-8, maxGradientNorm=0.5, shuffle=False, packing=False, dropout=0, precision="float32", seed=1,
)  # fmt: skip


def make_model(overrides):
    fields = dict(
        model_type="llama", vocab_size=97, hidden_size=32, intermediate_size=56, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128, rms_norm_eps=1e-6, tie_word_embeddings=False,
    )  # fmt: skip
    fields.update(overrides)
    if fields["model_type"] == "gpt2":
        fields = {**overrides, "vocab_size": 97, "bos_token_id": 1, "eos_token_id": 2}
    kind = fields.pop("model_type")
    config = transformers.AutoConfig.for_model(kind, **fields)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").float()
    # Far from the usual first values, so that every bias and norm matters.
    for name, parameter in model.named_parameters():
        std = 0.15 if parameter.ndim > 1 else 0.2
        offset = 1.0 if "norm" in name.lower() or ".ln_" in name and name.endswith("weight") else 0.0
        parameter.data = torch.randn_like(parameter) * std + offset
    model.tie_weights()
    return model


def make_rows(vocabulary):
    rows = []
    for index in range(16):
        length = 10 + (7 * index) % 13
        ids = torch.randint(0, vocabulary, (length,)).tolist()
        start = 2 + index % 5
        rows.append({"input_ids": ids, "labels": [-100] * start + ids[start:]})
    return rows


def padded(rows):
    time = max(len(row["input_ids"]) for row in rows)
    ids = torch.tensor([row["input_ids"] + [0] * (time - len(row["input_ids"])) for row in rows])
    labels = torch.tensor([row["labels"] + [-100] * (time - len(row["labels"])) for row in rows])
    mask = torch.tensor([[1] * len(row["input_ids"]) + [0] * (time - len(row["input_ids"])) for row in rows])
    return ids, labels, mask


def loss_sum(model, rows):
    ids, labels, mask = padded(rows)
    logits = model(input_ids=ids, attention_mask=mask).logits
    shifted = labels[:, 1:]
    return torch.nn.functional.cross_entropy(logits[:, :-1].reshape(-1, logits.shape[-1]), shifted.reshape(-1), ignore_index=-100, reduction="sum"), (
        shifted != -100
    ).sum().item()


def trained(model):
    """Trained parameters by the name they have in the adapter's file."""
    found = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        name = name.replace(".modules_to_save.default", "").replace(".default", "")
        if "original_module" not in name:
            found[name] = parameter
    return found


def factor(recipe, step):
    warmup, steps = recipe["warmupSteps"], recipe["maxSteps"]
    if step < warmup:
        return step / warmup
    share = (step - warmup) / (steps - warmup)
    return 1 - share if recipe["schedule"] == "linear" else 0.5 * (1 + math.cos(math.pi * share))


def optimizer_of(model, recipe):
    options = dict(betas=(recipe["beta1"], recipe["beta2"]), eps=recipe["epsilon"])
    if "loraplusLrRatio" not in recipe:
        return torch.optim.AdamW(trained(model).values(), lr=recipe["learningRate"], weight_decay=recipe["weightDecay"], **options)
    return create_loraplus_optimizer(
        model, torch.optim.AdamW, lr=recipe["learningRate"], loraplus_lr_ratio=recipe["loraplusLrRatio"],
        loraplus_lr_embedding=recipe["loraplusLrEmbedding"], loraplus_weight_decay=recipe["weightDecay"], **options,
    )  # fmt: skip


def train(model, rows, recipe):
    """Four steps; what is measured at each."""
    optimizer = optimizer_of(model, recipe)
    rates = [group["lr"] for group in optimizer.param_groups]
    per_step = recipe["batchSize"] * recipe["gradientAccumulation"]
    measured = dict(step_losses=[], learning_rates=[], gradient_norms=[], supervised_tokens=[])
    for step in range(recipe["maxSteps"]):
        of_step = rows[step * per_step : (step + 1) * per_step]
        count = sum(sum(label != -100 for label in row["labels"][1:]) for row in of_step)
        loss = 0.0
        for at in range(0, per_step, recipe["batchSize"]):
            total, _ = loss_sum(model, of_step[at : at + recipe["batchSize"]])
            (total / count).backward()
            loss += total.item() / count
        norm = torch.nn.utils.clip_grad_norm_(trained(model).values(), recipe["maxGradientNorm"])
        for group, rate in zip(optimizer.param_groups, rates):
            group["lr"] = rate * factor(recipe, step)
        optimizer.step()
        optimizer.zero_grad()
        measured["step_losses"].append(loss)
        measured["learning_rates"].append(recipe["learningRate"] * factor(recipe, step))
        measured["gradient_norms"].append(norm.item())
        measured["supervised_tokens"].append(count)
    return measured


VERSIONS = {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__}


def make_full(folder, model):
    """Every weight of a model trained."""
    torch.manual_seed(sum(folder.name.encode()))
    recipe = {**RECIPE, "method": "full"}
    model = make_model(model)
    model.save_pretrained(folder / "model", safe_serialization=True)
    rows = make_rows(model.config.vocab_size)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "recipe.json").write_text(json.dumps(recipe, indent=1))
    model.eval()
    expected = {**train(model, rows, recipe), "versions": VERSIONS}
    tensors = {f"trained.{name}": parameter.detach().contiguous() for name, parameter in model.named_parameters()}
    save_file(tensors, folder / "expected.safetensors")
    (folder / "expected.json").write_text(json.dumps(expected, indent=1))


def make_principal(folder, model, lora):
    """Trained from PEFT's own first values; what training adds to each matrix."""
    torch.manual_seed(sum(folder.name.encode()))
    recipe = {
        **RECIPE,
        **dict(initialization=folder.name, rank=lora["r"], alpha=lora["lora_alpha"], rslora=lora.get("use_rslora", False)),
        **dict(targetModules=lora["target_modules"], rankPattern=lora.get("rank_pattern", {})),
    }
    base = make_model(model)
    base.save_pretrained(folder / "model", safe_serialization=True)
    before = {name: parameter.detach().clone() for name, parameter in base.named_parameters()}
    rows = make_rows(base.config.vocab_size)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "recipe.json").write_text(json.dumps(recipe, indent=1))
    model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", init_lora_weights=folder.name, **lora))
    model.eval()
    expected = {**train(model, rows, recipe), "versions": VERSIONS}
    merged = dict(model.merge_and_unload().named_parameters())
    tensors = {f"delta.{name}": (merged[name] - before[name]).detach().contiguous() for name in before if not torch.equal(merged[name], before[name])}
    save_file(tensors, folder / "expected.safetensors")
    (folder / "expected.json").write_text(json.dumps(expected, indent=1))


def make(folder, model, lora, recipe=None):
    torch.manual_seed(sum(folder.name.encode()))
    recipe = {**RECIPE, **(recipe or {})}
    base = make_model(model)
    base.save_pretrained(folder / "model", safe_serialization=True)
    rows = make_rows(base.config.vocab_size)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "recipe.json").write_text(json.dumps(recipe, indent=1))

    ids, _, mask = padded(rows[:2])
    tensors = {"base_logits": base(input_ids=ids, attention_mask=mask).logits.detach().clone()}
    model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.0, init_lora_weights=False, **lora))
    model.eval()
    for name, parameter in trained(model).items():
        with torch.no_grad():
            parameter += torch.randn_like(parameter) * 0.05
    model.base_model.peft_config["default"].base_model_name_or_path = "model"
    model.save_pretrained(folder / "adapter", safe_serialization=True)

    tensors["logits"] = model(input_ids=ids, attention_mask=mask).logits.detach().clone()
    total, count = loss_sum(model, rows[:2])
    (total / count).backward()
    for name, parameter in trained(model).items():
        tensors[f"grad.{name}"] = parameter.grad.clone()
    model.zero_grad()
    expected = {"loss": (total / count).item()}

    prompt = torch.randint(0, base.config.vocab_size, (6,)).tolist()
    tokens = list(prompt)
    for _ in range(12):
        tokens.append(model(input_ids=torch.tensor([tokens])).logits[0, -1].argmax().item())
    expected["greedy"] = {"prompt": prompt, "tokens": tokens[6:]}

    # Merging into a matrix that is two modules at once would change both: there the merged model is the adapted one.
    tensors["merged_logits"] = tensors["logits"].clone()
    if not base.config.tie_word_embeddings:
        merged = copy.deepcopy(model).merge_and_unload()
        tensors["merged_logits"] = merged(input_ids=ids, attention_mask=mask).logits.detach().clone()

    expected.update(train(model, rows, recipe), versions=VERSIONS)
    for name, parameter in trained(model).items():
        tensors[f"trained.{name}"] = parameter.detach().clone()
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "expected.safetensors")
    (folder / "expected.json").write_text(json.dumps(expected, indent=1))


if __name__ == "__main__":
    out, *names = sys.argv[1:]
    for name in names or [*CASES, *FULL, *PRINCIPAL]:
        if name in PRINCIPAL:
            make_principal(Path(out) / name, **PRINCIPAL[name])
        elif name in FULL:
            make_full(Path(out) / name, **FULL[name])
        else:
            make(Path(out) / name, **CASES[name])
