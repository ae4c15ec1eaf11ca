"""Writes text-scores.json: ROUGE-L and chrF2 of pairs of texts, as rouge-score and sacrebleu compute them.

python make-text-score-cases.py > text-scores.json (rouge-score, sacrebleu)
"""

import json
from importlib.metadata import version

from rouge_score import rouge_scorer
from sacrebleu.metrics import CHRF

WORDS = [
    ("the cat sat on the mat", "the cat sat on the mat"),
    ("the cat sat on the mat", "The cat was sitting on the mat."),
    ("a b c d e f g", "g f e d c b a"),
    ("one", "one two three four five six"),
    ("one two three four five six", "six"),
    ("Hello, World! 3.14", "hello world 3 14"),
    ("nothing in common", "totally different words"),
    ("", "something"),
    ("something", ""),
    ("", ""),
    ("...", "!!!"),
    ("to be or not to be that is the question", "to be is the question or not that"),
    ("x " * 300, "y " * 150 + "x " * 150),
]
OTHER = [
    ("Der Zug fährt um 8:15 Uhr ab.", "Der Zug fährt um 8:15 ab."),
    ("東京は日本の首都です。", "日本の首都は東京です。"),
    ("🙂🙂", "🙂"),
    ("ab", "abc"),
    ("Ünïcödé  with   spaces\tand\nlines", "Ünïcödé with spaces and lines"),
]

rouge = rouge_scorer.RougeScorer(["rougeL"])
chrf = CHRF()
texts = [[expected, answer, rouge.score(expected, answer)["rougeL"].fmeasure] for expected, answer in WORDS]
chars = [[expected, answer, chrf.sentence_score(answer, [expected]).score / 100] for expected, answer in WORDS + OTHER]
versions = {name: version(name) for name in ["rouge-score", "sacrebleu"]}
print('{\n"versions": %s,' % json.dumps(versions))
for name, cases, end in [("rougeL", texts, ","), ("chrf", chars, "")]:
    print('"%s": [\n%s\n]%s' % (name, ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases), end))
print("}")
