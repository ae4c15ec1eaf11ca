"""Compares what is trained with what the training templates of TRL mark, and names the rule that each difference follows.

python engine/golden/compare-trl-masks.py [CONVERSATION]...

It needs transformers, TRL and node, and runs in the root of the repository. Every template of TRL that has a training template is
taken under every conversation of chat-templates/conversations.json and those below, with each answer as the last one. It ends with
status 1 where a difference follows no rule. `refused` are turns that are not trained here, with the reason.

Rules. The prompt is what transformers renders of the model's own template with a generation prompt, and P is what TRL marks, O what is
trained here. Each rule changes one of them in a way that is checked, and the fewest rules that make both the same are told.
  blank    P has white space behind the end token, which the model does not write
  end      O has the end token of the turn, and P ends before it
  second   P has another token behind the end of the turn, with which the whole conversation ends
  header   P begins with the end of the prompt, or of what stands before the thought that it opens: the model is given that
  prompt   O begins with what the model's own template writes behind its prompt and TRL's does not mark, or does not write
  close    O closes the thought that the prompt opens
  doubled  P has an empty thought before the one that stands in the text
  thought  O has the thought of the row; TRL's training template writes no thoughts, or not this one
"""

import collections
import datetime
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import transformers.utils.chat_template_utils as chat
import trl

TEMPLATES = pathlib.Path(trl.__file__).parent / "chat_templates"
GOLDEN = pathlib.Path("engine/golden/chat-templates")
ENDS = {
    **dict.fromkeys(["cohere", "cohere2"], ["<|END_OF_TURN_TOKEN|>"]),
    **dict.fromkeys(["deepseek_r1_distill", "deepseekv3"], ["<｜end▁of▁sentence｜>"]),
    **dict.fromkeys(["gemma", "gemma3"], ["<end_of_turn>"]),
    "diffusion_gemma": ["<turn|>", "<|tool_response>"],
    "glm4moe": ["<|user|>", "<|observation|>", "<|endoftext|>"],
    "gptoss": ["<|return|>", "<|call|>"],
    **dict.fromkeys(["idefics3", "smolvlm"], ["<end_of_utterance>"]),
    "llama3": ["<|eot_id|>"],
    "llava_next": ["</s>"],
    "muse_glimmer": ["<|eot|>"],
    **dict.fromkeys(["phi3", "phi3_5"], ["<|end|>", "<|endoftext|>"]),
}
OTHER_END = ["<|im_end|>"]
TOKEN = re.compile(r"<\|[^<>|\s]+\|>|<｜[^>\s]+｜>|</?s>|<(?:start|end)_of_\w+>|<\|\w+>|<\w+\|>")
USER = {"role": "user", "content": "2+2?"}
MORE = {
    "blanks": {
        "messages": [
            {"role": "system", "content": "Be brief.  "},
            {"role": "user", "content": "  Hi\n"},
            {"role": "assistant", "content": "  spaced  "},
            {"role": "user", "content": "more"},
            {"role": "assistant", "content": "end\n"},
        ]
    },
    "a thought, then none": {
        "messages": [USER, {"role": "assistant", "content": "4", "reasoning_content": "add"}, USER, {"role": "assistant", "content": "5"}]
    },
    "a thought before a call": {
        "messages": [
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "content": "",
                "reasoning_content": "I have to ask.",
                "tool_calls": [{"id": "abc123456", "type": "function", "function": {"name": "look", "arguments": {"city": "Bern"}}}],
            },
            {"role": "tool", "tool_call_id": "abc123456", "name": "look", "content": "grey"},
            {"role": "assistant", "content": "It is grey.", "reasoning_content": "So it is."},
        ],
        "tools": [{"type": "function", "function": {"name": "look", "description": "Looks", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}],
    },
}
OURS = """
const { readFileSync } = await import('node:fs');
const data = process.cwd() + '/engine/data/';
const [{ contentOf, detectFormat }, { EndTokens }, { renderConversation }, { openTemplate }] = await Promise.all(
  ['content', 'end-tokens', 'mask', 'template'].map((name) => import(data + name + '.ts')));
const answers = JSON.parse(readFileSync(process.env.JOBS, 'utf8')).map(({ source, bos, eos, tokens, ends, row }) => {
  try {
    const template = openTemplate({ chatTemplate: source, bosText: bos, eosText: eos }, { day: '2026-07-15' });
    const stopTokens = ends.map((text) => tokens.indexOf(text));
    const content = contentOf(row, detectFormat(row), { chatTemplate: source }, new Set(), 'chat');
    const { examples } = renderConversation(template, content, new EndTokens({ addedTokens: new Map(tokens.entries()), stopTokens }));
    const { text, trained, prompts } = examples.at(-1);
    return { prompt: text.slice(0, prompts.at(-1)), trained: text.slice(trained.at(-1).start, trained.at(-1).end) };
  } catch (error) {
    return { refused: error.message };
  }
});
process.stdout.write(JSON.stringify(answers), () => process.exit(0));
"""


