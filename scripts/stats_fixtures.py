"""Writes tests/fixtures/stats.json: small data and what scipy, statsmodels, scikit-learn and cleanlab compute from them.

    pip install numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1 statsmodels==0.15.0 cleanlab==2.9.0
    python scripts/stats_fixtures.py

The mid-p value of McNemar's test is written out from Fagerland et al. 2013, the joint of confident learning from Northcutt et
al. 2021, equation 3: cleanlab's own is rounded to whole rows.
"""

import json
import sys
import warnings
from pathlib import Path

import cleanlab
import numpy
import scipy
import sklearn
import statsmodels
from cleanlab.count import compute_confident_joint
from scipy import linalg, stats
from scipy.spatial.distance import pdist
from sklearn import metrics
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import TSNE
from sklearn.preprocessing import StandardScaler
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

PINNED = {"numpy": "2.4.6", "scipy": "1.17.1", "scikit-learn": "1.9.1", "statsmodels": "0.15.0", "cleanlab": "2.9.0"}
FOUND = {
    "numpy": numpy.__version__,
    "scipy": scipy.__version__,
    "scikit-learn": sklearn.__version__,
    "statsmodels": statsmodels.__version__,
    "cleanlab": cleanlab.__version__,
}
PATH = Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "stats.json"


def short(values, digits=3):
    """Rounded, so that the file is small; what is computed is computed from the rounded values."""
    return numpy.round(numpy.asarray(values, dtype=float), digits)


def flat(values):
    return numpy.asarray(values, dtype=float).ravel().tolist()


def distributions():
    binomial = [(0, 5, 0.5), (3, 17, 0.5), (40, 100, 0.5), (480, 1000, 0.5), (4900, 10000, 0.5), (7, 30, 0.1), (2, 4000, 0.001)]
    return {
        "normal_cdf": [[z, stats.norm.cdf(z)] for z in (-30, -8, -3.1, -1.7, -1, -0.2, 0, 0.4, 1.2, 1.96, 5)],
        "normal_quantile": [[p, stats.norm.ppf(p)] for p in (1e-12, 1e-4, 0.025, 0.2, 0.49, 0.5, 0.7, 0.975, 0.9999)],
        "t_cdf": [[t, df, stats.t.cdf(t, df)] for t in (-40, -2.5, -0.3, 0, 1, 7) for df in (1, 2, 4, 30, 2.5)],
        "t_quantile": [[p, df, stats.t.ppf(p, df)] for p in (1e-4, 0.025, 0.3, 0.95, 0.995) for df in (1, 2, 4, 9, 100)],
        "binomial": [[k, n, p, stats.binom.pmf(k, n, p), stats.binom.cdf(k, n, p)] for k, n, p in binomial],
    }


def bootstrap(random):
    truth = random.choice(4, size=120, p=[0.4, 0.3, 0.2, 0.1])
    predicted = numpy.where(random.random(120) < 0.6, truth, random.choice(4, size=120))
    values = short(random.gamma(2.0, size=60))
    out = {
        "truth": truth.tolist(),
        "predicted": predicted.tolist(),
        "accuracy": metrics.accuracy_score(truth, predicted),
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, predicted),
        "macro_f1": metrics.f1_score(truth, predicted, average="macro", labels=range(4)),
        "recall": flat(metrics.recall_score(truth, predicted, average=None, labels=range(4))),
        "values": flat(values),
    }
    for method in ("percentile", "BCa"):
        out[method] = {}
        for name, statistic in (("mean", numpy.mean), ("variance", numpy.var)):
            found = stats.bootstrap(
                (values,), statistic, n_resamples=50000, method=method, vectorized=True, rng=numpy.random.default_rng(5)
            ).confidence_interval
            out[method][name] = [found.low, found.high]
    return out


def mcnemar_table():
    rows = []
    for only_a, only_b in [(0, 0), (3, 3), (1, 7), (10, 2), (0, 6), (57, 80), (500, 431), (2000, 2200)]:
        n, fewer = only_a + only_b, min(only_a, only_b)
        exact = mcnemar([[5, only_a], [only_b, 5]], exact=True).pvalue if n else 1.0
        mid = stats.binom.pmf(fewer, n, 0.5)
        mid_p = 1.0 if n == 0 else 1 - 0.5 * mid if only_a == only_b else 2 * stats.binom.cdf(fewer, n, 0.5) - mid
        rows.append([only_a, only_b, float(exact), float(mid_p)])
    return rows


