"""The engines that run the same graphs: onnxruntime, OpenVINO, ncnn. All in float32, on a given number of threads.

An engine loads a graph as a function from named inputs to the list of its outputs. Making an engine raises ImportError where it is
not installed; loading raises Refused where the engine cannot run the graph.
"""
import importlib.metadata
import subprocess
from pathlib import Path

import numpy as np


class Refused(Exception):
    """The engine cannot run the graph; the message says why."""


class OnnxRuntime:
    def __init__(self):
        import onnxruntime
        self.module, self.version = onnxruntime, onnxruntime.__version__

    def load(self, path, threads):
        options = self.module.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        session = self.module.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return lambda feeds: session.run(None, feeds)


class OpenVino:
    def __init__(self):
        import openvino
        self.module, self.version = openvino, openvino.__version__.split("-")[0]

    def load(self, path, threads):
        # Processors with bfloat16 would compute in it if not told otherwise. Pinned threads would meet whatever else runs there.
        options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1,
                   "PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": False}
        try:
            compiled = self.module.Core().compile_model(str(path), "CPU", options)
        except RuntimeError as error:
            raise Refused(str(error).strip().splitlines()[-1]) from error
        request = compiled.create_infer_request()

        def run(feeds):
            found = request.infer(feeds, share_inputs=True, share_outputs=True)
            return [found[output] for output in compiled.outputs]
        return run


class Ncnn:
    """ncnn reads a format of its own, into which pnnx converts."""

    def __init__(self):
        import ncnn
        import pnnx
        self.module, self.converter = ncnn, pnnx.EXEC_PATH
        self.version = f"{ncnn.__version__} (pnnx {importlib.metadata.version('pnnx')})"

    def load(self, path, threads):
        net = self.module.Net()
        net.opt.num_threads = threads
        net.opt.use_vulkan_compute = False
        for half in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
            setattr(net.opt, f"use_{half}", False)
        param, weights = self.convert(Path(path))
        # What pnnx cannot convert it leaves there under the name that PyTorch has for it, with a dot.
        layers = {line.split()[0] for line in param.read_text().splitlines()[2:]}
        foreign = sorted(layer for layer in layers if "." in layer)
        if foreign:
            raise Refused(f"ncnn has no layer for {', '.join(foreign)}, which pnnx leaves in the graph")
        if net.load_param(str(param)) != 0 or net.load_model(str(weights)) != 0:
            raise Refused("ncnn does not load what pnnx has made of the graph")
        outputs = net.output_names()

        def run(feeds):
            with net.create_extractor() as extractor:
                for number, value in enumerate(feeds.values()):
                    extractor.input(f"in{number}", self.module.Mat(value[0]))
                return [np.asarray(extractor.extract(name)[1])[None] for name in outputs]
        return run

    def convert(self, path):
        folder = path.parent / "ncnn"
        folder.mkdir(exist_ok=True)
        param, weights = (folder / f"{path.stem}.ncnn.{kind}" for kind in ("param", "bin"))
        if not param.exists():
            linked = folder / path.name
            if not linked.is_symlink():
                linked.symlink_to(path)
            done = subprocess.run([self.converter, linked.name, "fp16=0"], cwd=folder, capture_output=True, text=True)
            if done.returncode != 0 or not param.exists():
                raise Refused(f"pnnx does not convert it: exit status {done.returncode}")
        return param, weights


ENGINES = {"onnxruntime": OnnxRuntime, "openvino": OpenVino, "ncnn": Ncnn}
