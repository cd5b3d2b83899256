"""Compare this program's results with PyTorch's, computed now.

    live.py WEIGHTS_DIR CROPS.safetensors RESULTS.safetensors [--bf16]

RESULTS has the keys make_golden.py writes. Networks of the folder without results are named and count as a
failure. Exit codes: 0 all within the tolerances, 1 some exceed them, 77 (ctest's SKIP_RETURN_CODE) PyTorch is not
installed.
"""

import argparse
import importlib.util
import sys

EXIT_SKIPPED = 77
# f32: of max(1, max|z|) of the network for logits and sums, of a picture's own maximum for maps
RELATIVE_TOLERANCE = 1e-3
BF16_SCORE_TOLERANCE = 0.02
BF16_MAP_TOLERANCE = 0.05


def missing_modules():
    return [name for name in ("torch", "torchvision", "safetensors") if importlib.util.find_spec(name) is None]


def map_deviation(ours, theirs):
    """The largest deviation, as a share of the picture's largest value; maps that are zero must be (nearly) zero:
    their deviation is a share of the largest value of all pictures."""
    top = theirs.amax(dim=(1, 2))
    top = top.where(top > 0, theirs.max().clamp_min(1e-30))
    return ((ours - theirs).abs().amax(dim=(1, 2)) / top).max().item()


def scores(logits):
    """The probability of class 1 (sigmoid where there is one class)."""
    return logits.sigmoid()[:, 0] if logits.shape[1] == 1 else logits.softmax(dim=1)[:, 1]


def deviations_f32(ours, theirs):
    """key -> (deviation, tolerance), both relative"""
    scale = theirs["logits"].abs().max().clamp_min(1)
    found = {}
    for key, reference in theirs.items():
        if key.endswith("maps"):
            found[key] = map_deviation(ours[key], reference), RELATIVE_TOLERANCE
        else:
            found[key] = ((ours[key] - reference).abs().max() / scale).item(), RELATIVE_TOLERANCE
    return found


def deviations_bf16(ours, theirs):
    found = {"score": ((scores(ours["logits"]) - scores(theirs["logits"])).abs().max().item(),
                       BF16_SCORE_TOLERANCE)}
    for key in theirs:
        if key.endswith("maps"):
            found[key] = map_deviation(ours[key], theirs[key]), BF16_MAP_TOLERANCE
    return found


def compare_network(name, ours, theirs, bf16):
    """Print a line. -> True where all is within the tolerances"""
    for key, reference in theirs.items():
        if key not in ours:
            print(f"{name:24} no {key} in the results")
            return False
        if ours[key].shape != reference.shape:
            print(f"{name:24} {key} is {list(ours[key].shape)}, expected {list(reference.shape)}")
            return False
    found = (deviations_bf16 if bf16 else deviations_f32)(ours, theirs)
    # `not <=` and not `>`: a NaN is an excess
    excess = [key for key, (deviation, tolerance) in found.items() if not deviation <= tolerance]
    text = ", ".join(f"{key} {deviation:.2e} (at most {tolerance:g})" for key, (deviation, tolerance) in found.items())
    print(f"{name:24} {text}{'   EXCEEDS: ' + ', '.join(excess) if excess else ''}", flush=True)
    return not excess


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights")
    parser.add_argument("crops")
    parser.add_argument("results")
    parser.add_argument("--bf16", action="store_true", help="the results are of bf16: wider tolerances, on scores")
    arguments = parser.parse_args()
    missing = missing_modules()
    if missing:
        print(f"skipped: {', '.join(missing)} not installed (pip install -r tests/parity/requirements.txt)")
        return EXIT_SKIPPED

    import make_golden
    import networks
    make_golden.prepare()
    crops = networks.read_tensors(arguments.crops)["crops"]
    results = networks.read_tensors(arguments.results)
    good = True
    found = make_golden.find_networks(arguments.weights)
    for name, path in found:
        theirs = make_golden.evaluate(make_golden.load_named(name, path), crops)
        ours = {key.removeprefix(name + "."): value.float() for key, value in results.items()
                if key.startswith(name + ".")}
        good = compare_network(name, ours, theirs, arguments.bf16) and good
    if not found:
        print(f"{arguments.weights}: no .safetensors files there")
    return 0 if good and found else 1


if __name__ == "__main__":
    sys.exit(main())
