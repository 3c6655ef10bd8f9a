"""Losses of the Segment Anything paper: focal and dice on the masks, squared error on the predicted IoU."""
import torch
import torch.nn.functional as F

FOCAL, DICE = 20.0, 1.0
OTHERS = 0.03  # share of the loss that the two losing candidates get, so that none of them dies out


def mask_losses(logits, target):
    """Focal and dice loss of every candidate. logits (N, M, h, w), target (N, h, w) with soft edges; returns (N, M).

    The usual 0.25 weight of the foreground is left out: masks are cut at probability one half, and it would shrink them."""
    target = target.unsqueeze(1)
    p = logits.sigmoid()
    wrong = p + target - 2 * p * target
    bce = F.softplus(logits) - logits * target
    focal = 0.5 * (bce * wrong * wrong).mean((2, 3))
    inter, total = (p * target).sum((2, 3)), p.sum((2, 3)) + target.sum((2, 3))
    return FOCAL * focal + DICE * (1 - (2 * inter + 1) / (total + 1))


@torch.no_grad()
def true_iou(logits, mask):
    """IoU of the answers cut at zero. logits (N, M, h, w), mask (N, H, W) boolean of any finer grid."""
    answer = F.interpolate(logits.float(), mask.shape[-2:], mode="bilinear", align_corners=False) > 0
    mask = mask.unsqueeze(1)
    inter, union = (answer & mask).sum((2, 3)), (answer | mask).sum((2, 3))
    return inter / union.clamp(min=1)


def total(logits, iou, target, mask, ambiguous):
    """Loss of one pass over N prompts, and the true IoU of the four candidates (N, 4).

    Token 0 answers every prompt; of tokens 1..3 the best learns. Where the prompt leaves little doubt (`ambiguous` false) the
    three count for less, since token 0 is what will be asked."""
    logits = logits.float()
    each = mask_losses(logits, target)
    three = each[:, 1:]
    best = (1 - OTHERS) * three.min(dim=1).values + OTHERS * three.mean(dim=1)
    weight = torch.where(ambiguous, 1.0, 0.4)
    single = torch.where(ambiguous, 0.6, 1.0)
    actual = true_iou(logits.detach(), mask)
    calibration = (iou.float() - actual).pow(2).mean(dim=1)
    return (single * each[:, 0] + weight * best + calibration).mean(), actual
