"""Token ids, template, logits and a greedy answer from onnxruntime-genai."""
import json

import numpy
import onnxruntime_genai

from read_jobs import answer_jobs


def generator_of(model, length):
    params = onnxruntime_genai.GeneratorParams(model)
    params.set_search_options(max_length=length, do_sample=False)
    return onnxruntime_genai.Generator(model, params)


def answer(job):
    model = onnxruntime_genai.Model(job["path"])
    tokenizer = onnxruntime_genai.Tokenizer(model)
    tokens, prompt = job["tokens"], job["promptLength"]
    generator = generator_of(model, len(tokens) + 1)
    with open(job["logits"], "wb") as file:
        for token in tokens[:-1]:
            generator.append_tokens(numpy.array([[token]], dtype=numpy.int32))
            numpy.asarray(generator.get_logits(), dtype=numpy.float32).reshape(-1).tofile(file)
    greedy = generator_of(model, len(tokens))
    greedy.append_tokens(numpy.array([tokens[:prompt]], dtype=numpy.int32))
    while not greedy.is_done():
        greedy.generate_next_token()
    return {
        "ids": [tokenizer.encode(text).tolist() for text in job["texts"]],
        "rendered": tokenizer.apply_chat_template(json.dumps(job["conversation"]), add_generation_prompt=True),
        "answer": greedy.get_sequence(0)[prompt:].tolist(),
    }


answer_jobs(f"onnxruntime-genai {onnxruntime_genai.__version__}", answer)