def corrections():
    p = [0.04, 0.001, 0.3, 0.04, 0.012, 0.9, 0.02, 0.0004, 0.6]
    return {
        "p": p,
        "holm": flat(multipletests(p, method="holm")[1]),
        "benjamini_hochberg": flat(multipletests(p, method="fdr_bh")[1]),
    }


def intervals():
    cases = [(0, 10, 0.95), (7, 7, 0.9), (81, 263, 0.95), (6597, 10000, 0.99), (1, 3, 0.5)]
    wilson = [[k, n, level, list(map(float, proportion_confint(k, n, 1 - level, method="wilson")))] for k, n, level in cases]
    samples = [([0.65, 0.66, 0.71], 0.95), ([0.5, 0.5, 0.5, 0.5], 0.95), ([1.0, 2.0], 0.9), ([3.0, 1.0, 4.0, 1.0, 5.0, 9.0], 0.99)]
    student = []
    for values, level in samples:
        error = stats.sem(values)
        found = stats.t.interval(level, len(values) - 1, loc=numpy.mean(values), scale=error) if error else [values[0]] * 2
        student.append([values, level, flat(found)])
    return wilson, student


def curve(scores, positive):
    fpr, tpr, roc_thresholds = metrics.roc_curve(positive, scores)
    precision, recall, pr_thresholds = metrics.precision_recall_curve(positive, scores, drop_intermediate=True)
    return {
        "scores": flat(scores),
        "positive": flat(positive),
        "fpr": flat(fpr),
        "tpr": flat(tpr),
        "roc_thresholds": flat(roc_thresholds[1:]),
        "auc": metrics.roc_auc_score(positive, scores),
        "precision": flat(precision),
        "recall": flat(recall),
        "pr_thresholds": flat(pr_thresholds),
        "average_precision": metrics.average_precision_score(positive, scores),
    }


def curves(random):
    found = []
    for n, digits in [(12, 6), (40, 1), (90, 2)]:  # few digits make ties
        positive = random.random(n) < 0.4
        found.append(curve(numpy.round(random.random(n) * 0.7 + 0.3 * positive, digits), positive))
    found.append(curve(numpy.full(6, 0.5), numpy.array([1, 0, 0, 1, 0, 0], dtype=bool)))
    found.append(curve(numpy.arange(8.0), numpy.arange(8) > 4))
    return found


def pca(random):
    found = []
    for n, d, k in [(30, 6, 3), (12, 25, 4), (20, 20, 2)]:
        x = short(random.normal(size=(n, d)) * numpy.linspace(3, 0.3, d) + 5)
        # 32-bit, as the features are.
        x = x.astype(numpy.float32).astype(float)
        model = PCA(k, svd_solver="full").fit(x)
        sign = numpy.sign(model.components_[numpy.arange(k), numpy.abs(model.components_).argmax(axis=1)])
        found.append(
            {
                "d": d,
                "k": k,
                "features": flat(x),
                "variance": flat(model.explained_variance_),
                "total_variance": float(x.var(axis=0, ddof=1).sum()),
                "components": flat(model.components_ * sign[:, None]),
                "scores": flat(model.transform(x) * sign),
            }
        )
    return found


def tsne(random):
    classes = numpy.repeat(numpy.arange(4), 25)
    x = short(random.normal(size=(100, 5)) + 6 * random.normal(size=(4, 5))[classes], 2)
    model = TSNE(2, perplexity=12, init="pca", method="exact", learning_rate="auto", max_iter=1000).fit(x)
    return {
        "d": 5,
        "perplexity": 12,
        "classes": classes.tolist(),
        "features": flat(x),
        "divergence": float(model.kl_divergence_),
    }


def logistic(random):
    n, d, k = 150, 6, 3
    targets = random.choice(k, size=n, p=[0.5, 0.3, 0.2])
    x = short(random.normal(size=(n, d)) * [1, 20, 0.1, 1, 1, 1] + random.normal(size=(k, d))[targets] * 1.2)
    x[:, 5] = 3.0  # a constant feature
    x = x.astype(numpy.float32).astype(float)
    z = StandardScaler().fit_transform(x)
    out = {"d": d, "classes": k, "features": flat(x), "targets": targets.tolist()}
    for l2 in (1.0, 0.1):
        model = LogisticRegression(C=1 / l2, tol=1e-10, max_iter=10000).fit(z, targets)
        out["l2_1" if l2 == 1 else "l2_0.1"] = {
            "weights": flat(model.coef_),
            "bias": flat(model.intercept_),
            "probabilities": flat(model.predict_proba(z[:10])),
        }
    return out


