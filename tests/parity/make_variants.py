"""Write small odd weights files for the tests of the reader: narrow networks, old spellings, other number types.

    make_variants.py OUT_DIR [--crops CROPS.safetensors]

Into OUT_DIR: one safetensors file a variant, variants.tsv (columns file, arch, attention, classes, expect; expect is
`ok`, or what the error must name) and, with --crops, golden.safetensors with the keys of make_golden.py under the
file's stem. Deterministic; nothing here is trained.
"""

import argparse
import csv
import math
import pathlib
import re

import torch
from safetensors.torch import save_file

import make_golden
import networks

DENSE = {"growth": 16, "init_features": 32, "blocks": (2, 2, 2, 2)}
RESIDUAL = {"layers": (1, 1, 1, 1), "width": 16}
MOBILE = {"width": 0.25}
CALIBRATION_PICTURES = 8
LOGIT_STD = 2.0


def smooth_pictures(n, size, generator):
    """Random pictures with detail at several scales: [n, 3, size, size], about what a normalised crop ranges over."""
    total = torch.zeros(n, 3, size, size)
    for cells in (1, 3, 9, 27, 81):
        noise = torch.randn(n, 3, cells, cells, generator=generator)
        total += torch.nn.functional.interpolate(noise, size=(size, size), mode="bilinear", align_corners=False)
    return total / 2


def randomise(model, generator):
    """Random weights; gammas and betas that are not 1 and 0, so that a network which ignores them is found out."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data = 0.8 + 0.4 * torch.rand(module.weight.shape, generator=generator)
            module.bias.data = 0.1 * torch.randn(module.bias.shape, generator=generator)
        elif isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            fan_in = module.weight[0].numel()
            module.weight.data = torch.randn(module.weight.shape, generator=generator) * math.sqrt(2 / fan_in)
            if module.bias is not None:
                module.bias.data = 0.1 * torch.randn(module.bias.shape, generator=generator)


def calibrate(arch, model, generator):
    """Batch norm statistics of random pictures; the head scaled to logits of a standard deviation of 2."""
    pictures = smooth_pictures(CALIBRATION_PICTURES, 224, generator)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.train()
            module.momentum = 1.0
    with torch.no_grad():
        networks.feature_map(arch, model, pictures)
        model.eval()
        logits, _ = networks.forward(arch, model, pictures)
        linear = networks.head(arch, model)
        linear.weight.mul_((LOGIT_STD / logits.std(dim=0))[:, None])


def make_network(arch, attention, classes, reduction, variant):
    generator = torch.Generator().manual_seed(len(arch) * 1000 + len(attention) * 10 + classes)
    model = networks.build(arch, attention, classes, reduction, **variant)
    randomise(model, generator)
    calibrate(arch, model, generator)
    return model.state_dict()


def old_densenet_names(tensors):
    """torchvision's spelling of 2017: denselayer1.norm.1, denselayer1.conv.2."""
    return {re.sub(r"(denselayer\d+)\.(norm|conv)([12])\.", r"\1.\2.\3.", name): tensor
            for name, tensor in tensors.items()}


def first_luuuyi_names(tensors):
    """ca.fc1, ca.fc2 for ca.fc.0, ca.fc.2."""
    return {name.replace(".ca.fc.0.", ".ca.fc1.").replace(".ca.fc.2.", ".ca.fc2."): tensor
            for name, tensor in tensors.items()}


def timm_mobilenet_names(tensors):
    ours = {ours: theirs for theirs, ours in networks.timm_mobilenet_names().items()}
    renamed = {}
    for name, tensor in tensors.items():
        module, _, member = name.rpartition(".")
        renamed[f"{ours[module]}.{member}"] = tensor
    return renamed


def without_counters(tensors):
    return {name: tensor for name, tensor in tensors.items() if not name.endswith("num_batches_tracked")}


def stored_as(dtype):
    return lambda tensors: {name: tensor.to(dtype) if tensor.is_floating_point() else tensor
                            for name, tensor in tensors.items()}


def without(lost):
    return lambda tensors: {name: tensor for name, tensor in tensors.items() if name != lost}


def with_extra(name):
    return lambda tensors: tensors | {name: torch.zeros(3)}


def cut(name):
    return lambda tensors: tensors | {name: tensors[name][:-1]}


def unchanged(tensors):
    return tensors


