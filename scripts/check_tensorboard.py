"""Reads a run's event files with TensorBoard and compares every number with the run's own files.

    pip install tensorboard==2.20.0
    mien train DATA --tensorboard --out RUN
    python scripts/check_tensorboard.py RUN
"""

import csv
import json
import sys
from pathlib import Path

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

run = Path(sys.argv[1])
# Every point; by default TensorBoard keeps a sample.
board = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
board.Reload()
found = {tag: [(event.step, event.value) for event in board.Scalars(tag)] for tag in board.Tags()["scalars"]}

steps = [json.loads(line) for line in (run / "events.jsonl").open()]
steps = [event for event in steps if event["event"] == "step"]
epochs = list(csv.DictReader((run / "metrics.csv").open()))
expected = {
    "step/train_loss": [(e["step"], e["loss"]) for e in steps],
    "step/train_accuracy": [(e["step"], e["accuracy"]) for e in steps],
    "step/learning_rate": [(e["step"], e["learning_rate"]) for e in steps],
}
if any("gradient_norm" in e for e in steps):
    expected["step/gradient_norm"] = [(e["step"], e["gradient_norm"]) for e in steps]
columns = {"train_loss": "train_loss", "train_accuracy": "train_accuracy", "valid_loss": "val_loss", "valid_accuracy": "val_accuracy"}
columns |= {"valid_macro_f1": "val_macro_f1", "learning_rate": "learning_rate", "images_per_second": "images_per_second"}
for tag, column in columns.items():
    expected[f"epoch/{tag}"] = [(int(row["step"]), float(row[column])) for row in epochs]

assert found.keys() == expected.keys(), found.keys() ^ expected.keys()
for tag, points in expected.items():
    assert [step for step, _ in found[tag]] == [step for step, _ in points], tag
    assert np.allclose([value for _, value in found[tag]], [value for _, value in points], rtol=1e-6), tag
print(f"{len(found)} curves, {sum(map(len, found.values()))} points: all as in the run's files")
