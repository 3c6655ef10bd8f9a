"""Forms of an image encoder in int8, as `onnxruntime.quantization` makes them of the float32 graph.

Values are bytes without a sign and weights bytes with one, which its guide names for processors with VNNI; dynamic convolutions are the
exception, since those with signed weights run many times slower. Static forms are calibrated by minimum and maximum, once for all.
"""
import logging
from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import TensorProto
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from engines import Refused

# onnxruntime's advice on how to quantise; what it would mean here is among the forms.
logging.getLogger().setLevel(logging.ERROR)

PRODUCTS = ["Conv", "MatMul", "Gemm"]
LAYOUT = ["Reshape", "Transpose", "Slice", "Split", "Pad"]
OPERATORS = {"all operators": None, "no norms": [*PRODUCTS, "Add", "Clip", "Relu", "GlobalAveragePool", *LAYOUT], "products": PRODUCTS}
SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".webp"}


class Quantizer:
    """Writes the forms of one graph to a folder."""

    def __init__(self, graph, folder, calibration):
        self.graph, self.folder, self.calibration = graph, Path(folder), calibration
        signed, unsigned = QuantType.QInt8, QuantType.QUInt8
        self.forms = {
            "dynamic MatMul": lambda: self.dynamic(graph, ["MatMul"], signed),
            "dynamic MatMul, prepared": lambda: self.dynamic(self.prepared(), ["MatMul"], signed),
            "dynamic MatMul, per channel": lambda: self.dynamic(graph, ["MatMul"], signed, per_channel=True),
            "dynamic MatMul and Conv": lambda: self.dynamic(graph, ["MatMul", "Conv"], unsigned),
        }
        for style in (QuantFormat.QDQ, QuantFormat.QOperator):
            for per_channel in (False, True):
                for operators, kinds in OPERATORS.items():
                    name = f"{style}, {operators}, per {'channel' if per_channel else 'tensor'}"
                    self.forms[name] = lambda words=(style, per_channel, kinds): self.static(graph, *words)
                    if style == QuantFormat.QDQ and not per_channel:
                        self.forms[f"{name}, prepared"] = lambda words=(style, per_channel, kinds): self.static(self.prepared(), *words)

    def make(self, name):
        """The path of a form; Refused where it has no weights in 8 bits, anything else where onnxruntime cannot make it."""
        path = self.forms[name]()
        weights = (w for w in onnx.load(path).graph.initializer if w.data_type in (TensorProto.INT8, TensorProto.UINT8))
        if not any(int(np.prod(weight.dims)) > 1 for weight in weights):
            raise Refused("the graph has nothing that this form quantises")
        return path

    def prepared(self):
        """The graph as onnxruntime advises to rewrite it before."""
        path = self.folder / "prepared.onnx"
        if not path.exists():
            quant_pre_process(str(self.graph), str(path))
        return path

    def target(self):
        return self.folder / f"form{len(list(self.folder.glob('form*.onnx')))}.onnx"

    def dynamic(self, source, kinds, weights, per_channel=False):
        path = self.target()
        quantize_dynamic(str(source), str(path), op_types_to_quantize=kinds, weight_type=weights, per_channel=per_channel)
        return path

    def static(self, source, style, per_channel, kinds):
        path, ranges = self.target(), self.folder / f"{Path(source).stem}.ranges.json"
        if not ranges.exists() and kinds is not None:
            # Ranges of all values serve any choice of operators, but not the other way round.
            self.static(source, style, per_channel, None)
        quantize_static(str(source), str(path), Feeds(self.calibration), quant_format=style, per_channel=per_channel,
                        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, op_types_to_quantize=kinds,
                        calibration_cache_path=str(ranges))
        return path


class Feeds(CalibrationDataReader):
    def __init__(self, feeds):
        self.left = iter(feeds)

    def get_next(self):
        return next(self.left, None)


def inputs(path, count, folder=None):
    """`count` inputs of an exported image encoder: of pictures of a folder, the first by name, or of none that anybody took."""
    graph = onnx.load(path)
    about = {entry.key: entry.value for entry in graph.metadata_props}
    mean, std = (np.array(about[f"cutout.{what}_rgb"].split(), np.float32) for what in ("mean", "std"))
    value = graph.graph.input[0]
    height, width = (dim.dim_value for dim in value.type.tensor_type.shape.dim[2:])
    pictures = taken(folder, count) if folder else made(count, height, width)
    return [{value.name: planes(picture, height, width, mean, std)} for picture in pictures]


def planes(picture, height, width, mean, std):
    """Normalised planes [1, 3, height, width] of a picture in RGB, with zeros at the right and the bottom."""
    scale = min(height / picture.shape[0], width / picture.shape[1])
    down, across = (max(1, int(side * scale + 0.5)) for side in picture.shape[:2])
    out = np.zeros((1, 3, height, width), np.float32)
    small = cv2.resize(picture, (across, down), interpolation=cv2.INTER_AREA)
    out[0, :, :down, :across] = ((small - mean) / std).transpose(2, 0, 1)
    return out


def taken(folder, count):
    """Pictures of a folder, in RGB."""
    files = sorted(file for file in Path(folder).iterdir() if file.suffix.lower() in SUFFIXES)
    pictures = [picture for picture in map(lambda file: cv2.imread(str(file)), files[:count]) if picture is not None]
    if len(pictures) < count:
        raise SystemExit(f"{folder} has {len(pictures)} pictures that can be read, and {count} are needed")
    return [cv2.cvtColor(picture, cv2.COLOR_BGR2RGB) for picture in pictures]


def made(count, height, width):
    """Clouds of colour: noise on grids from coarse to fine, the finer the fainter, as in photographs."""
    pictures = []
    for seed in range(count):
        rng, picture = np.random.default_rng(seed), np.full((height, width, 3), 128, np.float32)
        for cells in (2, 4, 8, 16, 32, 64, 128):
            grid = rng.normal(size=(cells, cells, 3)).astype(np.float32)
            picture += 80 / cells**0.5 * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
        pictures.append(picture.clip(0, 255).astype(np.uint8))
    return pictures
