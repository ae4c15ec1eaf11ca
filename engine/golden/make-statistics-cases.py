"""Writes statistics.json: intervals, tests, agreement and calibration as SciPy and statsmodels compute them.

python make-statistics-cases.py > statistics.json (numpy, scipy, statsmodels)
"""

import json
import sys

import numpy as np
import scipy
import statsmodels
from scipy import optimize, stats
from scipy.special import logsumexp
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.inter_rater import cohens_kappa
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

random = np.random.default_rng(7)

normal = [[x, stats.norm.cdf(x)] for x in [-37, -12.5, -6, -3.1, -3, -2.9, -1.96, -0.5, -1e-9, 0, 0.3, 1, 2.5758, 5]]
quantiles = [[p, stats.norm.ppf(p)] for p in [1e-300, 1e-12, 0.001, 0.025, 0.2, 0.5, 0.8, 0.975, 0.9999]]

wilson = [
    [k, n, level, *proportion_confint(k, n, alpha=1 - level, method="wilson")]
    for k, n in [(0, 1), (1, 1), (0, 20), (20, 20), (3, 10), (81, 263), (15, 148), (1, 29), (119, 120), (5000, 9999)]
    for level in [0.9, 0.95, 0.99]
]

mcnemars = [
    [b, c, mcnemar([[10, b], [c, 10]], exact=True).pvalue]
    for b, c in [(0, 0), (0, 3), (0, 5), (1, 5), (0, 6), (4, 4), (6, 16), (121, 59), (30, 12), (700, 800), (3000, 3100)]
]

families = [[0.01, 0.04, 0.03, 0.005], [0.5], [0.2, 0.2, 0.9], [1e-9, 0.05, 0.049, 0.049, 1.0], list(random.random(12) ** 3)]
holm = [[family, list(multipletests(family, method="holm")[1])] for family in families]

def boot(values, clusters=None):
    """The mean over all rows of the drawn clusters, as a ratio of sums."""
    groups = [[value] for value in values] if clusters is None else [
        [value for value, own in zip(values, clusters) if own == key] for key in dict.fromkeys(clusters)]
    sums, counts = np.array([sum(g) for g in groups]), np.array([len(g) for g in groups])
    ratio = lambda s, n, axis=-1: s.sum(axis=axis) / n.sum(axis=axis)
    result = stats.bootstrap((sums, counts), ratio, paired=True, vectorized=True, n_resamples=60000, method="BCa",
                             rng=np.random.default_rng(1), batch=2000)
    few = stats.bootstrap((sums, counts), ratio, paired=True, vectorized=True, n_resamples=299, method="BCa",
                          rng=np.random.default_rng(2))
    return {
        "values": list(values), "sources": clusters, "low": result.confidence_interval.low, "high": result.confidence_interval.high,
        "given": {"resampled": [float(v) for v in few.bootstrap_distribution], "low": few.confidence_interval.low,
                  "high": few.confidence_interval.high},
    }

skewed = [round(float(v), 3) for v in random.exponential(size=40)]
shares = [round(float(v), 3) for v in random.beta(5, 1, size=60)]
uneven = [int(v) for v in random.integers(0, 15, size=60)]
bootstraps = [boot(skewed), boot(shares), boot(shares, uneven), boot([float(v) for v in random.integers(0, 2, size=50)])]

flips = []
for size in [5, 9, 13]:
    differences = [round(float(v), 2) for v in random.normal(0.4, 1, size=size)]
    test = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=np.inf)
    flips.append([differences, test.pvalue])

def rows_needed(d, discordance, alpha=0.05, power=0.8):
    za, zb = stats.norm.ppf(1 - alpha / 2), stats.norm.ppf(power)
    return int(np.ceil((za * np.sqrt(discordance) + zb * np.sqrt(discordance - d * d)) ** 2 / d**2))

needed = [[d, psi, rows_needed(d, psi)] for d, psi in [(0.05, 0.15), (0.1, 0.25), (0.2, 0.2), (0.02, 0.3), (0.3, 0.7), (0.01, 0.01)]]

kappas = []
for size, kinds in [(10, 2), (60, 3), (200, 5)]:
    one = random.integers(0, kinds, size=size)
    other = np.where(random.random(size) < 0.6, one, random.integers(0, kinds, size=size))
    table = np.zeros((kinds, kinds))
    for a, b in zip(one, other):
        table[a, b] += 1
    kappas.append([one.tolist(), other.tolist(), cohens_kappa(table, return_results=False)])

calibrations = []
for rows, options, scale in [(30, 2, 3.0), (80, 4, 1.0), (50, 3, 6.0)]:
    logits = np.round(random.normal(size=(rows, options)) * scale, 3)
    true = np.array([random.choice(options, p=np.exp(l / 2 - logsumexp(l / 2))) for l in logits])
    nll = lambda log_t: -np.mean([l[y] / np.exp(log_t) - logsumexp(l / np.exp(log_t)) for l, y in zip(logits, true)])
    fitted = np.exp(optimize.minimize_scalar(nll, bounds=(-4.6, 4.6), method="bounded", options={"xatol": 1e-12}).x)
    p = np.exp(logits - logsumexp(logits, axis=1, keepdims=True))
    brier = np.mean(np.sum((p - np.eye(options)[true]) ** 2, axis=1))
    sure, hit = p.max(axis=1), p.argmax(axis=1) == true
    edges, ece = np.linspace(0, 1, 16), 0.0
    for low, high in zip(edges[:-1], edges[1:]):
        inside = (sure > low) & (sure <= high)
        if inside.any():
            ece += inside.mean() * abs(sure[inside].mean() - hit[inside].mean())
    calibrations.append({"logLikelihoods": logits.tolist(), "right": true.tolist(), "temperature": fitted, "brier": brier, "error": ece})

parts = {
    "normal": normal, "quantiles": quantiles, "wilson": wilson, "mcnemar": mcnemars, "holm": holm, "bootstrap": bootstraps,
    "signFlips": flips, "rowsForShares": needed, "kappa": kappas, "calibration": calibrations,
}
versions = {"python": sys.version.split()[0], "numpy": np.__version__, "scipy": scipy.__version__, "statsmodels": statsmodels.__version__}
lines = [f'"versions": {json.dumps(versions)}']
for name, cases in parts.items():
    lines.append(f'"{name}": [\n' + ",\n".join(json.dumps(case, default=float) for case in cases) + "\n]")
print("{\n" + ",\n".join(lines) + "\n}")
