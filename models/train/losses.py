"""Losses of the Segment Anything paper, focal and dice on the masks and squared error on the predicted IoU, at sampled places."""
import torch
import torch.nn.functional as F

from prompts import WINDOW

NEAR, FAR, DICE, IOU = 2.0, 10.0, 1.0, 4.0  # weights of the focal loss on and off the object, of dice, of the predicted IoU
OTHERS = 0.03  # share of the loss that the two losing candidates get, so that none of them dies out


class Target:
    """What N prompts should be answered with, known at P places of the input (see `prompts.places`): pixel centres `at`
    (N, P, 2) in the unit square of the padded input, the masks there `inside` (N, P) as 0 or 1, and `area` (N, P)."""

    def __init__(self, at, inside, area):
        self.at, self.inside, self.area = at, inside, area

    def __getitem__(self, pick):
        return Target(self.at[pick], self.inside[pick], self.area[pick])

    def look(self, logits):
        """Logits (N, M, h, w) of any grid over the padded input at the places, (N, M, P): what enlarging them would give there."""
        grid = (2 * self.at - 1).unsqueeze(1)
        return F.grid_sample(logits, grid, mode="bilinear", padding_mode="border", align_corners=False).squeeze(2)

    def total(self, logits, iou, ambiguous):
        """Loss of one pass, and the true IoU of the four candidates (N, 4).

        Token 0 answers every prompt; of tokens 1..3 the best learns. Where the prompt leaves little doubt (`ambiguous` false) the
        three count for less, since token 0 is what will be asked."""
        seen = self.look(logits.float())
        each = self.mask_losses(seen, self.inside.unsqueeze(1))
        three = each[:, 1:]
        best = (1 - OTHERS) * three.min(dim=1).values + OTHERS * three.mean(dim=1)
        weight = torch.where(ambiguous, 1.0, 0.4)
        single = torch.where(ambiguous, 0.6, 1.0)
        actual = self.true_iou(seen.detach())
        calibration = IOU * (iou.float() - actual).pow(2).mean(dim=1)
        return (single * each[:, 0] + weight * best + calibration).mean(), actual

    def mask_losses(self, seen, target):
        """Focal and dice loss of every candidate (N, M, P) against its target (N, 1 or M, P) of 0 and 1; (N, M).

        The focal loss is the mean over the object's surroundings and the mean over the rest of the image, whatever the object's
        size. The usual 0.25 weight of the foreground is left out: masks are cut at probability one half, and it would shrink them."""
        area = self.area.unsqueeze(1)
        p = seen.sigmoid()
        wrong = p + target - 2 * p * target
        focal = F.binary_cross_entropy_with_logits(seen, target.expand_as(seen), reduction="none") * wrong * wrong
        near, far = focal[..., :WINDOW ** 2].mean(-1), (focal * (area > 0))[..., WINDOW ** 2:].mean(-1)
        part = p * area
        inter, both = (part * target).sum(-1), part.sum(-1) + (area * target).sum(-1)
        return NEAR * near + FAR * far + DICE * (1 - (2 * inter + 4) / (both + 4))

    def true_iou(self, seen):
        """IoU of the answers cut at zero, (N, M)."""
        answer, truth = seen > 0, self.inside.bool().unsqueeze(1)
        area = self.area.unsqueeze(1)
        inter, union = ((answer & truth) * area).sum(-1), ((answer | truth) * area).sum(-1)
        return inter / union.clamp(min=1)
