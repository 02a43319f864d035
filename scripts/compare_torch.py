"""Training steps and inference of mien and PyTorch side by side, taking turns on the same machine.

    pip install torch==2.9.1 torchvision==0.24.1 numpy
    cargo bench --bench torch --no-run
    python scripts/compare_torch.py [--model vgg16] [--size 256] [--batch 8] [--turns 5] [--threads 2] [--bf16]

Both sides have one batch that is ready, and do the same: forward, cross entropy, backward, SGD with momentum 0.9 and weight decay
1e-4; or forward without gradients. Both keep the pages of freed memory: mien by itself, PyTorch through glibc's settings in the
environment of its process (the columns "as installed" are without them). PyTorch runs in its usual layout and in channels_last.
Medians of all turns after one for warming up; the ratio is PyTorch's faster one over mien's.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# As mien's memory::keep_pages.
KEEP = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1), "MALLOC_ARENA_MAX": "1"}


def serve(name, size, batch, threads, layout, dtype):
    """PyTorch's side: answers each line on standard input as benches/torch.rs does."""
    import time

    import torch
    import torch.nn.functional as F

    sys.path.insert(0, str(ROOT / "scripts"))
    from golden import build

    assert torch.__version__.startswith("2.9.1"), torch.__version__
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    model = build(name, size=size)
    if name.endswith("cbam"):
        # Its first linear layer reads the whole map.
        model.classifier[0] = torch.nn.Linear(512 * (size >> 5) ** 2, 4096)
    x, y = torch.rand(batch, 3, size, size) * 2 - 1, torch.arange(batch) % 7
    if layout == "channels_last":
        model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, weight_decay=1e-4)
    half = torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bf16")
    for line in sys.stdin:
        started, kind = time.perf_counter(), line.strip()
        if kind == "train":
            model.train()
            with half:
                logits = model(x)
            loss = F.cross_entropy(logits.float(), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            value = loss.item()
        elif kind == "memory":
            value = float(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
        else:
            model.eval()
            with torch.inference_mode(), half:
                value = model(x if kind == "infer" else x[:1])[0, 0].item()
        print(time.perf_counter() - started, value, flush=True)


class Side:
    def __init__(self, name, command, env):
        self.name = name
        pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, env={**os.environ, **env}, **pipe)

    def ask(self, kind):
        self.process.stdin.write(kind + "\n")
        self.process.stdin.flush()
        return tuple(map(float, self.process.stdout.readline().split()))

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="vgg16")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--kinds", default="train,infer,one")
    parser.add_argument("--bf16", action="store_true", help="PyTorch in bf16 too")
    parser.add_argument("--level", default="", help="portable or avx2: mien without the processor's better instructions")
    parser.add_argument("--serve", nargs=2, metavar=("LAYOUT", "TYPE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        return serve(args.model, args.size, args.batch, args.threads, *args.serve)

    build = ["cargo", "bench", "--bench", "torch", "--no-run", "--message-format=json"]
    lines = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    found = [json.loads(line) for line in lines]
    binary = next(m["executable"] for m in found if m.get("executable") and m["target"]["name"] == "torch")
    shape = [args.model, str(args.size), str(args.batch)]
    threads = {"RAYON_NUM_THREADS": str(args.threads)}
    if args.level:
        threads["MIEN_KERNELS"] = args.level
    me = [sys.executable, __file__, "--model", shape[0], "--size", shape[1], "--batch", shape[2], "--threads", str(args.threads), "--serve"]
    sides = [
        Side("mien", [binary, *shape], threads),
        Side("torch", [*me, "contiguous", "f32"], KEEP),
        Side("torch channels_last", [*me, "channels_last", "f32"], KEEP),
        Side("torch as installed", [*me, "contiguous", "f32"], {}),
        Side("torch as installed, channels_last", [*me, "channels_last", "f32"], {}),
    ]
    if args.bf16:
        sides.append(Side("torch bf16 channels_last", [*me, "channels_last", "bf16"], KEEP))
    print(f"{args.model}, {args.size}x{args.size}, batch {args.batch}, {args.threads} threads, medians of {args.turns} turns")
    for kind in args.kinds.split(","):
        seconds = {side.name: [] for side in sides}
        for turn in range(args.turns + 1):
            for side in sides:
                elapsed, _ = side.ask(kind)
                if turn:
                    seconds[side.name].append(elapsed)
        images = 1 if kind == "one" else args.batch
        medians = {name: statistics.median(values) for name, values in seconds.items()}
        print(f"\n{kind}")
        for name, median in medians.items():
            spread = f"{images / max(seconds[name]):.3f}–{images / min(seconds[name]):.3f}"
            print(f"  {name:34} {images / median:7.3f} images/s ({spread}); mien is {median / medians['mien']:.2f} × as fast")
    print("\npeak memory, MiB: " + ", ".join(f"{side.name} {side.ask('memory')[1] / 1024:.0f}" for side in sides))
    for side in sides:
        side.close()


if __name__ == "__main__":
    main()
