"""Trains `cutout-s`, or a teacher for it. Bounded by wall-clock minutes, resumable, stops cleanly on SIGTERM or SIGINT. See
README.md."""
import argparse
import copy
import json
import math
import os
import signal
import sys
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F

import data
import evaluate
import losses
import prompts
import teacher
from model import normalise

AHEAD = 4  # batches prepared in advance


def arguments(doc):
    """The options that every kind of run has."""
    p = argparse.ArgumentParser(description=doc)
    p.add_argument("--data", help="folder in the data/seg layout (needed until it is packed)")
    p.add_argument("--cache", default=data.default_cache(), help="where the packed data lives")
    p.add_argument("--run", required=True, help="folder of checkpoints and logs; a checkpoint found there is resumed")
    p.add_argument("--encoder", choices=teacher.ENCODERS, default="small", help="small: what ships; large: for a teacher")
    p.add_argument("--backbone", help="npz of a pretrained MobileNetV2 to start from")
    p.add_argument("--start", help="checkpoint or exported .safetensors to start from, with a fresh optimiser; of what the "
                   "encoder has, the file may lack some")
    p.add_argument("--freeze", type=int, default=3, help="the stem and this many first blocks of the backbone are not trained")
    p.add_argument("--minutes", type=float, default=110, help="budget; `minutes` in <run>/budget.json overrides it at any time")
    p.add_argument("--schedule", default="128x6@0.35,192x5@0.3,256x4@0.35", help="side x images @ share of the budget")
    p.add_argument("--square", action="store_true", help="no frames but squares")
    p.add_argument("--objects", type=int, default=6, help="objects per image")
    p.add_argument("--synthetic", type=float, default=0.1, help="share of images that are synthetic scenes")
    p.add_argument("--lr", type=float, default=5e-4)
    p.add_argument("--decay", type=float, default=0.05)
    p.add_argument("--licence", choices=["any", "permissive"], default="any")
    p.add_argument("--leave-out", nargs="*", default=[], metavar="SOURCE", help="sources that are not trained on")
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--amp", choices=["bf16", "off"], default="bf16" if torch.cuda.is_available() else "off",
                   help="bf16 is faster where the processor computes it, and slower where it only emulates it")
    p.add_argument("--processes", type=int, default=1, help="replicas that share every step; on a CPU, one per core beats threads")
    p.add_argument("--threads", type=int, default=0, help="per process; 0: the cores divided by the processes")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--checkpoint-minutes", type=float, default=3)
    p.add_argument("--val-minutes", type=float, default=12)
    p.add_argument("--val-limit", type=int, default=8, help="validation objects per source")
    return p


def stage(schedule, progress):
    """(side, images) of the schedule at `progress` in [0, 1]."""
    for part in schedule.split(","):
        shape, share = part.split("@")
        side, images = map(int, shape.split("x"))
        progress -= float(share)
        if progress < 0:
            break
    return side, images


def canvas(side, seed, step, square=False):
    """Height and width of a batch: a square, or a frame with one side a quarter shorter, as photographs are."""
    if square:
        return side, side
    short = max(32, round(side * 0.75 / 32) * 32)
    return [(side, side), (short, side), (side, short)][np.random.default_rng([seed, step, 7]).choice(3, p=[0.4, 0.35, 0.25])]


def rate(progress, step):
    return min(1.0, (step + 1) / 200) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def optimiser(model, lr, decay):
    """AdamW; the backbone at a fifth of the rate, decay on matrices and kernels only."""
    groups = {}
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        key = (name.startswith("image_encoder.backbone"), p.ndim > 1 and "embed" not in name and "token" not in name.split(".")[1])
        groups.setdefault(key, []).append(p)
    return torch.optim.AdamW([
        {"params": ps, "scale": 0.2 if backbone else 1.0, "lr": lr, "weight_decay": decay if matrix else 0.0}
        for (backbone, matrix), ps in groups.items()], fused=True)


class Loader:
    """Prepares the batches of one replica in one other process."""

    def __init__(self, args, rank):
        self.args, self.rank, self.jobs = args, rank, {}
        settings = str(args.cache), args.seed, args.licence, args.objects, args.synthetic, args.leave_out
        self.pool = ProcessPoolExecutor(1, initializer=worker, initargs=settings)

    def get(self, step, progress):
        for s in range(step, step + AHEAD):
            if s not in self.jobs:
                side, images = stage(self.args.schedule, progress)
                number = s * self.args.processes + self.rank
                self.jobs[s] = side, self.pool.submit(draw, number, *canvas(side, self.args.seed, s, self.args.square), images)
        side, job = self.jobs.pop(step)
        return side, job.result()


def worker(*settings):
    global sampler
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    data.cv2.setNumThreads(1)
    sampler = data.Sampler(*settings)


def draw(*shape):
    return sampler.batch(*shape)


