"""What robot and industrial cameras do to a picture: `degrade` draws a few effects and applies them in the order of the light's
path, from air and lens over the sensor to the compressed stream. No effect moves anything, so masks stay valid.

Every effect takes (rng, rgb, strength): rgb is (h, w, 3) uint8, strength runs from 0, mild, to 1, strong. Lengths are given for a
picture whose long side is `SIDE` pixels and grow with it.

    python camera.py PHOTO OUT.png    # a sheet of one photo, degraded 16 times
"""
import sys

import cv2
import numpy as np

SIDE = 384


def degrade(rng, rgb):
    """A picture (h, w, 3) uint8 as some camera would have delivered it; deterministic given `rng`. About a third come back as they
    are (then it may be the very array) or with slightly other tones; the rest get up to three effects, and most other tones."""
    rgb = np.ascontiguousarray(rgb)
    fate = rng.random()
    if fate < 0.15:
        return rgb
    if fate < 0.35:
        return tone(rng, rgb, rng.uniform(0, 0.1))
    cv2.setRNGSeed(int(rng.integers(1 << 31)))
    count = rng.choice(4, p=(0.1, 0.45, 0.3, 0.15))
    chosen = set(rng.choice(len(EFFECTS), count, replace=False, p=WEIGHTS))
    tones = rng.random() < 0.8
    for i, (effect, _) in enumerate(EFFECTS):
        if i in chosen or (effect is tone and tones):
            rgb = effect(rng, rgb, rng.random())
    return rgb


def unit(rgb):
    """How long a pixel of a picture of `SIDE` is in this one."""
    return max(rgb.shape[:2]) / SIDE


def haze(rng, rgb, strength):
    """A veil of light, denser towards a random side."""
    h, w = rgb.shape[:2]
    density = cv2.resize(((0.1 + 0.45 * strength) * rng.uniform(0.3, 1, (2, 2))).astype(np.float32), (w, h))
    veil = (rng.uniform(150, 243) + rng.uniform(-12, 12, 3)).astype(np.float32)
    dimmed = cv2.multiply(rgb, cv2.merge([1 - density] * 3), dtype=cv2.CV_8U)
    return cv2.add(dimmed, cv2.merge([density * v for v in veil]), dtype=cv2.CV_8U)


def vignette(rng, rgb, strength):
    """Darker corners, about a centre that is not quite the picture's."""
    h, w = rgb.shape[:2]
    y = np.linspace(-1, 1, h, dtype=np.float32)[:, None] - np.float32(rng.uniform(-0.2, 0.2))
    x = np.linspace(-1, 1, w, dtype=np.float32) - np.float32(rng.uniform(-0.2, 0.2))
    gain = 1 / (1 + np.float32(0.12 + 0.43 * strength) * (x * x + y * y)) ** 2
    return cv2.multiply(rgb, cv2.merge([gain] * 3), dtype=cv2.CV_8U)


def rolling_cast(rng, rgb, strength):
    """Bands of brightness and colour, as from flickering lamps under a rolling shutter."""
    h, w = rgb.shape[:2]
    phase = np.arange(h)[:, None] / h * rng.uniform(0.5, 5) + rng.random() + rng.uniform(-0.15, 0.15, 3)
    gain = 1 + (0.05 + 0.2 * strength) * np.sin(2 * np.pi * phase)
    return cv2.multiply(rgb, np.repeat(gain[:, None].astype(np.float32), w, 1), dtype=cv2.CV_8U)


def tone(rng, rgb, strength):
    """Exposure, contrast, gamma and white balance, through one table per channel."""
    reach = strength ** 0.5
    gain = np.exp(reach * (rng.uniform(-0.4, 0.4) + rng.uniform(-0.14, 0.14, 3)))
    gamma = np.exp(reach * rng.uniform(-0.5, 0.5))
    pivot = rng.choice((0, 128))
    ramp = 255 * (np.arange(256)[:, None] / 255) ** gamma
    table = (ramp - pivot) * gain + pivot + reach * rng.uniform(-30, 30)
    return cv2.LUT(rgb, np.clip(table, 0, 255).astype(np.uint8).reshape(1, 256, 3))


def defocus(rng, rgb, strength):
    """A Gaussian or, as of an open lens, a disc."""
    sigma = (0.5 + 1.5 * strength ** 2) * unit(rgb)
    if rng.random() < 0.6:
        return cv2.GaussianBlur(rgb, (0, 0), sigma)
    reach = int(np.ceil(2 * sigma))
    square = np.arange(-reach, reach + 1) ** 2
    disc = np.clip(2 * sigma + 0.5 - np.sqrt(square[:, None] + square), 0, 1).astype(np.float32)
    return cv2.filter2D(rgb, -1, disc / disc.sum())


def motion(rng, rgb, strength):
    """The camera moved along a straight line of 2 to 9 pixels while the shutter was open."""
    half = (2 + 7 * strength ** 1.5) * unit(rgb) / 2
    angle = rng.uniform(0, np.pi)
    reach = int(np.ceil(half))
    steps = np.linspace(-half, half, 8 * reach + 1) * 0.999
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    np.add.at(kernel, tuple(np.rint(reach + f(angle) * steps).astype(int) for f in (np.sin, np.cos)), 1)
    return cv2.filter2D(rgb, -1, kernel / kernel.sum())


