"""Writes the sample checkpoints beside this file, and expected.json with their true contents.

Run with PyTorch 2.7 and safetensors 0.8: python make_checkpoints.py
A rerun gives the same bytes, but for legacy.pt, into which PyTorch writes memory addresses.
"""

import io
import json
import os
import pathlib
import zipfile

import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
EXPECTED = {}


def describe(tensors):
    return {
        name: {
            "dtype": str(t.dtype).removeprefix("torch."),
            "shape": list(t.shape),
            "values": t.detach().to(torch.float64).flatten().tolist(),
        }
        for name, t in tensors.items()
    }


def save(name, content, tensors=None, **options):
    torch.save(content, HERE / name, **options)
    if tensors is not None:
        EXPECTED[name] = describe(tensors)


def rewrite(source, name, change=lambda entry, data: data, compression=zipfile.ZIP_STORED, extra=()):
    """Copies a checkpoint entry by entry."""
    with zipfile.ZipFile(HERE / source) as old, zipfile.ZipFile(HERE / name, "w", compression) as new:
        for entry in old.infolist():
            copy = zipfile.ZipInfo(entry.filename)
            copy.compress_type = compression
            new.writestr(copy, change(entry.filename, old.read(entry)))
        for path, data in extra:
            new.writestr(zipfile.ZipInfo(path), data)


def values(*shape, dtype=torch.float32):
    return (torch.rand(*shape) * 4 - 2).to(dtype)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(2, 3, 3)
        self.norm = torch.nn.BatchNorm2d(3)
        self.head = torch.nn.Linear(3, 2, bias=False)

    def forward(self, x):
        return self.head(self.norm(self.conv(x)).mean((2, 3)))


class Evil:
    """Unpickling this evaluates an expression."""

    def __reduce__(self):
        return eval, ("1 + 1",)


def main():
    torch.manual_seed(5)
    net = Net()
    plain = net.state_dict()
    save("plain.pt", plain, plain)
    save("protocol4.pt", plain, pickle_protocol=4)
    parallel = {"state_dict": {f"module.{k}": v for k, v in plain.items()}}
    save("module_prefix.pt", parallel)

    mixed = {
        "double": values(2, 3, dtype=torch.float64),
        "float": values(3),
        "half": values(2, 2, dtype=torch.float16),
        "bfloat16": values(4, dtype=torch.bfloat16),
        "long": torch.tensor([-(2**40), -1, 0, 2**31]),
        "int": torch.tensor([[-(2**20), 7]], dtype=torch.int32),
        "short": torch.tensor([-300, 300], dtype=torch.int16),
        "char": torch.tensor([-128, 127], dtype=torch.int8),
        "byte": torch.tensor([0, 255], dtype=torch.uint8),
        "bool": torch.tensor([True, False, True]),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
    }
    save("mixed.pt", mixed, mixed)

    base = values(4, 6)
    cube = values(2, 3, 4, dtype=torch.float16)
    views = {
        "base": base,
        "transposed": base.t(),
        "tail": base[2:],
        "window": base[1:3, 2:5],
        "every_other": base[:, ::2],
        "column": base[:, 5],
        "element": base[3, 1],
        "permuted": cube.permute(2, 0, 1),
        "channels_last": values(1, 2, 3, 2).to(memory_format=torch.channels_last),
        "expanded": values(1, 3).expand(4, 3),
        "unit_axis": base.as_strided((1, 6), (1, 1), 6),
        "tied": base,
        "nothing": base[4:],
    }
    save("views.pt", views, views)

    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9)
    net(torch.randn(1, 2, 5, 5)).sum().backward()
    optimizer.step()
    nested = {
        "epoch": 3,
        "loss": [0.5, 0.25],
        "note": "a training checkpoint",
        "rng": torch.arange(3, dtype=torch.uint8),
        "optimizer": optimizer.state_dict(),
        "model": net.state_dict(),
    }
    save("nested.pt", nested, net.state_dict())

    parameters = {
        "free": torch.nn.Parameter(values(2, 2)),
        "frozen": torch.nn.Parameter(values(3), requires_grad=False),
        "half": torch.nn.Parameter(values(2).half()),
    }
    save("parameters.pt", parameters, parameters)

    save("legacy.pt", {"w": base}, _use_new_zipfile_serialization=False)
    save("whole_module.pt", net.head)
    save("eval.pt", {"w": base, "x": Evil()})
    save("unsigned.pt", {"w": torch.ones(2, dtype=torch.uint16)})
    save("negated.pt", {"w": torch.tensor([1 + 2j]).conj().imag})
    save("no_tensors.pt", {"epoch": 3, "args": {"lr": 0.1}})

    script = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.ReLU()), script)
    (HERE / "torchscript.pt").write_bytes(script.getvalue())

    call = b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R."
    save("small.pt", {"w": values(2)})
    rewrite("small.pt", "os_system.pt", lambda path, data: call if path.endswith("/data.pkl") else data)
    rewrite("small.pt", "big_endian.pt", lambda path, data: b"big" if path.endswith("/byteorder") else data)
    rewrite("small.pt", "compressed.pt", compression=zipfile.ZIP_DEFLATED)
    os.remove(HERE / "small.pt")

    floats = {k: mixed[k].contiguous() for k in ("float", "half", "bfloat16", "scalar", "empty", "long", "bool")}
    save_file(floats, HERE / "mixed.safetensors", metadata={"format": "pt", "note": "Grüße"})
    EXPECTED["mixed.safetensors"] = describe(floats)

    (HERE / "expected.json").write_text(json.dumps(EXPECTED, indent=None, separators=(",", ":"), sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