def frechet(random):
    found = []
    for n, m, d in [(40, 60, 4), (9, 14, 20), (30, 12, 12)]:
        a = short(random.normal(size=(n, d))).astype(numpy.float32).astype(float)
        b = short(random.normal(size=(m, d)) @ random.normal(size=(d, d)) * 0.5 + 0.3).astype(numpy.float32).astype(float)
        first, second = numpy.cov(a.T), numpy.cov(b.T)
        # tr (AB)^½ as the sum of the singular values of A^½·B^½: scipy's sqrtm of AB itself is not accurate where AB is singular.
        root = lambda s: (lambda w, v: (v * numpy.sqrt(numpy.clip(w, 0, None))) @ v.T)(*linalg.eigh(s))
        cross = linalg.svdvals(root(first) @ root(second)).sum()
        if d == 4:
            assert abs(cross - numpy.trace(linalg.sqrtm(first @ second)).real) < 1e-9
        shift = a.mean(axis=0) - b.mean(axis=0)
        distance = float(shift @ shift + numpy.trace(first) + numpy.trace(second) - 2 * cross)
        found.append({"d": d, "a": flat(a), "b": flat(b), "distance": distance})
    return found


def spread(random):
    targets = random.choice(3, size=30)
    x = short(random.normal(size=(30, 5)) * (1 + targets[:, None])).astype(numpy.float32).astype(float)
    return {
        "d": 5,
        "features": flat(x),
        "targets": targets.tolist(),
        "mean_distance": [float(pdist(x[targets == c]).mean()) for c in range(3)],
    }


def label_noise(random):
    n, k = 120, 4
    truth = random.choice(k, size=n)
    logits = random.normal(size=(n, k))
    logits[numpy.arange(n), truth] += 1.5
    p = numpy.exp(logits) / numpy.exp(logits).sum(axis=1, keepdims=True)
    p = short(p, 4).astype(numpy.float32)
    given = numpy.where(random.random(n) < 0.15, random.choice(k, size=n), truth)
    wide = p.astype(float)
    counts, picked = compute_confident_joint(given, wide, calibrate=False, return_indices_of_off_diagonals=True)
    thresholds = [wide[given == c, c].mean() for c in range(k)]
    # cleanlab raises an empty diagonal to 1; none is empty here.
    joint = counts / counts.sum(axis=1, keepdims=True) * (numpy.bincount(given, minlength=k) / n)[:, None]
    own = wide[numpy.arange(n), given]
    others = numpy.where(numpy.arange(k) == given[:, None], -1, wide).max(axis=1)
    return {
        "classes": k,
        "probabilities": flat(p),
        "given": given.tolist(),
        "thresholds": flat(thresholds),
        "counts": flat(counts),
        "joint": flat(joint),
        "noise": float(1 - numpy.trace(joint)),
        "order": numpy.lexsort((numpy.arange(n), own - others, own)).tolist(),
        "off_diagonal": sorted(int(row) for row in picked),
    }


def main():
    if FOUND != PINNED:
        sys.exit(f"expected {PINNED}, found {FOUND}")
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    warnings.filterwarnings("ignore", category=FutureWarning)
    random = numpy.random.default_rng(20260101)
    wilson, student = intervals()
    table = {
        "distributions": distributions(),
        "bootstrap": bootstrap(random),
        "mcnemar": mcnemar_table(),
        "corrections": corrections(),
        "wilson": wilson,
        "t_interval": student,
        "curves": curves(random),
        "pca": pca(random),
        "tsne": tsne(random),
        "logistic": logistic(random),
        "frechet": frechet(random),
        "spread": spread(random),
        "label_noise": label_noise(random),
    }
    number = lambda value: value.item()  # numpy's scalars
    PATH.write_text("{\n" + ",\n".join(f'"{key}": {json.dumps(value, default=number)}' for key, value in table.items()) + "\n}\n")


if __name__ == "__main__":
    main()
