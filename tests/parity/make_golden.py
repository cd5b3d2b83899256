"""Make the golden values of tests/parity: what PyTorch says about the same weights and crops.

    make_golden.py WEIGHTS_DIR CROPS.safetensors GOLDEN.safetensors

WEIGHTS_DIR holds <arch>-<attention>.safetensors; CROPS the uint8 tensor `crops` [n, 224, 224, 3]. Written per
network, all float32:

    <name>.logits     [n, k]
    <name>.maps       [n, gh, gw]  Grad-CAM of class 1 (class 0 of one), after its ReLU
    <name>.raw_sum    [n]          the sum of that map before its ReLU
    <name>.lse_maps   [n, gh, gw]  k > 2 only: Grad-CAM of the log-sum-exp of the logits of LSE_CLASSES

Grad-CAM after Selvaraju et al., "Grad-CAM", ICCV 2017, section 3: the weights are means over the positions of the
gradient, which autograd computes here; no closed form is used. Exits 1 where the values would prove little: a
class whose logits have a standard deviation of 1 or less, or maps that are zero on more than half of the pictures.
"""

import argparse
import pathlib
import sys

import torch
from safetensors.torch import save_file

import networks

LSE_CLASSES = (1, 2)
THREADS = 2
BATCH = 4


def grad_cam(target, features):
    """target [n], one number a picture; features [n, c, h, w] it was computed from.
    -> the map before its ReLU, [n, h, w]"""
    (gradient,) = torch.autograd.grad(target.sum(), features, retain_graph=True)
    return (gradient.mean(dim=(2, 3), keepdim=True) * features).sum(dim=1).detach()


def evaluate_batch(network, crops):
    for parameter in network.model.parameters():
        parameter.requires_grad_(False)
    with torch.no_grad():
        features = networks.feature_map(network.arch, network.model, networks.preprocess(crops))
    features = features.clone().requires_grad_(True)
    logits = networks.head(network.arch, network.model)(features.mean(dim=(2, 3)))
    raw = grad_cam(logits[:, min(1, network.classes - 1)], features)
    values = {"logits": logits.detach(), "maps": raw.relu(), "raw_sum": raw.sum(dim=(1, 2))}
    if network.classes > 2:
        values["lse_maps"] = grad_cam(logits[:, LSE_CLASSES].logsumexp(dim=1), features).relu()
    return values


def evaluate(network, crops):
    """The values above for all crops, keyed logits, maps, ..."""
    batches = [evaluate_batch(network, batch) for batch in crops.split(BATCH)]
    return {key: torch.cat([batch[key] for batch in batches]).contiguous() for key in batches[0]}


def find_networks(folder):
    """The (name, path) of the weights in the folder, in the order of names; the name must tell what the file holds."""
    return [(path.stem, path) for path in sorted(pathlib.Path(folder).glob("*.safetensors"))]


def load_named(name, path):
    """Load, and check that the tensors tell the same architecture and attention as the name."""
    network = networks.load(path)
    if name != f"{network.arch}-{network.attention}":
        raise ValueError(f"{path} holds a {network.arch}-{network.attention}: rename it")
    return network


def prepare():
    """The same numbers on every run on this machine."""
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(0)


def check_golden(name, values):
    """Print what the golden values are worth. -> True where they can tell a right program from a wrong one"""
    spread = values["logits"].std(dim=0).min().item()
    non_zero = (values["maps"].amax(dim=(1, 2)) > 0).float().mean().item()
    clipped = (values["maps"] == 0).float().mean().item()
    good = spread > 1 and non_zero >= 0.5
    print(f"{name:24} smallest std of a logit {spread:6.3f}, non-zero maps {non_zero:4.0%}, cells cut by the ReLU "
          f"{clipped:4.0%}{'' if good else '   TOO WEAK'}", flush=True)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", help="folder of <arch>-<attention>.safetensors")
    parser.add_argument("crops", help="safetensors file with the uint8 tensor `crops`")
    parser.add_argument("golden", help="safetensors file to write")
    arguments = parser.parse_args()
    prepare()
    crops = networks.read_tensors(arguments.crops)["crops"]
    golden, weak = {}, []
    for name, path in find_networks(arguments.weights):
        values = evaluate(load_named(name, path), crops)
        if not check_golden(name, values):
            weak.append(name)
        golden |= {f"{name}.{key}": value for key, value in values.items()}
    if not golden:
        sys.exit(f"{arguments.weights}: no .safetensors files there")
    save_file(golden, arguments.golden, metadata={"torch": torch.__version__, "pictures": str(len(crops))})
    if weak:
        sys.exit(f"these prove little: {', '.join(weak)}")


if __name__ == "__main__":
    main()
