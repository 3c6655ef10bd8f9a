"""The network of `cutout-s`: a MobileNetV2 image encoder with a small neck, and the prompt encoder and mask decoder of
Segment Anything (same parameter names, same prompt semantics) with two high-resolution skips added while upscaling.

Everything follows the size of the input, which may be any multiple of 32 on each side. Parameter names are the file format: the
Rust graph builder looks tensors up by them.
"""
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

DIM = 256
# (expansion, output channels, stride, dilation of the depthwise convolution) of the 17 inverted residuals at output stride 16.
BLOCKS = (
    [(1, 16, 1, 1), (6, 24, 2, 1), (6, 24, 1, 1), (6, 32, 2, 1), (6, 32, 1, 1), (6, 32, 1, 1), (6, 64, 2, 1)]
    + [(6, 64, 1, 1)] * 3 + [(6, 96, 1, 1)] * 3 + [(6, 160, 1, 1)] + [(6, 160, 1, 2)] * 2 + [(6, 320, 1, 2)]
)
TAPS = {2: "s2", 5: "s3", 12: "s4", 16: "s5"}


class LayerNorm2d(nn.Module):
    """Normalises the channels of every pixel."""

    def __init__(self, channels, eps=1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x):
        x = F.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


def convolve(conv, x):
    """A convolution by the way whose backward pass is fastest on a CPU: a pointwise one as a matrix product on the channels,
    a dilated depthwise one as a plain one on the four phases of the image, a strided or wide one in f32. Others as they are."""
    if x.is_cuda or not torch.is_grad_enabled():
        return conv(x)
    if conv.kernel_size == (1, 1):
        return F.linear(x.permute(0, 2, 3, 1), conv.weight.flatten(1), conv.bias).permute(0, 3, 1, 2)
    if conv.groups == 1:
        return conv(x)
    if conv.dilation == (2, 2):
        n, c, h, w = x.shape
        x = x.permute(0, 2, 3, 1).reshape(n, h // 2, 2, w // 2, 2, c).permute(0, 2, 4, 1, 3, 5)
        x = x.reshape(4 * n, h // 2, w // 2, c).permute(0, 3, 1, 2)
        x = F.conv2d(x, conv.weight, conv.bias, 1, 1, 1, c)
        x = x.permute(0, 2, 3, 1).reshape(n, 2, 2, h // 2, w // 2, c).permute(0, 3, 1, 4, 2, 5)
        return x.reshape(n, h, w, c).permute(0, 3, 1, 2)
    if conv.stride == (1, 1) and conv.kernel_size == (3, 3):
        return conv(x)
    with torch.autocast(x.device.type, enabled=False):
        return conv(x.float()).to(x.dtype)


class Backbone(nn.Module):
    """MobileNetV2 as 51 biased convolutions in graph order (batch norms are folded before training starts)."""

    def __init__(self):
        super().__init__()
        convs, self.plan, channels = [nn.Conv2d(3, 32, 3, 2, 1)], [], 32
        for expansion, out, stride, dilation in BLOCKS:
            hidden, first = channels * expansion, len(convs)
            if expansion > 1:
                convs.append(nn.Conv2d(channels, hidden, 1))
            convs.append(nn.Conv2d(hidden, hidden, 3, stride, dilation, dilation, groups=hidden))
            convs.append(nn.Conv2d(hidden, out, 1))
            self.plan.append((first, len(convs), stride == 1 and channels == out))
            channels = out
        for i, conv in enumerate(convs):
            self.add_module(f"{i:02}", conv)

    def load_npz(self, path):
        """Starts from public weights: arrays `NN.conv.weight` or `NN.dw.weight`, and their biases."""
        arrays = np.load(path)
        with torch.no_grad():
            for name, conv in self.named_children():
                kind = "conv" if f"{name}.conv.weight" in arrays else "dw"
                conv.weight.copy_(torch.from_numpy(arrays[f"{name}.{kind}.weight"]))
                conv.bias.copy_(torch.from_numpy(arrays[f"{name}.{kind}.bias"]))

    def freeze(self, blocks):
        """Excludes the stem and the first `blocks` inverted residuals from training: they see the finest grids and cost most, and
        what they find, edges and colours, the public weights know already."""
        last = self.plan[blocks - 1][1] if blocks else 0
        for conv in list(self.children())[:last]:
            conv.requires_grad_(False)

    def forward(self, x):
        convs = list(self.children())
        x, taps = F.relu6(convs[0](x)), {}
        for i, (first, last, residual) in enumerate(self.plan):
            y = x
            for conv in convs[first:last - 1]:
                y = F.relu6(convolve(conv, y))
            y = convolve(convs[last - 1], y)
            x = x + y if residual else y
            if i in TAPS:
                taps[TAPS[i]] = x
        return taps


class Neck(nn.Module):
    """Brings three levels and a global summary to one 256-channel map of stride 16."""

    def __init__(self):
        super().__init__()
        self.lateral5 = nn.Conv2d(320, DIM, 1)
        self.lateral4 = nn.Conv2d(96, DIM, 1)
        self.lateral3 = nn.Conv2d(32, DIM, 3, 2, 1)
        self.context = nn.Conv2d(320, DIM, 1)
        self.norm1 = LayerNorm2d(DIM)
        self.dw = nn.Conv2d(DIM, DIM, 5, 1, 2, groups=DIM)
        self.pw1 = nn.Conv2d(DIM, 2 * DIM, 1)
        self.pw2 = nn.Conv2d(2 * DIM, DIM, 1)
        self.norm2 = LayerNorm2d(DIM)

    def forward(self, taps):
        s5 = taps["s5"]
        x = self.lateral5(s5) + self.lateral4(taps["s4"]) + self.lateral3(taps["s3"])
        x = self.norm1(x + F.relu(self.context(s5.mean((2, 3), keepdim=True))))
        x = x + self.pw2(F.relu(self.pw1(convolve(self.dw, x))))
        return self.norm2(x)


class ImageEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = Backbone()
        self.neck = Neck()
        self.skip_s0 = nn.Conv2d(24, 32, 1)
        self.skip_s1 = nn.Conv2d(32, 64, 1)
        for skip in (self.skip_s0, self.skip_s1):
            nn.init.normal_(skip.weight, std=0.01)
            nn.init.zeros_(skip.bias)

    def forward(self, x):
        """Returns the embedding (stride 16) and the skips of strides 4 and 8."""
        taps = self.backbone(x)
        return self.neck(taps), self.skip_s0(taps["s2"]), self.skip_s1(taps["s3"])


def downscale2(conv, x):
    """A 2x2 stride-2 convolution on (N, h, w, c) as a matrix product."""
    n, h, w, c = x.shape
    x = x.view(n, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(n, h // 2, w // 2, 4 * c)
    return F.linear(x, conv.weight.permute(0, 2, 3, 1).flatten(1), conv.bias)


def upscale2(conv, x):
    """A 2x2 stride-2 transposed convolution on (N, h, w, c): a matrix product and a shuffle, much faster than the general one."""
    n, h, w, _ = x.shape
    weight = conv.weight.permute(2, 3, 1, 0).flatten(0, 2)
    y = F.linear(x, weight, conv.bias.repeat(4))
    return y.view(n, h, w, 2, 2, -1).permute(0, 1, 3, 2, 4, 5).reshape(n, 2 * h, 2 * w, -1)


def frequencies(count):
    """Fourier frequencies (2, count) spread evenly in logarithm from a twentieth of a wave across the image to several, three
    eighths of them along each axis. SAM draws them from a normal distribution; with slow and axis-aligned ones among them, which
    side of a box's edge a pixel lies on is a nearly linear question, and is learned in far fewer steps."""
    length = torch.logspace(math.log10(0.1), math.log10(4.0), count)
    angle = torch.rand(count, generator=torch.Generator().manual_seed(9)) * 2 * math.pi
    kind = torch.arange(count) % 8
    angle[(kind == 0) | (kind == 3) | (kind == 6)] = 0.0
    angle[(kind == 1) | (kind == 4) | (kind == 7)] = math.pi / 2
    return length * torch.stack([angle.cos(), angle.sin()])


class PositionEncoding(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", frequencies(DIM // 2))

    def forward(self, unit):
        """Fourier features of coordinates in [0, 1], (..., 2) as (x, y)."""
        phase = 2 * math.pi * ((2 * unit - 1) @ self.positional_encoding_gaussian_matrix)
        return torch.cat([phase.sin(), phase.cos()], dim=-1)

    def grid(self, h, w):
        device = self.positional_encoding_gaussian_matrix.device
        y, x = torch.meshgrid((torch.arange(h, device=device) + 0.5) / h, (torch.arange(w, device=device) + 0.5) / w, indexing="ij")
        with torch.autocast(device.type, enabled=False):  # angles need more than bf16
            return self(torch.stack([x, y], dim=-1)).reshape(h * w, DIM)


class PromptEncoder(nn.Module):
    """Points, boxes and earlier masks become tokens and a dense map. Labels: 1 foreground, 0 background, 2 and 3 the corners of a
    box, -1 the padding point that stands in where there is no box."""

    def __init__(self):
        super().__init__()
        self.pe_layer = PositionEncoding()
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, DIM) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, DIM)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, 4, 2, 2), LayerNorm2d(4), nn.GELU(), nn.Conv2d(4, 16, 2, 2), LayerNorm2d(16), nn.GELU(), nn.Conv2d(16, DIM, 1))
        self.no_mask_embed = nn.Embedding(1, DIM)

    def sparse(self, coords, labels, size):
        """coords (N, T, 2) in pixels of the padded input of `size` (h, w); labels (N, T)."""
        with torch.autocast(coords.device.type, enabled=False):
            unit = (coords.float() + 0.5) / torch.tensor([size[1], size[0]], device=coords.device)
            pe = self.pe_layer(unit) * (labels >= 0).unsqueeze(-1)
            table = torch.cat([self.not_a_point_embed.weight] + [e.weight for e in self.point_embeddings])
            return pe + table[labels + 1]

    def dense(self, masks):
        """(N, 1, 4h, 4w) logits to (N, h*w, 256)."""
        conv1, norm1, act, conv2, norm2, _, project = self.mask_downscaling
        x = masks.permute(0, 2, 3, 1)
        for conv, norm in ((conv1, norm1), (conv2, norm2)):
            x = act(F.layer_norm(downscale2(conv, x), norm.weight.shape, norm.weight, norm.bias, norm.eps))
        return F.linear(x.flatten(1, 2), project.weight.flatten(1), project.bias)


class Attention(nn.Module):
    def __init__(self, downsample=1, heads=8):
        super().__init__()
        inner = DIM // downsample
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(DIM, inner) for _ in range(3))
        self.out_proj = nn.Linear(inner, DIM)

    def look_nearby(self):
        """Starts with equal projections of queries and keys, so that a token and the pixels at its place find each other."""
        with torch.no_grad():
            self.q_proj.weight.mul_(2)
            self.q_proj.bias.zero_()
            self.k_proj.weight.copy_(self.q_proj.weight)
            self.k_proj.bias.zero_()

    def forward(self, q, k, v):
        q, k, v = (p(t).unflatten(-1, (self.heads, -1)).transpose(1, 2)
                   for p, t in ((self.q_proj, q), (self.k_proj, k), (self.v_proj, v)))
        if q.is_cuda:
            x = F.scaled_dot_product_attention(q, k, v)
        else:  # the fused kernel's backward pass is slow on CPUs with as few tokens as prompts have
            x = ((q * q.shape[-1] ** -0.5) @ k.transpose(2, 3)).softmax(-1).to(v.dtype) @ v
        return self.out_proj(x.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """SAM's heads: linear layers with ReLU between."""

    def __init__(self, widths):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths, widths[1:]))

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)


class TokenMlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin1 = nn.Linear(DIM, 2048)
        self.lin2 = nn.Linear(2048, DIM)

    def forward(self, x):
        return self.lin2(F.relu(self.lin1(x)))


class TwoWayLayer(nn.Module):
    def __init__(self, first):
        super().__init__()
        self.first = first
        self.self_attn = Attention()
        self.cross_attn_token_to_image = Attention(2)
        self.mlp = TokenMlp()
        self.cross_attn_image_to_token = Attention(2)
        self.norm1, self.norm2, self.norm3, self.norm4 = (nn.LayerNorm(DIM) for _ in range(4))

    def forward(self, tokens, image, token_pe, image_pe):
        if self.first:
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            q = tokens + token_pe
            tokens = tokens + self.self_attn(q, q, tokens)
        tokens = self.norm1(tokens)
        k = image + image_pe
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(tokens + token_pe, k, image))
        tokens = self.norm3(tokens + self.mlp(tokens))
        q = tokens + token_pe
        image = self.norm4(image + self.cross_attn_image_to_token(k, q, tokens))
        return tokens, image


class TwoWayTransformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(TwoWayLayer(i == 0) for i in range(2))
        self.final_attn_token_to_image = Attention(2)
        self.norm_final_attn = nn.LayerNorm(DIM)
        for layer in self.layers:
            layer.cross_attn_token_to_image.look_nearby()
            layer.cross_attn_image_to_token.look_nearby()
        self.final_attn_token_to_image.look_nearby()

    def forward(self, image, image_pe, tokens):
        x = tokens
        for layer in self.layers:
            x, image = layer(x, image, tokens, image_pe)
        x = self.norm_final_attn(x + self.final_attn_token_to_image(x + tokens, image + image_pe, image))
        return x, image


class MaskDecoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.transformer = TwoWayTransformer()
        self.iou_token = nn.Embedding(1, DIM)
        self.mask_tokens = nn.Embedding(4, DIM)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(DIM, 64, 2, 2), LayerNorm2d(64), nn.GELU(), nn.ConvTranspose2d(64, 32, 2, 2), nn.GELU())
        self.output_hypernetworks_mlps = nn.ModuleList(Mlp([DIM, DIM, DIM, 32]) for _ in range(4))
        self.iou_prediction_head = Mlp([DIM, DIM, DIM, 4])

    def forward(self, image, image_pe, sparse, grid, skip_s0, skip_s1):
        """image (N, h*w, 256) with the dense prompt added; skips (N, H, W, c). Returns logits (N, 4, 4h, 4w) and IoU (N, 4)."""
        n = len(image)
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight]).to(sparse.dtype)
        tokens, image = self.transformer(image, image_pe, torch.cat([own.expand(n, -1, -1), sparse], dim=1))
        norm = self.output_upscaling[1]
        up = upscale2(self.output_upscaling[0], image.view(n, *grid, DIM)) + skip_s1
        up = F.gelu(F.layer_norm(up, norm.weight.shape, norm.weight, norm.bias, norm.eps))
        up = F.gelu(upscale2(self.output_upscaling[3], up) + skip_s0)
        heads = torch.stack([m(tokens[:, 1 + i]) for i, m in enumerate(self.output_hypernetworks_mlps)], dim=1)
        logits = (heads @ up.flatten(1, 2).transpose(1, 2)).view(n, 4, 4 * grid[0], 4 * grid[1])
        return logits, self.iou_prediction_head(tokens[:, 0])


