"""Prompts as training and evaluation draw them. Coordinates are pixel indices (x, y) of the grid that the mask lives on."""
import cv2
import numpy as np


def deepest(mask):
    """The pixel of a mask that lies farthest from its outside; the border of the grid counts as outside."""
    padded = np.pad(mask.astype(np.uint8), 1)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    y, x = np.unravel_index(int(distance.argmax()), distance.shape)
    return x - 1, y - 1, float(distance[y, x])


def random_pixel(rng, mask):
    flat = np.flatnonzero(mask)
    y, x = np.unravel_index(int(flat[rng.integers(len(flat))]), mask.shape)
    return x, y


def exact_box(mask):
    """(x0, y0, x1, y1) with the far edges exclusive, as COCO's x + w, y + h."""
    xs, ys = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    return np.array([xs[0], ys[0], xs[-1] + 1, ys[-1] + 1], np.float32)


def noisy_box(rng, box, side):
    """Corners moved by a tenth of the box's sides (normal deviation), at most 20 pixels of a frame of 1024."""
    extent = np.tile(box[2:] - box[:2], 2)
    limit = 20 * side / 1024
    return box + np.clip(rng.normal(0, 0.1, 4) * extent, -limit, limit)


WINDOW, AROUND = 64, 32


def places(rng, mask, size):
    """Where the loss looks at a mask (H, W) of which `size` (h, w) is not padding: a jittered grid of WINDOW x WINDOW pixels over
    the object's box and half as much again, and one of AROUND x AROUND over the whole image, so that a small object is seen as
    finely as a large one. Returns pixel centres (P, 2) as (x, y), the mask there (P,), and the area that each stands for (P,), in
    pixels; zero for those of the second grid that the first covers."""
    x0, y0, x1, y1 = exact_box(mask)
    margin = np.maximum(4, 0.25 * np.array([x1 - x0, y1 - y0]))
    low = np.maximum([x0, y0] - margin, 0)
    high = np.minimum([x1, y1] + margin, size[::-1])
    grids = []
    for n, start, extent in ((WINDOW, low, high - low), (AROUND, np.zeros(2), np.array(size[::-1], float))):
        cell = np.stack(np.meshgrid(np.arange(n), np.arange(n)), -1).reshape(-1, 2)
        grids.append(np.floor(start + (cell + rng.random(cell.shape)) / n * extent))
    inside = ((grids[1] >= np.floor(low)) & (grids[1] < high)).all(1)
    area = np.concatenate([np.full(WINDOW ** 2, np.prod(high - low) / WINDOW ** 2), np.where(inside, 0.0, np.prod(size) / AROUND ** 2)])
    at = np.concatenate(grids).astype(int)
    return (at + 0.5).astype(np.float32), mask[at[:, 1], at[:, 0]], area.astype(np.float32)


def first(rng, mask, side):
    """A first prompt: (coords (2, 2), labels (2,)), either a box or one foreground point and the padding point."""
    if rng.random() < 0.5:
        box = exact_box(mask)
        if rng.random() < 0.4:
            box = noisy_box(rng, box, side)
        return box.reshape(2, 2), np.array([2, 3])
    x, y = deepest(mask)[:2] if rng.random() < 0.5 else random_pixel(rng, mask)
    return np.array([[x, y], [0, 0]], np.float32), np.array([1, -1])


def correction(mask, answer, rng=None):
    """A click on what an answer got wrong: (x, y, label). Without `rng` the deepest point of what is more, the missed or the
    superfluous pixels, as `cutout eval` clicks; with it that or a random wrong pixel, two to one. None where nothing is wrong."""
    missed, extra = (mask & ~answer), (answer & ~mask)
    if not (missed.any() or extra.any()):
        return None
    if rng is not None and rng.random() < 1 / 3:
        x, y = random_pixel(rng, missed | extra)
        return x, y, int(mask[y, x])
    foreground = missed.sum() >= extra.sum()
    x, y, _ = deepest(missed if foreground else extra)
    return x, y, int(foreground)