def corrections(rng, masks, answers, coords, labels):
    """Adds to every prompt a click on an error of its answer. Masks and answers are boolean arrays at half the input's size."""
    clicks = []
    for mask, answer in zip(masks, answers):
        x, y, label = prompts.correction(mask, answer, rng) or (*prompts.random_pixel(rng, mask), 1)
        clicks.append((2 * x + 0.5, 2 * y + 0.5, label))
    clicks = torch.tensor(clicks, dtype=torch.float32, device=coords.device)
    return torch.cat([coords, clicks[:, None, :2]], 1), torch.cat([labels, clicks[:, None, 2].long()], 1)


def encode(model, batch, device):
    """Features of a batch's images."""
    x = normalise(torch.from_numpy(batch["images"]).to(device))
    for i, (h, w) in enumerate(batch["sizes"]):
        x[i, :, h:] = 0
        x[i, :, :, w:] = 0
    return model.encode(x.contiguous(memory_format=torch.channels_last))


class Supervised:
    """Learning from the masks of the data."""

    def __init__(self, args):
        self.args = args

    def model(self):
        """The model to train, as it is before the first step."""
        args = self.args
        model = teacher.build(args.encoder)
        if args.backbone:
            model.image_encoder.backbone.load_npz(args.backbone)
        if args.start:
            teacher.start_from(model, teacher.weights(args.start))
        model.image_encoder.backbone.freeze(args.freeze)
        return model

    def loss(self, model, batch, rng):
        """Loss of one batch, and what the log reports of it."""
        return forward(model, encode(model, batch, self.args.device), batch, rng, self.args.device)


def forward(model, features, batch, rng, device):
    """Loss of one batch over a first prompt and up to four rounds of correction, and the true IoU of the first answers."""
    to = lambda k: torch.from_numpy(batch[k]).to(device)
    index, coords, labels = to("index"), to("coords"), to("labels")
    target = losses.Target(to("at"), to("inside"), to("area"))
    point = labels[:, 0] == 1
    logits, iou = model.decode(features, index, coords, labels)
    loss, first = target.total(logits, iou, point)
    report = {"point": point, "actual": first, "predicted": iou.detach().float(), "answer": logits}

    half = F.avg_pool2d(to("masks").float().unsqueeze(1), 2).squeeze(1)
    half = half >= half.amax((1, 2), keepdim=True).clamp(max=0.5)  # a thin object keeps its best pixels
    ambiguous = point
    for share in (0.6, 0.5, 0.5, 0.5)[:rng.choice([1, 2, 3, 4], p=[0.35, 0.35, 0.15, 0.15])]:
        n = max(1, round(share * len(index)))
        pick = torch.from_numpy(np.sort(rng.permutation(len(index))[:n])).to(device)
        chosen = torch.where(ambiguous & torch.from_numpy(rng.random(len(index)) < 0.8).to(device), 1 + iou[:, 1:].argmax(1), 0)
        earlier = logits.detach().float()[pick, chosen[pick]].unsqueeze(1).clamp(-32, 32)
        index, target, half, coords, labels = (t[pick] for t in (index, target, half, coords, labels))
        answer = F.interpolate(earlier, half.shape[-2:], mode="bilinear", align_corners=False)[:, 0] > 0
        coords, labels = corrections(rng, half.cpu().numpy(), answer.cpu().numpy(), coords, labels)
        with_mask = torch.from_numpy(rng.random(n) < 0.85).to(device)
        ambiguous = torch.zeros(n, dtype=torch.bool, device=device)
        logits, iou = model.decode(features, index, coords, labels, earlier, with_mask)
        part, last = target.total(logits, iou, ambiguous)
        loss = loss + share * part
        report["last"] = last[:, 0]
    return loss, report


@torch.no_grad()
def average(ema, model, step):
    decay = min(0.999, (1 + step) / (10 + step))
    ours, theirs = list(ema.parameters()), list(model.parameters())
    torch._foreach_lerp_(ours, theirs, 1 - decay)


def save(path, state):
    partial = path.with_suffix(".part")
    torch.save(state, partial)
    os.replace(partial, path)


@torch.no_grad()
def exchange(model, world, *extra):
    """Averages the gradients of all replicas, and returns the sums of a few numbers that travel with them."""
    if world == 1:
        return extra
    grads = [p.grad for p in model.parameters() if p.requires_grad]
    flat = torch.cat([g.flatten() for g in grads] + [torch.tensor(extra, dtype=torch.float32, device=grads[0].device)])
    dist.all_reduce(flat)
    parts = flat.split([g.numel() for g in grads] + [len(extra)])
    torch._foreach_copy_(grads, [part.view_as(g) / world for part, g in zip(parts, grads)])
    return parts[-1].tolist()


