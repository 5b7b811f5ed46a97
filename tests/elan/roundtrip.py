"""Reads an .eaf with pympi-ling, writes it again with it, and prints tiers and annotations of both as JSON.

    python roundtrip.py x.eaf again.eaf
"""

import json
import sys

import pympi


def content(path):
    eaf = pympi.Elan.Eaf(path)
    tiers = {}
    for name in eaf.get_tier_names():
        tiers[name] = sorted([int(a[0]), int(a[1]), a[2]] for a in eaf.get_annotation_data_for_tier(name))
    return tiers


source, again = sys.argv[1:]
pympi.Elan.Eaf(source).to_file(again)
json.dump({"read": content(source), "again": content(again)}, sys.stdout)