class Day(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2026, 7, 15, 12)


chat.datetime = Day


def render(source, messages, asked, tools, ends, marks=False):
    """Returns what transformers renders, and the spans that it marks, or the reason why it refuses."""
    given = {"add_generation_prompt": asked, "tools": tools, "bos_token": "<s>", "eos_token": ends[0]}
    try:
        texts, spans = chat.render_jinja_template([messages], chat_template=source, return_assistant_tokens_mask=marks, **given)
        return texts[0], spans[0] if marks else None
    except Exception as error:
        return error, None


def as_parts(messages):
    """Returns messages with their contents as lists of parts, which templates of models that see ask for."""
    return [{**m, "content": [{"type": "text", "text": m["content"]}] if isinstance(m.get("content"), str) else m.get("content")} for m in messages]


def named(messages, source):
    """Returns messages with the thought in the field that the template names."""
    field = next((name for name in ["reasoning_content", "reasoning", "thinking"] if name in source), "reasoning_content")
    return [{(field if key == "reasoning_content" else key): value for key, value in m.items()} for m in messages]


def explain(ours, marked, about):
    """Returns the fewest rules that make both texts the same, or None."""
    seen = {(ours, marked): ()}
    queue = collections.deque(seen)
    while queue:
        o, p = state = queue.popleft()
        if o == p:
            return seen[state]
        for rule, *after in steps(o, p, about):
            after = tuple(after)
            if after not in seen and rule not in seen[state]:
                seen[after] = (*seen[state], rule)
                queue.append(after)
    return None


def steps(o, p, about):
    if p != p.rstrip():
        yield "blank", o, p.rstrip()
    for end in about["ends"]:
        if o.endswith(end):
            yield "end", o[: -len(end)].rstrip(), p.rstrip()
        if p.rstrip().endswith(end) and p.rstrip()[: -len(end)].rstrip().endswith(tuple(about["ends"])):
            yield "second", o, p.rstrip()[: -len(end)].rstrip()
    prompt = about["prompt"]
    for given in {prompt, re.sub(r"<\w+>\s*$", "", prompt)}:
        for size in range(min(len(given), len(p)), 0, -1):
            if given.endswith(p[:size]):
                yield "header", o, p[size:]
                break
    # What stands between the prompt and the content for any content at all is the template's.
    for lead in about["leads"]:
        if lead and o.startswith(lead):
            yield "prompt", o[len(lead) :], p
    opened = re.search(r"<(\w+)>\s*$", prompt)
    if opened:
        closing = re.match(r"\s*</%s>\n*" % opened[1], o)
        if closing:
            yield "close", o[closing.end() :], re.sub(r"^\s*(?:<%s>)?\s*</%s>\n*" % (opened[1], opened[1]), "", p)
    doubled = re.match(r"<(\w+)>\s*</\1>\s*(?=<\1>)", p)
    if doubled:
        yield "doubled", o, p[doubled.end() :]
    thought = about["thought"]
    if thought and thought not in about["training"] and thought in o:
        rest = o[o.index(thought) + len(thought) :]
        # Everything to the end of the tag, or the message, that closes the thought.
        closing = re.match(r"\s*(?:</\w+>|<\w+\|>|<\|END_THINKING\|>|<\|end\|><\|start\|>assistant|<\|eom\|>)", rest)
        if closing:
            answer = rest[closing.end() :]
            # A template that cuts the thought out of the text leaves the line breaks behind it.
            yield "thought", answer if p.startswith("\n") else answer.lstrip("\n"), re.sub(r"^\s*<(\w+)>\s*</\1>\s*", "", p)


