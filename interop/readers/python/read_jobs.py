"""Jobs as JSON on standard input, each answered with a line of JSON.

A job: {"path": folder, "adapter": folder or null, "texts": [text], "conversation": [message], "tokens": [id], "promptLength": count,
"logits": file}. The logits after every token but the last go to the file as float32.
"""
import json
import sys


def answer_jobs(version, answer):
    print(json.dumps({"version": version}), flush=True)
    for line in sys.stdin:
        try:
            said = answer(json.loads(line))
        except Exception as error:
            said = {"problem": str(error)}
        print(json.dumps(said), flush=True)