class CutoutS(nn.Module):
    def __init__(self, image_encoder=None):
        super().__init__()
        self.image_encoder = image_encoder or ImageEncoder()
        self.prompt_encoder = PromptEncoder()
        self.mask_decoder = MaskDecoder()

    def encode(self, x):
        return self.image_encoder(x)

    def decode(self, features, index, coords, labels, masks=None, has_mask=None):
        """Answers N prompts, prompt i on image `index[i]` of the encoded batch. `masks` (N, 1, 4h, 4w): earlier low-resolution
        logits; `has_mask` (N,) says which of them count (all, if absent)."""
        embedding, s0, s1 = features
        h, w = embedding.shape[-2:]
        flat = embedding.permute(0, 2, 3, 1).flatten(1, 2)
        nothing = self.prompt_encoder.no_mask_embed.weight.to(flat.dtype)
        if masks is None:
            image = (flat + nothing).index_select(0, index)
        else:
            dense = self.prompt_encoder.dense(masks)
            if has_mask is not None:
                dense = torch.where(has_mask.view(-1, 1, 1), dense, nothing.to(dense.dtype))
            image = flat.index_select(0, index) + dense
        pe = self.prompt_encoder.pe_layer.grid(h, w).to(flat.dtype)
        sparse = self.prompt_encoder.sparse(coords, labels, (16 * h, 16 * w)).to(flat.dtype)
        nhwc = [s.permute(0, 2, 3, 1).index_select(0, index) for s in (s0, s1)]
        return self.mask_decoder(image, pe, sparse, (h, w), *nhwc)


def normalise(rgb):
    """uint8 RGB (N, h, w, 3) to the network's input (N, 3, h, w)."""
    return ((rgb.float() - 127.5) / 127.5).permute(0, 3, 1, 2)
