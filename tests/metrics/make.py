"""What scikit-learn, statsmodels and NumPy measure of generated predictions: reference.json and significance.json.

    pip install numpy scikit-learn statsmodels
    cd tests/metrics && python make.py

published.json holds the six confusion matrices of SLTAT 2022's notebooks and what is printed there of them.
"""

import json

import numpy
from sklearn import metrics
from statsmodels.stats.contingency_tables import mcnemar

random = numpy.random.default_rng(20220624)
PRIOR = numpy.array([0.35, 0.25, 0.14, 0.12, 0.03, 0.01, 0.10])
CLASSES = range(7)


def predictions(count, strength):
    truth = random.choice(7, count, p=PRIOR)
    logits = random.normal(0, 1, (count, 7)) + numpy.log(PRIOR)
    logits[numpy.arange(count), truth] += strength
    p = numpy.exp(2 * logits)
    # As they come back from single precision.
    return truth, numpy.round(p / p.sum(1, keepdims=True), 6).astype(numpy.float32).astype(float)


def calibration_error(truth, p, bins=15):
    confidence, right = p.max(1), p.argmax(1) == truth
    place = numpy.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [abs((confidence - right)[place == b].sum()) for b in range(bins)]
    return sum(gaps) / len(truth)


def reference(count, strength):
    truth, p = predictions(count, strength)
    predicted = p.argmax(1)
    occurring = sorted(set(truth) | set(predicted))
    scores = dict(labels=list(CLASSES), average=None, zero_division=0)

    def corrected(strength):
        return metrics.balanced_accuracy_score(truth, (p / PRIOR**strength).argmax(1))

    return {
        "truth": truth.tolist(),
        "probabilities": p.tolist(),
        "accuracy": metrics.accuracy_score(truth, predicted),
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, predicted),
        "macro_f1": metrics.f1_score(truth, predicted, labels=occurring, average="macro"),
        "weighted_f1": metrics.f1_score(truth, predicted, average="weighted"),
        "kappa": metrics.cohen_kappa_score(truth, predicted),
        "negative_log_likelihood": -numpy.log(numpy.maximum(p[numpy.arange(count), truth], 1e-12)).mean(),
        "calibration_error": calibration_error(truth, p),
        "recalls": metrics.recall_score(truth, predicted, **scores).tolist(),
        "precisions": metrics.precision_score(truth, predicted, **scores).tolist(),
        "prior": PRIOR.tolist(),
        "prior_corrected_balanced_accuracy": [corrected(0.5), corrected(1.0)],
    }


def bootstrap(count, clusters, resamples=20000):
    truth, p = predictions(count, 1.0)
    predicted = p.argmax(1)
    other = numpy.where(random.random(count) < 0.2, random.integers(0, 7, count), predicted)
    cluster = random.integers(0, clusters, count) if clusters < count else numpy.arange(count)
    # Clusters that have no image do not exist.
    cluster = numpy.unique(cluster, return_inverse=True)[1]
    members = [numpy.flatnonzero(cluster == c) for c in range(cluster.max() + 1)]
    values = {name: [] for name in ["accuracy", "balanced_accuracy", "macro_f1", "kappa", "accuracy_difference"]}
    for _ in range(resamples):
        images = numpy.concatenate([members[c] for c in random.integers(0, len(members), len(members))])
        table = numpy.zeros((7, 7))
        numpy.add.at(table, (truth[images], predicted[images]), 1)
        shown, said, right, n = table.sum(1), table.sum(0), numpy.diag(table), table.sum()
        used = shown + said > 0
        chance = (shown * said).sum() / n**2
        values["accuracy"].append(right.sum() / n)
        values["balanced_accuracy"].append((right[shown > 0] / shown[shown > 0]).mean())
        values["macro_f1"].append((2 * right[used] / (shown + said)[used]).mean())
        values["kappa"].append((right.sum() / n - chance) / (1 - chance))
        values["accuracy_difference"].append(right.sum() / n - (other[images] == truth[images]).mean())
    intervals = {name: numpy.percentile(v, [2.5, 97.5]).tolist() for name, v in values.items()}
    return {
        "truth": truth.tolist(),
        "predicted": predicted.tolist(),
        "other": other.tolist(),
        "clusters": cluster.tolist(),
        **intervals,
    }


pairs = [(16, 25), (0, 0), (0, 1), (3, 3), (10, 2), (150, 210), (700, 900)]
significance = {
    "mcnemar": [{"b": b, "c": c, "p": float(mcnemar([[5, b], [c, 5]], exact=True).pvalue)} for b, c in pairs],
    "bootstrap": [bootstrap(300, 300), bootstrap(400, 25)],
}
json.dump([reference(120, 1.5), reference(60, 0.3)], open("reference.json", "w"))
json.dump(significance, open("significance.json", "w"))
