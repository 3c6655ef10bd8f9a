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
    """A click on what an answer got wrong: (x, y, label). Without `rng` the deepest point of the larger error region, else that
    or a random wrong pixel at even odds. None where nothing is wrong."""
    missed, extra = (mask & ~answer), (answer & ~mask)
    if not (missed.any() or extra.any()):
        return None
    if rng is not None and rng.random() < 0.5:
        x, y = random_pixel(rng, missed | extra)
        return x, y, int(mask[y, x])
    mx, my, miss = deepest(missed)
    ex, ey, over = deepest(extra)
    return (mx, my, 1) if miss >= over else (ex, ey, 0)
