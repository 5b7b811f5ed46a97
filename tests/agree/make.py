"""Kappas of random tables, computed by others than us.

    pip install numpy==2.4.6 scikit-learn==1.9.1
    python tests/agree/make.py > tests/agree/kappas.json

`cohen` is scikit-learn's over the linked pairs. `modified` is Holle and Rein's, written down here from the paper's
description in terms of matrices: chance agreement is that of the quasi-independent table with the margins given and an
empty cell where both would be unlinked; ELAN's 20 rounds from 0.001 in that cell.
"""

import json
import sys

import numpy
from sklearn.metrics import cohen_kappa_score


def cohen(table):
    first, second = [], []
    for (row, column), count in numpy.ndenumerate(table[:7, :7]):
        first += [row] * int(count)
        second += [column] * int(count)
    if not first or len(set(first) | set(second)) == 1:
        return None
    return float(cohen_kappa_score(first, second))


def modified(table):
    table = table.astype(float)
    table[:7, :7] *= 2
    total = table.sum()
    if total == 0:
        return None
    keep = [k for k in range(7) if table[k].sum() + table[:, k].sum() > 0] + [7]
    table = table[numpy.ix_(keep, keep)]
    rows, columns = (numpy.where(m == 0, 0.001, m) for m in (table.sum(1), table.sum(0)))
    expected = numpy.ones_like(table)
    expected[-1, -1] = 0.001
    for _ in range(20):
        expected = expected * (rows / expected.sum(1))[:, None]
        expected = expected * (columns / expected.sum(0))[None, :]
    chance = numpy.trace(expected[:-1, :-1]) / total
    observed = numpy.trace(table) / total
    return None if chance >= 1 - 1e-12 else float((observed - chance) / (1 - chance))


random = numpy.random.default_rng(2015)
cases = []
for index in range(40):
    labels = int(random.integers(1, 8))
    table = numpy.zeros((8, 8), int)
    table[:labels, :labels] = random.integers(0, 6, (labels, labels))
    table[range(labels), range(labels)] += random.integers(0, 30, labels)
    if index % 4:
        table[:labels, 7] = random.integers(0, 8, labels)
        table[7, :labels] = random.integers(0, 8, labels)
    cases.append({"table": table.tolist(), "cohen": cohen(table), "modified": modified(table)})
json.dump(cases, sys.stdout)
