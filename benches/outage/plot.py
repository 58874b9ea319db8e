#!/usr/bin/env python3
"""Draws the readings of `cargo bench --bench outage -- blackhole` (its folder is $SCRM_BENCH_OUT) as one SVG.

    pip install matplotlib
    benches/outage/plot.py FOLDER docs/blackhole.svg
"""

import collections
import csv
import sys

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "scrm-gateway"
from matplotlib import pyplot as plt

CLASSES = {
    "tanma_detail": "details of Tanma (goes on)",
    "tanma_list": "lists of Tanma (goes on)",
    "merged": "details of both",
    "juzibot_detail": "details of JuziBot (answers nothing)",
    "juzibot_write": "writes to JuziBot",
}
BEGINS, ENDS = 30, 90


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def main(folder, target):
    of_class = collections.defaultdict(lambda: collections.defaultdict(list))
    for row in rows(f"{folder}/blackhole.csv"):
        for key in ("second", "count", "ok", "p99_ms"):
            of_class[row["class"]][key].append(float(row[key]))
    gateway = list(rows(f"{folder}/blackhole-gateway.csv"))
    seconds = [float(row["second"]) for row in gateway]

    figure, (late, good, memory, breaker) = plt.subplots(
        4, 1, sharex=True, figsize=(9, 9), height_ratios=[3, 2, 1.4, 0.8], layout="constrained"
    )
    for name, label in CLASSES.items():
        readings = of_class[name]
        late.plot(readings["second"], readings["p99_ms"], label=label)
        share = [100 * ok / max(count, 1) for ok, count in zip(readings["ok"], readings["count"])]
        good.plot(readings["second"], share, label=label)
    late.set_yscale("log")
    late.set_ylabel("p99 of each second, ms")
    late.legend(fontsize="small", loc="upper right")
    good.set_ylabel("answered 200, %")
    memory.plot(seconds, [int(row["resident_kib"]) / 1024 for row in gateway])
    memory.set_ylim(bottom=0)
    memory.set_ylabel("resident, MiB")
    states = ["closed", "half_open", "open"]
    breaker.step(seconds, [states.index(row["breaker"]) for row in gateway], where="post")
    breaker.set_yticks(range(3), states)
    breaker.set_ylabel("breaker")
    breaker.set_xlabel("seconds, at 500 requests/s; JuziBot takes requests and answers nothing in the grey part")
    for axes in (late, good, memory, breaker):
        axes.axvspan(BEGINS, ENDS, color="0.9")
        axes.grid(alpha=0.3)
    figure.savefig(target, metadata={"Date": None})


if __name__ == "__main__":
    main(*sys.argv[1:])
