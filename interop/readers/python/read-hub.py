"""Token ids, template, logits and a greedy answer from transformers, with an adapter from PEFT."""
import peft
import torch
import transformers

from read_jobs import answer_jobs

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()


def answer(job):
    tokenizer = transformers.AutoTokenizer.from_pretrained(job["path"])
    ids = [tokenizer(text, add_special_tokens=False).input_ids for text in job["texts"]]
    rendered = tokenizer.apply_chat_template(job["conversation"], tokenize=False, add_generation_prompt=True)
    config = transformers.AutoConfig.from_pretrained(job["path"])
    causal = type(config) in transformers.MODEL_FOR_CAUSAL_LM_MAPPING
    kind = transformers.AutoModelForCausalLM if causal else transformers.AutoModelForImageTextToText
    model, loading = kind.from_pretrained(
        job["path"], dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    if job["adapter"] is not None:
        model = peft.PeftModel.from_pretrained(model, job["adapter"])
    model.eval()
    tokens, prompt = torch.tensor([job["tokens"]]), job["promptLength"]
    with torch.no_grad():
        model(tokens[:, :-1]).logits[0].numpy().tofile(job["logits"])
        model.generation_config.eos_token_id = None
        greedy = model.generate(
            input_ids=tokens[:, :prompt],
            attention_mask=torch.ones_like(tokens[:, :prompt]),
            max_new_tokens=tokens.shape[1] - prompt,
            do_sample=False,
        )
    unused = sorted(loading["missing_keys"]) + sorted(loading["unexpected_keys"])
    return {"ids": ids, "rendered": rendered, "answer": greedy[0, prompt:].tolist(), "unused": unused}


answer_jobs(f"transformers {transformers.__version__}, PEFT {peft.__version__}", answer)