# file, arch, attention, classes, reduction, variant, change, what an error must name (None: loads)
VARIANTS = (
    ("densenet-narrow", "densenet161", "plain", 3, 16, DENSE, unchanged, None),
    ("densenet-narrow-jongchan", "densenet161", "jongchan", 2, 16, DENSE, unchanged, None),
    ("densenet-narrow-timm", "densenet161", "timm", 2, 4, DENSE, unchanged, None),
    ("densenet-narrow-luuuyi", "densenet161", "luuuyi", 2, 5, DENSE, unchanged, None),
    ("densenet-old-names", "densenet161", "plain", 2, 16, DENSE, old_densenet_names, None),
    ("densenet-old-names-jongchan", "densenet161", "jongchan", 2, 16, DENSE, old_densenet_names, None),
    ("densenet-uneven", "densenet161", "plain", 2, 16, {"growth": 12, "init_features": 24, "blocks": (1, 3, 2, 1)},
     unchanged, None),
    ("resnet-narrow", "resnet50", "plain", 5, 16, RESIDUAL, unchanged, None),
    ("resnet-narrow-jongchan", "resnet50", "jongchan", 2, 16, RESIDUAL, unchanged, None),
    ("resnet-narrow-timm", "resnet50", "timm", 2, 32, RESIDUAL, unchanged, None),
    ("resnet-narrow-luuuyi", "resnet50", "luuuyi", 2, 8, RESIDUAL, unchanged, None),
    ("resnet-first-luuuyi", "resnet50", "luuuyi", 2, 16, RESIDUAL, first_luuuyi_names, None),
    ("resnet-one-class", "resnet50", "plain", 1, 16, RESIDUAL, unchanged, None),
    ("resnet-no-counters", "resnet50", "plain", 2, 16, RESIDUAL, without_counters, None),
    ("resnet-f16", "resnet50", "plain", 2, 16, RESIDUAL, stored_as(torch.float16), None),
    ("resnet-bf16", "resnet50", "timm", 2, 16, RESIDUAL, stored_as(torch.bfloat16), None),
    ("mobilenet-narrow", "mobilenet_v2", "plain", 3, 16, MOBILE, unchanged, None),
    ("mobilenet-narrow-jongchan", "mobilenet_v2", "jongchan", 2, 4, MOBILE, unchanged, None),
    ("mobilenet-narrow-timm", "mobilenet_v2", "timm", 2, 3, MOBILE, unchanged, None),
    ("mobilenet-narrow-luuuyi", "mobilenet_v2", "luuuyi", 2, 8, MOBILE, unchanged, None),
    ("mobilenet-timm-names", "mobilenet_v2", "plain", 2, 16, MOBILE, timm_mobilenet_names, None),
    ("bad-missing", "densenet161", "plain", 2, 16, DENSE, without("features.denseblock2.denselayer2.norm2.weight"),
     "features.denseblock2.denselayer2.norm2.weight"),
    ("bad-missing-gate", "resnet50", "jongchan", 2, 16, RESIDUAL,
     without("layer2.0.cbam.SpatialGate.spatial.conv.weight"), "layer2.0.cbam.SpatialGate.spatial.conv.weight"),
    ("bad-left-over", "resnet50", "plain", 2, 16, RESIDUAL, with_extra("layer1.0.bn4.weight"),
     "layer1.0.bn4.weight"),
    ("bad-shape", "mobilenet_v2", "plain", 2, 16, MOBILE, cut("features.18.1.weight"), "features.18.1.weight"),
    ("bad-no-head", "resnet50", "plain", 2, 16, RESIDUAL, without("fc.weight"), "fc.weight"),
)


def write_variant(folder, row):
    name, arch, attention, classes, reduction, variant, change, _ = row
    tensors = change(make_network(arch, attention, classes, reduction, variant))
    path = folder / f"{name}.safetensors"
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path)
    return path


def check_variant(path, row):
    """The reference loader must agree with the table. -> the network, or None where it must not load"""
    name, arch, attention, classes, _, _, _, error = row
    try:
        network = networks.load(path)
    except (ValueError, RuntimeError, KeyError, IndexError) as found:
        if error is None:
            raise
        return None
    if error is not None:
        raise ValueError(f"{name} loads, and should not")
    if (network.arch, network.attention, network.classes) != (arch, attention, classes):
        raise ValueError(f"{name} is taken for {network.arch}, {network.attention}, {network.classes} classes")
    return network


def write_table(folder):
    with open(folder / "variants.tsv", "w", newline="") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(("file", "arch", "attention", "classes", "expect"))
        for name, arch, attention, classes, _, _, _, error in VARIANTS:
            table.writerow((f"{name}.safetensors", arch, attention, classes, error or "ok"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--crops", help="safetensors file with the uint8 tensor `crops`: write golden values too")
    arguments = parser.parse_args()
    make_golden.prepare()
    arguments.out.mkdir(parents=True, exist_ok=True)
    crops = networks.read_tensors(arguments.crops)["crops"] if arguments.crops else None
    golden = {}
    for row in VARIANTS:
        network = check_variant(write_variant(arguments.out, row), row)
        print(f"{row[0]}.safetensors", flush=True)
        if network is not None and crops is not None:
            values = make_golden.evaluate(network, crops)
            golden |= {f"{row[0]}.{key}": value for key, value in values.items()}
    write_table(arguments.out)
    if golden:
        save_file(golden, arguments.out / "golden.safetensors", metadata={"torch": torch.__version__})


if __name__ == "__main__":
    main()
