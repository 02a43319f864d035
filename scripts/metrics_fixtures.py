"""Writes tests/fixtures/metrics/*.json: predictions and what scikit-learn computes from them.

    pip install numpy==2.4.6 scikit-learn==1.9.1
    python scripts/metrics_fixtures.py

The calibration error has no function in scikit-learn; it is written out here from Guo et al. 2017, bin by bin.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy
import sklearn
from sklearn import metrics

PINNED = {"numpy": "2.4.6", "scikit-learn": "1.9.1"}
FOUND = {"numpy": numpy.__version__, "scikit-learn": sklearn.__version__}
FOLDER = Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "metrics"
EMOTIONS = ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"]


def draw(seed, n, classes, weights, skill, never=()):
    """Targets by `weights`, and probabilities that favour the target by `skill`; no row favours a class of `never`.

    The probabilities are multiples of 2^-22 with the sum 1, none of them 0: exact in f32 and f64 alike, so that a difference
    is one of method and not of rounding.
    """
    random = numpy.random.default_rng(seed)
    k = len(classes)
    targets = random.choice(k, size=n, p=numpy.array(weights) / sum(weights))
    logits = random.normal(0.0, 1.5, size=(n, k))
    logits[numpy.arange(n), targets] += skill
    logits[:, list(never)] -= 12.0
    exponentials = numpy.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    units = numpy.maximum(1, numpy.round(probabilities * 2**22))
    units[numpy.arange(n), units.argmax(axis=1)] += 2**22 - units.sum(axis=1)
    return units / 2**22, targets


def calibration_error(confidence, correct, bins=15):
    edges = numpy.linspace(0.0, 1.0, bins + 1)
    total = 0.0
    for low, high in zip(edges[:-1], edges[1:]):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            total += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    return total


def expected(probabilities, targets, classes):
    k = len(classes)
    labels = list(range(k))
    predicted = probabilities.argmax(axis=1)
    options = {"labels": labels, "zero_division": 0}
    precision, recall, f1, support = metrics.precision_recall_fscore_support(targets, predicted, **options)
    macro = metrics.precision_recall_fscore_support(targets, predicted, average="macro", **options)
    # The binary case of top_k_accuracy_score takes the scores of one class; for k = 1 the accuracy is the same.
    accuracy = metrics.accuracy_score(targets, predicted)
    top = [[1, accuracy]] + [
        [top, metrics.top_k_accuracy_score(targets, probabilities, k=top, labels=labels)] for top in (2, 3) if top < k
    ]
    return {
        "loss": metrics.log_loss(targets, probabilities, labels=labels),
        "accuracy": accuracy,
        "top_k": top,
        "macro_precision": macro[0],
        "macro_recall": macro[1],
        "macro_f1": macro[2],
        "weighted_f1": metrics.f1_score(targets, predicted, average="weighted", **options),
        "balanced_accuracy": metrics.balanced_accuracy_score(targets, predicted),
        "cohen_kappa": metrics.cohen_kappa_score(targets, predicted, labels=labels),
        "mcc": metrics.matthews_corrcoef(targets, predicted),
        "ece": calibration_error(probabilities.max(axis=1), predicted == targets),
        "brier": metrics.brier_score_loss(targets, probabilities, labels=labels, scale_by_half=False),
        "precision": precision.tolist(),
        "recall": recall.tolist(),
        "f1": f1.tolist(),
        "support": support.tolist(),
        "confusion": metrics.confusion_matrix(targets, predicted, labels=labels).tolist(),
        "majority_baseline": numpy.bincount(targets).max() / len(targets),
    }


def write(name, probabilities, targets, classes):
    fixture = {
        "versions": FOUND,
        "classes": classes,
        "targets": targets.tolist(),
        # Nine digits tell any f32 from its neighbours.
        "probabilities": [[float(f"{value:.9g}") for value in row] for row in probabilities],
        "expected": expected(probabilities, targets, classes),
    }
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in fixture.items()]
    (FOLDER / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def main():
    if FOUND != PINNED:
        sys.exit(f"metrics_fixtures.py: found {FOUND}; expected {PINNED}")
    # balanced_accuracy_score leaves out a class without support, which is what is wanted here.
    warnings.filterwarnings("ignore", message="y_pred contains classes not in y_true")
    FOLDER.mkdir(parents=True, exist_ok=True)
    uneven = [6, 4, 4, 30, 33, 13, 8]
    absent = [6, 0, 4, 30, 33, 13, 8]
    write("seven", *draw(1, 200, EMOTIONS, uneven, 2.0), EMOTIONS)
    write("seven_absent", *draw(2, 200, EMOTIONS, absent, 1.5), EMOTIONS)
    write("seven_absent_never_predicted", *draw(3, 100, EMOTIONS, absent, 3.0, never=[1]), EMOTIONS)
    write("seven_never_predicted", *draw(4, 100, EMOTIONS, uneven, 2.0, never=[2]), EMOTIONS)
    write("two", *draw(5, 60, ["happy", "neutral"], [1, 1], 1.0), ["happy", "neutral"])
    write("two_one_answer", *draw(6, 40, ["happy", "neutral"], [3, 1], 0.0, never=[1]), ["happy", "neutral"])


if __name__ == "__main__":
    main()
