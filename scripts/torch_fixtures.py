"""Writes tests/fixtures/torch/: files that torch.save makes, for the tests of src/model/torch_file.rs.

    pip install numpy torch==2.9.1
    python scripts/torch_fixtures.py

index.json says for each file that can be read which entry of the checkpoint holds the weights, and each tensor's shape and values.
All numbers are drawn from a fixed seed or counted up. The legacy files differ between runs in the names of their storages, which
are addresses in memory.
"""

import argparse
import json
import zipfile
from collections import Counter, OrderedDict, defaultdict, deque
from pathlib import Path

import numpy as np
import torch
from torch import nn

assert torch.__version__.startswith("2.9.1"), torch.__version__

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "torch"
index = {}


def save(name, thing, expected, key=None, legacy=False, protocol=2):
    """Saves `thing` and notes what a reader should find in it."""
    torch.save(thing, FOLDER / name, _use_new_zipfile_serialization=not legacy, pickle_protocol=protocol)
    values = lambda tensor: [float(str(v)) for v in tensor.detach().float().numpy().reshape(-1)]  # the shortest text of each f32
    tensors = {name: {"shape": list(t.shape), "values": values(t)} for name, t in expected.items()}
    index[name] = {"key": key, "tensors": tensors}


class Settings(dict):
    """As configuration libraries have it: a dictionary of a class of their own."""


def model():
    torch.manual_seed(1)
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2))
    net(torch.randn(4, 2, 4, 4))  # gives the batch norm its statistics
    return net


def views():
    """Tensors of one storage that begin within it, step through it, or stand still."""
    base = torch.arange(24, dtype=torch.float32)
    grid = base.reshape(4, 6)
    return {
        "base": base,
        "transposed": grid.t(),
        "permuted": base.reshape(2, 3, 4).permute(2, 0, 1),
        "row": grid[2],
        "column": grid[:, 1],
        "inner": grid[1:3, 2:5],
        "steps": base[1::5],
        "expanded": base[3:5].unsqueeze(1).expand(2, 3),
        "channels_last": (torch.arange(24, dtype=torch.float32) / 8).reshape(1, 2, 3, 4).to(memory_format=torch.channels_last),
        "zero_dimensional": torch.tensor(0.25),
        "empty": torch.zeros(0, 3),
    }


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    net = model()
    state = net.state_dict()
    save("zip.pth", state, state)
    save("legacy.pth", state, state, legacy=True)
    for protocol in [3, 4, 5]:
        save(f"protocol{protocol}.pth", state, state, protocol=protocol)
    save("legacy_protocol4.pth", state, state, legacy=True, protocol=4)
    save("plain_dict.pth", dict(state), state)

    save("views.pth", views(), views())
    save("views_legacy.pth", views(), views(), legacy=True)
    torch.manual_seed(2)
    special = torch.tensor([0.0, -0.0, 1.0, -2.5, 65504.0, 6e-8, 6.1e-5, 1 / 3])
    types = {
        "f32": special,
        "f64": special.double() / 3,
        "f16": special.half(),
        "bf16": special.bfloat16(),
    }
    save("types.pth", types, types)
    save("types_legacy.pth", types, types, legacy=True)
    torch.save({"f32": special, "i64": torch.arange(3), "u8": torch.arange(3, dtype=torch.uint8)}, FOLDER / "integers.pth")

    parameters = {"weight": nn.Parameter(torch.randn(2, 3)), "frozen": nn.Parameter(torch.randn(2), requires_grad=False)}
    save("parameters.pth", parameters, parameters)
    save("parallel.pth", OrderedDict((f"module.{k}", v) for k, v in state.items()), state)
    averaged = torch.optim.swa_utils.AveragedModel(net)
    save("averaged.pth", averaged.state_dict(), state)
    save("compiled.pth", OrderedDict((f"_orig_mod.module.{k}", v) for k, v in state.items()), state)

    optimizer = torch.optim.Adam(net.parameters())
    net(torch.randn(4, 2, 4, 4)).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5)
    state = {k: v.clone() for k, v in net.state_dict().items()}
    beside = {
        "epoch": 7,
        "args": argparse.Namespace(lr=1e-3, model="vgg16_cbam", sizes=(1, 2)),
        "best": np.float64(0.75),
        "history": {"loss": [1.5, np.float32(0.5)], "confusion": np.eye(3)},
        "rng": torch.get_rng_state(),
        "device": torch.device("cpu"),
        "dtype": torch.float32,
        "seed": 2**64,
        "classes": {"angry": 0, "happy": 1},
        "set": {1, 2},
        "settings": Settings(lr=1e-3, steps=[1, 2]),
        "losses": defaultdict(list, {"train": [1.0, 0.5], "validation": []}),
        "last": deque([1, 2], maxlen=5),
        "counts": Counter({7: 2}),
        "odd keys": {0.5: 1, (1, 2): 3, None: 4, True: 5},
        "file": Path("x/y"),
        "bytes": b"\xff" * 300,
        "complex": 1j,
        "an optimizer itself": optimizer,
        "tensor within": argparse.Namespace(weights=torch.ones(2)),
    }
    training = {"optimizer_state_dict": optimizer.state_dict(), "scheduler": scheduler.state_dict()}
    save("checkpoint.pth", {**beside, **training, "model_state_dict": net.state_dict()}, state, "model_state_dict")
    both = {"model": {"other": torch.zeros(2)}, "state_dict": net.state_dict(), "optimizer": optimizer.state_dict()}
    save("lightning.pth", both, state, "state_dict")
    save("net.pth", {"net": net.state_dict(), "acc": 91.5, "epoch": 3}, state, "net", legacy=True)

    plain = {"shared": torch.ones(2)}
    save("same_twice.pth", {"best": plain, "model_state_dict": plain}, plain, "model_state_dict")
    # What cannot be read.
    torch.save(net, FOLDER / "whole_model.pth")
    torch.save({"model": net, "rng": torch.get_rng_state()}, FOLDER / "whole_model_beside.pth")
    torch.save({"generator": net.state_dict(), "discriminator": state, "epoch": 1}, FOLDER / "two_models.pth")
    torch.save({"epoch": 3}, FOLDER / "no_tensors.pth")
    torch.save([torch.zeros(2)], FOLDER / "list.pth")
    torch.save({"weight": torch.eye(3).to_sparse()}, FOLDER / "sparse.pth")
    with zipfile.ZipFile(FOLDER / "no_torch.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo("readme.txt"), "a zip file that torch has not written")
    with zipfile.ZipFile(FOLDER / "zip.pth") as source, zipfile.ZipFile(FOLDER / "compressed.pth", "w") as archive:
        for entry in source.namelist():
            archive.writestr(zipfile.ZipInfo(entry), source.read(entry), zipfile.ZIP_DEFLATED)

    text = json.dumps(index, separators=(",", ":")).replace('"tensors":', '\n"tensors":').replace("}},", "}},\n")
    (FOLDER / "index.json").write_text(text + "\n")
    files = sorted(FOLDER.iterdir())
    print(f"{len(files)} files, {sum(f.stat().st_size for f in files)} bytes")


if __name__ == "__main__":
    main()
