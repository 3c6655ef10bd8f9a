"""The graphs that the engines run beside `cutout`, and what they are fed with."""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from program import export, sides

BATCH = 64


def write(cutout, folder, args):
    """Exports the graphs and gives the path of each by name."""
    single, batch = folder / "single", folder / "batch"
    export(cutout, single, size=args.size, prompts=1, model=args.model)
    paths = {"encoder": single / "image_encoder.onnx", "decoder": single / "mask_decoder.onnx"}
    if "full" in args.rows:
        paths["full"] = single / "mask_at_full_size.onnx"
        onnx.save(at_full_size(onnx.load(paths["decoder"]), sides(args.size), sides(args.picture)), paths["full"])
    if "batch" in args.rows:
        export(cutout, batch, size=args.size, prompts=BATCH, model=args.model)
        paths["batch"] = batch / "mask_decoder.onnx"
    return paths


def at_full_size(model, size, picture):
    """The decoder with the post-processing of Segment Anything behind it, for one mask: bilinear to the padded input, cut to the
    resized picture, bilinear to the picture, threshold. As `segment_anything/utils/onnx.py` exports it, which leaves the threshold out.

    `size` is (height, width) of the input, `picture` (width, height)."""
    (height, width), (across, down) = size, picture
    scale = min(height / down, width / across)
    cut = [int(down * scale + 0.5), int(across * scale + 0.5)]
    constants = {
        "mask_first": [0], "mask_next": [1], "mask_axis": [1],
        "padded": [1, 1, height, width], "cut_start": [0, 0], "cut_end": cut, "cut_axes": [2, 3], "whole": [1, 1, down, across],
    }
    bilinear = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    nodes = [
        helper.make_node("Slice", ["low_res_masks", "mask_first", "mask_next", "mask_axis"], ["one_mask"]),
        helper.make_node("Resize", ["one_mask", "", "", "padded"], ["padded_mask"], **bilinear),
        helper.make_node("Slice", ["padded_mask", "cut_start", "cut_end", "cut_axes"], ["cut_mask"]),
        helper.make_node("Resize", ["cut_mask", "", "", "whole"], ["whole_mask"], **bilinear),
        helper.make_node("Greater", ["whole_mask", "threshold"], ["mask"]),
    ]
    graph = model.graph
    graph.initializer.extend(numpy_helper.from_array(np.array(v, np.int64), name) for name, v in constants.items())
    graph.initializer.append(numpy_helper.from_array(np.float32(0), "threshold"))
    graph.node.extend(nodes)
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("mask", TensorProto.BOOL, [1, 1, down, across]))
    onnx.checker.check_model(model)
    return model


def feeds(path):
    """Inputs of a graph: noise, but prompts of one point and no mask."""
    rng = np.random.default_rng(1)
    out = {}
    for value in onnx.load(path).graph.input:
        shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        out[value.name] = rng.normal(size=shape).astype(np.float32)
    if "point_labels" in out:
        out["point_labels"][:] = [1, -1]
        out["point_coords"][:] = rng.uniform(0, 200, out["point_coords"].shape)
        out["has_mask_input"][:] = 0
        out["mask_input"][:] = 0
    return out
