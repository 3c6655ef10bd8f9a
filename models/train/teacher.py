"""Teachers: a larger image encoder of our own, and those of Segment Anything and MobileSAM through ONNX."""
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from model import DIM, Attention, CutoutS, ImageEncoder, LayerNorm2d

ENCODERS = ("small", "large")
SAM_SIDE = 1024


class Block(nn.Module):
    """A transformer block over all pixels of a map, places told by a depthwise convolution. Starts as the identity, so that a
    trained small encoder can be made large."""

    def __init__(self):
        super().__init__()
        self.place = nn.Conv2d(DIM, DIM, 3, 1, 1, groups=DIM)
        self.norm1, self.norm2 = nn.LayerNorm(DIM), nn.LayerNorm(DIM)
        self.attention = Attention()
        self.lin1, self.lin2 = nn.Linear(DIM, 4 * DIM), nn.Linear(4 * DIM, DIM)
        for last in (self.place, self.attention.out_proj, self.lin2):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, x):
        n, c, h, w = x.shape
        x = (x + self.place(x)).permute(0, 2, 3, 1).reshape(n, h * w, c)
        y = self.norm1(x)
        x = x + self.attention(y, y, y)
        x = x + self.lin2(F.gelu(self.lin1(self.norm2(x))))
        return x.reshape(n, h, w, c).permute(0, 3, 1, 2)


class LargeEncoder(ImageEncoder):
    """The small encoder with `depth` transformer blocks behind its neck: 8.8 M parameters, and every pixel sees every other."""

    def __init__(self, depth=8):
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(depth))
        self.norm = LayerNorm2d(DIM)

    def forward(self, x):
        embedding, s0, s1 = super().forward(x)
        for block in self.blocks:
            embedding = block(embedding)
        return self.norm(embedding), s0, s1


def build(encoder):
    """An untrained model with one of `ENCODERS`."""
    return CutoutS(LargeEncoder() if encoder == "large" else ImageEncoder())


def is_large(state):
    """Whether these are the weights of a model with the large encoder."""
    return any(name.startswith("image_encoder.blocks.") for name in state)


def start_from(model, state):
    """Loads what a state has for a model. It may lack parts of the encoder, which then stay as they are (a large encoder begun
    from a small one, a student that gets its teacher's decoder); it may hold nothing that the model lacks but an encoder of
    another kind."""
    own = model.state_dict()
    known = {k: v for k, v in state.items() if k in own}
    lacking = [k for k in own if k not in known and not k.startswith("image_encoder.")]
    foreign = [k for k in state if k not in own and not k.startswith("image_encoder.")]
    if lacking or foreign:
        raise SystemExit(f"these weights do not fit: lacking {lacking[:3]}, unknown {foreign[:3]}")
    model.load_state_dict(known, strict=False)


class OnnxEncoder(nn.Module):
    """The image encoder of an official checkpoint, as `cutout models export NAME` writes it, run by onnxruntime. It sees pictures
    enlarged or reduced to its own square side; its embedding is averaged to the grid that the student has."""

    MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)

    def __init__(self, path, threads=0):
        super().__init__()
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(str(path), options, providers=onnxruntime.get_available_providers())
        self.input = self.session.get_inputs()[0]
        side = self.input.shape[2:]
        if len(set(side)) != 1 or not isinstance(side[0], int):
            raise SystemExit(f"{path}: the teacher's input must be a fixed square, not {side}: export it with --size {SAM_SIDE}x{SAM_SIDE}")
        self.side = side[0]

    def forward(self, x):
        """Takes what the small encoder takes, (N, 3, h, w) in [-1, 1] with h = w, and gives its embedding and no skips."""
        n, _, h, w = x.shape
        if h != w:
            raise SystemExit("an official teacher sees squares only: give --square")
        mean, std = (torch.tensor(v, device=x.device).view(1, 3, 1, 1) for v in (self.MEAN, self.STD))
        x = F.interpolate(x.float(), (self.side, self.side), mode="bilinear", align_corners=False, antialias=h > self.side)
        x = ((x + 1) * 127.5 - mean) / std
        rows = [self.session.run(None, {self.input.name: np.ascontiguousarray(row[None].cpu().numpy())})[0] for row in x]
        embedding = F.adaptive_avg_pool2d(torch.from_numpy(np.concatenate(rows)).to(x.device), (h // 16, w // 16))
        none = lambda channels, stride: embedding.new_zeros(n, channels, h // stride, w // stride)
        return embedding, none(32, 4), none(64, 8)


def weights(path):
    """The weights in a file by their names, in float32: the averaged ones of a training checkpoint, or those of a state dict, ours
    exported or an official one (.safetensors, .pt, .pth)."""
    if str(path).endswith(".safetensors"):
        from safetensors.torch import load_file
        state = load_file(path)
    else:
        state = torch.load(path, map_location="cpu", weights_only=True)
        state = state.get("ema", state)
    return {k: v.float() for k, v in state.items()}


def load(path, onnx=None, threads=0, device="cpu"):
    """A teacher: a model of ours from its `weights`, or with `onnx` an official one, whose prompt encoder and mask decoder come from
    its checkpoint."""
    state = weights(path)
    if onnx is None:
        model = build("large" if is_large(state) else "small")
    else:
        model = CutoutS(OnnxEncoder(onnx, threads))
        state = {k: v for k, v in state.items() if k.startswith(("prompt_encoder.", "mask_decoder."))}
    model.load_state_dict(state)
    return model.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
