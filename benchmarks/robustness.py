"""Tally of the fault tests: functions and models x faults of their inputs, as a table and as JSON.

python benchmarks/robustness.py [--only REGEX] [--share 0.1 --seed 0] [--out FILE]
"""

import argparse
import collections
import json
import logging
import random
import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from faults.targets import quick_scores, targets
from faults.verdict import attempt, clean


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="names of functions and models, a regular expression")
    parser.add_argument("--share", type=float, default=1.0, help="share of the faults that is drawn at random")
    parser.add_argument("--seed", type=int, default=0, help="seed of that draw")
    parser.add_argument("--out", type=Path, help="JSON file")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    tally: dict[str, collections.Counter] = {}
    seconds: dict[str, float] = {}
    failures, start, draw = [], time.perf_counter(), random.Random(options.seed)
    for name, target in targets().items():
        if not re.search(options.only, name):
            continue
        began = time.process_time()
        expected, counts = clean(target), collections.Counter()
        for slot, fault in target.faults():
            if draw.random() >= options.share:
                continue
            outcome = attempt(target, slot, fault, expected)
            counts[outcome.kind] += 1
            if outcome.kind == "failure":
                failures.append({"name": name, "input": str(slot), "fault": fault.name, "detail": outcome.detail})
                print(failures[-1], flush=True)
        tally[name] = counts
        seconds[name] = round(time.process_time() - began, 1)
        outcomes = "  ".join(f"{kind} {n}" for kind, n in sorted(counts.items()))
        print(f"{name:45} {seconds[name]:7.1f} s  {outcomes}", flush=True)
    rooms: dict[str, collections.Counter] = {}
    for name, counts in tally.items():
        room = rooms.setdefault(name.partition(".")[0], collections.Counter())
        room.update(counts)
        room["names"] += 1
    print("\nroom      names   tried   works   error   refused by AnnData   failures")
    for room, counts in rooms.items():
        tried = counts["works"] + counts["error"] + counts["failure"]
        print(
            f"{room:9} {counts['names']:5} {tried:7} {counts['works']:7} {counts['error']:7} "
            f"{counts['refused']:20} {counts['failure']:10}"
        )
    print(f"{time.perf_counter() - start:.0f} s")
    if options.out:
        found = {"rooms": rooms, "names": tally, "failures": failures, "cpu_seconds": seconds, "share": options.share}
        options.out.write_text(json.dumps(found, indent=1, sort_keys=True))


if __name__ == "__main__":
    with quick_scores():
        main()
