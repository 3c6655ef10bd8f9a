"""Distils the small encoder from a teacher: a larger model of ours, or an official Segment Anything or MobileSAM checkpoint.

Two steps, each a run of its own: `--learn embedding` fits the student's embedding to the teacher's, on any pictures; `--learn masks`
goes on from there and fits the answers, prompt by prompt and correction by correction, to the data's masks and to the teacher's.
See README.md."""
import torch
import torch.nn.functional as F

import losses
import teacher
import train


class Distil:
    """Learning from a teacher. A task as `train.Supervised`."""

    def __init__(self, args):
        self.args = args
        self.teacher = teacher.load(args.teacher, args.onnx, args.threads, args.device)

    def model(self):
        args = self.args
        student = teacher.build("small")
        if args.backbone:
            student.image_encoder.backbone.load_npz(args.backbone)
        if args.start:
            teacher.start_from(student, teacher.weights(args.start))
        if not args.start or args.learn == "embedding":
            # The student speaks to the teacher's decoder from the first step on.
            decoder = {k: v for k, v in self.teacher.state_dict().items() if not k.startswith("image_encoder.")}
            teacher.start_from(student, decoder)
            if args.onnx:
                for skip in (student.image_encoder.skip_s0, student.image_encoder.skip_s1):
                    torch.nn.init.zeros_(skip.weight)
        student.image_encoder.backbone.freeze(args.freeze)
        if args.learn == "embedding":
            student.prompt_encoder.requires_grad_(False)
            student.mask_decoder.requires_grad_(False)
            if args.onnx:  # such a teacher has no skips to learn from
                student.image_encoder.skip_s0.requires_grad_(False)
                student.image_encoder.skip_s1.requires_grad_(False)
        return student

    def loss(self, model, batch, rng):
        device = self.args.device
        features = train.encode(model, batch, device)
        with torch.no_grad():
            theirs = train.encode(self.teacher, batch, device)
        if self.args.learn == "embedding":
            loss = sum(F.mse_loss(a.float(), b.float()) / b.float().var().clamp(min=1e-3)
                       for a, b in zip(features, theirs) if a.requires_grad and b.any())
            return loss, {"unexplained": loss.detach()}
        loss, report = train.forward(model, features, batch, rng, device)
        to = lambda k: torch.from_numpy(batch[k]).to(device)
        prompt = to("index"), to("coords"), to("labels")
        target = losses.Target(to("at"), to("inside"), to("area"))
        with torch.no_grad():
            taught = (target.look(self.teacher.decode(theirs, *prompt)[0].float()) > 0).float()
        follow = target.mask_losses(target.look(report["answer"].float()), taught).mean()
        return loss + self.args.follow * follow, report


def main():
    p = train.arguments(__doc__)
    p.add_argument("--teacher", required=True, help="its checkpoint (.pt, .pth) or .safetensors")
    p.add_argument("--onnx", help="an official teacher's image encoder, from `cutout models export NAME`")
    p.add_argument("--learn", choices=["embedding", "masks"], required=True)
    p.add_argument("--follow", type=float, default=0.5, help="weight of the teacher's masks beside the data's, with --learn masks")
    args = p.parse_args()
    if args.encoder != "small":
        p.error("the student is the small encoder")
    args.square |= args.onnx is not None
    train.main(args, Distil)


if __name__ == "__main__":
    main()