def coarse(rng, rgb, strength):
    """A sensor of fewer pixels, scaled up afterwards."""
    h, w = rgb.shape[:2]
    factor = 1.3 + 1.7 * strength
    small = cv2.resize(rgb, (max(2, round(w / factor)), max(2, round(h / factor))), interpolation=cv2.INTER_AREA)
    how = rng.choice((cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_NEAREST), p=(0.5, 0.35, 0.15))
    return cv2.resize(small, (w, h), interpolation=int(how))


def low_light(rng, rgb, strength):
    """Few photons: darker, shot noise that grows with the root of the light, and read noise."""
    # Something must stay visible of a picture that is dark already.
    dim = min(1, max(0.75 - 0.6 * strength, 20 / max(1, rgb.mean())))
    mean = np.arange(256, dtype=np.float32) * np.float32(dim)
    sigma = np.sqrt(mean * (0.2 + 1.5 * strength) + (1 + 4 * strength) ** 2).astype(np.float32)
    return noisy(rng, rgb, mean, sigma)


def grain(rng, rgb, strength):
    """Read noise of 3 to 14 grey levels in ordinary light."""
    return noisy(rng, rgb, np.arange(256, dtype=np.float32), np.full(256, 3 + 11 * strength, np.float32))


def noisy(rng, rgb, mean, sigma):
    """Normal noise about `mean`, both tables of 256; a third of the time in blotches of two pixels, as denoisers leave it."""
    noise = np.empty(rgb.shape, np.float32)
    cv2.randn(noise.reshape(len(noise), -1), 0, 1)  # given three channels, it would fill only the first
    if rng.random() < 0.33:
        noise = cv2.blur(noise, (2, 2)) * np.float32(1.6)
    return cv2.add(cv2.LUT(rgb, mean), cv2.multiply(cv2.LUT(rgb, sigma), noise), dtype=cv2.CV_8U)


def mosaic(rng, rgb, strength):
    """One colour per pixel, some noise on it, and the other two colours guessed from the neighbours."""
    raw = np.ascontiguousarray(rgb[..., 1])
    raw[::2, ::2] = rgb[::2, ::2, 0]
    raw[1::2, 1::2] = rgb[1::2, 1::2, 2]
    noise = np.empty(raw.shape, np.int16)
    cv2.randn(noise, 0, 7 * strength)
    raw = cv2.add(raw, noise, dtype=cv2.CV_8U)
    return cv2.cvtColor(raw, int(rng.choice((cv2.COLOR_BayerRGGB2RGB, cv2.COLOR_BayerRGGB2RGB_EA))))


def monochrome(rng, rgb, strength):
    """A grey sensor that sees the three colours by random shares, the more unlike the eye's the stronger."""
    share = (1 - strength) * np.array((0.299, 0.587, 0.114)) + strength * rng.dirichlet((1, 1, 1))
    return cv2.cvtColor(cv2.transform(rgb, share[None]), cv2.COLOR_GRAY2RGB)


def defects(rng, rgb, strength):
    """Hot and dead pixels, and at times a few dead rows."""
    h, w = rgb.shape[:2]
    rgb = rgb.copy()
    count = int(h * w * 2e-3 * strength) + 3
    where = rng.integers(h, size=count), rng.integers(w, size=count), rng.integers(3, size=count)
    rgb[where] = rng.choice((0, 255), count, p=(0.3, 0.7))
    if rng.random() < 0.5:
        rgb[rng.integers(h, size=rng.integers(1, 5))] = rng.choice((0, 128, 255))
    return rgb


def jpeg(rng, rgb, strength):
    """Quality 60 down to 15."""
    _, packed = cv2.imencode(".jpg", rgb, (cv2.IMWRITE_JPEG_QUALITY, round(60 - 45 * strength)))
    return cv2.imdecode(packed, cv2.IMREAD_COLOR)


EFFECTS = (
    (haze, 0.6), (vignette, 0.9), (rolling_cast, 0.6), (tone, 0), (defocus, 1.3), (motion, 1.3), (coarse, 1), (low_light, 1.4),
    (grain, 1.2), (mosaic, 1), (monochrome, 1.3), (defects, 0.4), (jpeg, 1.6))
WEIGHTS = np.array([w for _, w in EFFECTS]) / sum(w for _, w in EFFECTS)


def main():
    photo = cv2.imread(sys.argv[1])
    photo = cv2.resize(photo, None, fx=SIDE / max(photo.shape), fy=SIDE / max(photo.shape), interpolation=cv2.INTER_AREA)
    shots = [degrade(np.random.default_rng(seed), photo[..., ::-1])[..., ::-1] for seed in range(16)]
    cv2.imwrite(sys.argv[2], np.vstack([np.hstack(shots[i:i + 4]) for i in range(0, 16, 4)]))


if __name__ == "__main__":
    main()