def main():
    conversations = {**json.loads((GOLDEN / "conversations.json").read_text()), **MORE}
    if sys.argv[1:]:
        conversations = {name: conversations[name] for name in sys.argv[1:]}
    names = sorted(f.name.removesuffix("_training.jinja") for f in TEMPLATES.glob("*_training.jinja"))
    jobs, cases, counts = [], [], 0
    for name in names:
        source, training = [(TEMPLATES / f"{name}{kind}.jinja").read_text() for kind in ["", "_training"]]
        ends = ENDS.get(name, OTHER_END)
        shown, _ = render(source, [{"role": "user", "content": "271828"}], False, None, ends)
        form = (lambda all: all) if not isinstance(shown, Exception) and "271828" in shown else as_parts
        for conversation, row in conversations.items():
            for i, message in enumerate(row["messages"]):
                if message["role"] != "assistant":
                    continue
                # Contents are texts here: lists are joined as every template joins them.
                messages = [
                    {**m, "content": "".join(p["text"] for p in m["content"]) if isinstance(m["content"], list) else m["content"]}
                    for m in row["messages"][: i + 1]
                ]
                messages = [{k: v for k, v in m.items() if k != "weight"} for m in messages]
                message, tools = messages[-1], row.get("tools")
                given, own = named(form(messages), training), named(form(messages), source)
                text, spans = render(training, given, False, tools, ends, marks=True)
                prompt, _ = render(source, own[:-1], True, tools, ends)
                if isinstance(text, Exception) or isinstance(prompt, Exception):
                    counts += 1
                    continue
                through, _ = render(source, own, False, tools, ends)
                _, earlier = render(training, given[:-1], False, tools, ends, marks=True)
                last = spans[len(earlier or []) :]
                begin = last[0][0] if last else len(text)
                leads = []
                if isinstance(through, str) and through.startswith(prompt) and message["content"].strip():
                    behind = through[len(prompt) :]
                    at = behind.find(message.get("reasoning_content") or message["content"].strip())
                    if at > 0 and "think" not in message["content"]:
                        leads = [behind[:size] for size in range(at, 0, -1)]
                tokens = sorted({*TOKEN.findall(text + prompt + (through if isinstance(through, str) else "")), *ends})
                history = [m if m["role"] != "assistant" else {**m, "weight": 0} for m in messages[:-1]]
                job_row = {"messages": [*history, messages[-1]], **({"tools": tools} if tools else {})}
                jobs.append({"source": source, "bos": "<s>", "eos": ends[0], "tokens": tokens, "ends": ends, "row": job_row})
                thought = message.get("reasoning_content") or (re.findall(r"<think>\s*(.*?)\s*</think>", message["content"], re.S) or [None])[0]
                about = {"ends": ends, "prompt": prompt, "leads": leads, "thought": thought, "training": text[begin:]}
                cases.append((name, conversation, i, "".join(text[a:b] for a, b in last), about))
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(jobs, file)
        file.flush()
        node = ["node", "--input-type=module", "-e", OURS]
        done = subprocess.run(node, env={**os.environ, "JOBS": file.name}, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr)
    table, refused, unexplained = collections.defaultdict(list), collections.defaultdict(list), []
    for (name, conversation, i, marked, about), ours in zip(cases, json.loads(done.stdout), strict=True):
        if "refused" in ours:
            refused[re.sub(r"message \d+", "message", ours["refused"])[:110]].append(name)
            continue
        rules = explain(ours["trained"], marked, {**about, "prompt": ours["prompt"]})
        if rules is None:
            unexplained.append((name, conversation, i, ours["prompt"][-60:], ours["trained"], marked))
        else:
            table[" + ".join(sorted(rules)) or "the same"].append(name)
    print(f"{len(names)} templates, {len(conversations)} conversations, {len(cases)} turns")
    refusals = {f"refused: {why}": of for why, of in refused.items()}
    for what, of in [*sorted(table.items(), key=lambda entry: -len(entry[1])), *refusals.items()]:
        print(f"{len(of):5}  {what}: {', '.join(sorted(set(of)))}")
    print(f"{counts:5}  transformers refuses")
    print(f"{len(unexplained):5}  unexplained")
    for name, conversation, i, prompt, ours, marked in unexplained:
        print(f"\n{name}, {conversation}, message {i + 1}, behind {prompt!r}\n  here {ours!r}\n  TRL  {marked!r}")
    sys.exit(1 if unexplained else 0)


main()