def main(args, task):
    """Runs `task`, a class like `Supervised`, on as many processes as asked for."""
    args.task = task
    run = Path(args.run)
    run.mkdir(parents=True, exist_ok=True)
    (run / "train.pid").write_text(str(os.getpid()))
    if args.data:
        data.pack(args.data, args.cache)
    args.threads = args.threads or max(1, os.cpu_count() // args.processes)
    if args.processes > 1:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        (run / "rendezvous").unlink(missing_ok=True)
        others = [mp.get_context("spawn").Process(target=replica, args=(args, rank)) for rank in range(1, args.processes)]
        for other in others:
            other.start()
    train(args, 0)


def replica(args, rank):
    """A replica that fails leaves at once: the lead then fails too instead of waiting for it."""
    try:
        train(args, rank)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def train(args, rank):
    run, world, lead = Path(args.run), args.processes, rank == 0
    stopping = []
    for s in (signal.SIGTERM, signal.SIGINT):
        signal.signal(s, lambda *_: stopping.append(True))
    if world > 1:
        dist.init_process_group("gloo", init_method=f"file://{(run / 'rendezvous').resolve()}", rank=rank, world_size=world)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)

    task = args.task(args)
    model = task.model().to(args.device, memory_format=torch.channels_last)
    ema = copy.deepcopy(model).requires_grad_(False)
    optim = optimiser(model, args.lr, args.decay)
    step, spent, images = 0, 0.0, 0
    checkpoint = run / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=args.device, weights_only=False)
        model.load_state_dict(state["model"])
        ema.load_state_dict(state["ema"])
        optim.load_state_dict(state["optimiser"])
        for group in optim.param_groups:
            group.update(fused=True, foreach=False)
        torch.set_rng_state(state["rng"].cpu())
        step, spent, images = state["step"], state["spent"], state["images"]

    loader = Loader(args, rank)
    log = open(run / "log.jsonl", "a", buffering=1) if lead else open(os.devnull, "w")
    write = lambda **entry: log.write(json.dumps({k: round(v, 5) if isinstance(v, float) else v for k, v in entry.items()}) + "\n")
    keep = lambda: save(checkpoint, {
        "model": model.state_dict(), "ema": ema.state_dict(), "optimiser": optim.state_dict(), "rng": torch.get_rng_state(),
        "step": step, "spent": spent, "images": images, "args": {k: str(v) for k, v in vars(args).items()}})

    minutes, clock, began_at = args.minutes, time.monotonic(), spent
    saved = validated = spent
    wait, sums, stop = 0.0, {}, False
    while not stop:
        if step % 20 == 0 and (run / "budget.json").exists():
            budget = json.loads((run / "budget.json").read_text())
            minutes, args.schedule = budget.get("minutes", minutes), budget.get("schedule", args.schedule)
        progress = spent / (60 * minutes)
        began = time.monotonic()
        side, batch = loader.get(step, progress)
        wait += time.monotonic() - began

        scale = rate(progress, step)
        for group in optim.param_groups:
            group["lr"] = args.lr * group["scale"] * scale
        with torch.autocast(args.device, torch.bfloat16, enabled=args.amp == "bf16"):
            loss, report = task.loss(model, batch, np.random.default_rng([args.seed, step, 11, rank]))
        optim.zero_grad(set_to_none=True)
        loss.backward()
        # All replicas go by the lead's clock, and stop at the same step.
        now = began_at + time.monotonic() - clock
        halt, spent = exchange(model, world, float(bool(stopping)), now if lead else 0.0)
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        if not math.isfinite(float(norm)):
            write(event="skipped", step=step, loss=float(loss))
        else:
            optim.step()
            average(ema, model, step)
        step, images = step + 1, images + world * len(batch["images"])
        stop = halt > 0 or spent >= 60 * minutes

        for name, values in summary(report, loss.detach(), norm).items():
            sums.setdefault(name, []).extend(values)
        if step == 1 or step % 25 == 0 or stop:
            write(step=step, minutes=spent / 60, side=side, images=images, lr=args.lr * scale, wait=wait,
                  **{k: float(np.mean(v)) for k, v in sums.items() if v})
            wait, sums = 0.0, {}
        if lead and spent - saved > 60 * args.checkpoint_minutes:
            keep()
            saved = spent
        if lead and spent - validated > 60 * args.val_minutes:
            torch.set_num_threads(args.threads * world)
            score = evaluate.run(ema, args.cache, "val", side=384, limit=args.val_limit, clicks=1, licence=args.licence)
            torch.set_num_threads(args.threads)
            write(event="val", step=step, minutes=spent / 60, **score["mean"])
            validated = spent
    if lead:
        keep()
        write(event="stopped" if halt else "finished", step=step, minutes=spent / 60, images=images)
    for _, job in loader.jobs.values():
        job.cancel()
    loader.pool.shutdown()


def summary(report, loss, norm):
    """What the log averages over its window."""
    if "actual" not in report:
        return {"loss": [float(loss)], "norm": [float(norm)]} | {k: [float(v)] for k, v in report.items()}
    point, actual, predicted = report["point"], report["actual"], report["predicted"]
    chosen = actual[:, 1:].gather(1, predicted[:, 1:].argmax(1, keepdim=True))[:, 0]
    return {
        "loss": [float(loss)], "norm": [float(norm)], "box": actual[~point, 0].tolist(),
        "point_best": actual[point, 1:].max(1).values.tolist(), "point_chosen": chosen[point].tolist(), "last": report["last"].tolist(),
        "iou_error": (predicted - actual).abs().mean(1).tolist()}


if __name__ == "__main__":
    main(arguments(__doc__).parse_args(), Supervised)
