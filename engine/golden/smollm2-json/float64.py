"""The training of this folder in float64, to tell rounding from mistakes: python float64.py BASE

BASE is the embedded model as a folder in float32 (`lowrank export --format safetensors --quantization f32`). transformers computes norms,
softmax and rotary tables in float32 whatever the type of the model, so these are replaced. Prints every step's loss and gradient norm, and
writes float64.safetensors: the trained tensors that the float32 training in `trained/` is more than 7e-4 of their update away from.
"""

import json, math, sys
from pathlib import Path

import torch
import transformers.models.llama.modeling_llama as llama
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

here = Path(__file__).parent
recipe = json.loads((here / "recipe.json").read_text())
rows = [json.loads(line) for line in (here / "train.rows.jsonl").read_text().splitlines()]


def norm(self, x):
    return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon))


def rotary(self, x, position_ids):
    size = 2 * self.inv_freq.numel()
    frequencies = 1 / base.config.rope_parameters["rope_theta"] ** (torch.arange(0, size, 2).double() / size)
    angles = position_ids[:, :, None].double() * frequencies
    return torch.cat([angles, angles], -1).cos(), torch.cat([angles, angles], -1).sin()


softmax = torch.nn.functional.softmax
torch.nn.functional.softmax = lambda x, dim=-1, dtype=None: softmax(x, dim=dim)
llama.LlamaRMSNorm.forward = norm
llama.LlamaRotaryEmbedding.forward = rotary
base = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float64, attn_implementation="eager")
model = PeftModel.from_pretrained(base, here / "adapter", is_trainable=True, autocast_adapter_dtype=False).double()
trained = {name.replace(".default", ""): p for name, p in model.named_parameters() if p.requires_grad}
before = {name: p.detach().clone() for name, p in trained.items()}

optimizer = torch.optim.AdamW(
    trained.values(), lr=0, betas=(recipe["beta1"], recipe["beta2"]), eps=recipe["epsilon"], weight_decay=recipe["weightDecay"]
)
steps, warmup, size = recipe["maxSteps"], recipe["warmupSteps"], recipe["batchSize"]
for step in range(steps):
    batch = [rows[(step * size + i) % len(rows)] for i in range(size)]
    pad = lambda key, value: torch.nn.utils.rnn.pad_sequence([torch.tensor(row[key]) for row in batch], True, value)
    ids, labels, seen = pad("input_ids", 0), pad("labels", -100), pad("input_ids", -1) >= 0
    logits = model(input_ids=ids, attention_mask=seen.long()).logits[:, :-1]
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten())
    optimizer.zero_grad()
    loss.backward()
    length = torch.nn.utils.clip_grad_norm_(trained.values(), recipe["maxGradientNorm"])
    rising, falling = step / warmup, 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))
    optimizer.param_groups[0]["lr"] = recipe["learningRate"] * (rising if step < warmup else falling)
    optimizer.step()
    print(step + 1, loss.item(), length.item(), flush=True)

reference = load_file(here / "trained" / "adapter_model.safetensors")
apart = lambda name, p: torch.linalg.norm(reference[name] - p) / torch.linalg.norm(p - before[name])
save_file({name: p.detach().float() for name, p in trained.items() if apart(name, p) > 7e-4}, here / "float64.safetensors")
