"""The sweep as a PyTorch user would write it: what bench/ compares eyesore with.

    torch_sweep.py --manifest pool.tsv --root /pool --densenet161 d161.safetensors --resnet50 r50.safetensors \\
                   --out scores.csv [--precision bf16] [--threads 2] [--workers 1] [--limit 64]

Both networks on every picture, torchvision's transforms through Pillow, a DataLoader, batches of 32, channels_last,
inference mode. Prints a line of key=value: pictures a second over the whole run and without the start-up (imports,
weights, the first batch), and the versions. Needs torch, torchvision, safetensors (tests/parity/requirements.txt).
"""

import time

START = time.perf_counter()

import argparse  # noqa: E402 (the clock starts before the imports)
import csv  # noqa: E402
import os  # noqa: E402

import torch  # noqa: E402
import torchvision  # noqa: E402
from PIL import Image, ImageFile  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from torch.utils.data import DataLoader, Dataset  # noqa: E402
from torchvision import transforms  # noqa: E402

BATCH = 32
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
ImageFile.LOAD_TRUNCATED_IMAGES = True


class Pictures(Dataset):
    def __init__(self, manifest, root, limit):
        with open(manifest, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
        self.rows = [(row["id"], os.path.join(root, row["uri"])) for row in rows[:limit]]
        self.transform = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224),
                                             transforms.ToTensor(), transforms.Normalize(MEAN, STD)])

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        _, path = self.rows[index]
        try:
            with Image.open(path) as picture:
                return index, self.transform(picture.convert("RGB"))
        except OSError:
            return index, torch.full((3, 224, 224), float("nan"))


def load_network(make, path, dtype):
    tensors = load_file(path)
    classes = next(tensors[name].shape[0] for name in ("classifier.weight", "fc.weight") if name in tensors)
    network = make(num_classes=classes)
    network.load_state_dict(tensors)
    return network.eval().to(dtype=dtype, memory_format=torch.channels_last)


def score(network, batch):
    """Probability of class 1: [n]"""
    return network(batch).float().softmax(dim=1)[:, 1]


def sweep(loader, networks, dtype, autocast, out):
    """Score everything into the CSV file. -> (pictures, seconds) without the first batch"""
    first_end, first_count, total = None, 0, 0
    writer = csv.writer(out)
    writer.writerow(("id", *networks))
    for indices, batch in loader:
        batch = batch.to(dtype=dtype, memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            columns = [score(network, batch).tolist() for network in networks.values()]
        for index, *scores in zip(indices.tolist(), *columns):
            writer.writerow((loader.dataset.rows[index][0], *(f"{value:.6f}" for value in scores)))
        total += len(indices)
        if first_end is None:
            first_end, first_count = time.perf_counter(), total
    return total, total - first_count, time.perf_counter() - first_end


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", required=True, help="TSV with the columns id and uri")
    parser.add_argument("--root", required=True)
    parser.add_argument("--densenet161", required=True, help="safetensors, plain")
    parser.add_argument("--resnet50", required=True, help="safetensors, plain")
    parser.add_argument("--out", required=True, help="CSV file to write")
    parser.add_argument("--precision", choices=("f32", "bf16", "bf16-autocast"), default="f32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=0, help="processes that decode")
    parser.add_argument("--limit", type=int, help="only the first so many pictures")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    dtype = torch.bfloat16 if arguments.precision == "bf16" else torch.float32
    networks = {"densenet161": load_network(torchvision.models.densenet161, arguments.densenet161, dtype),
                "resnet50": load_network(torchvision.models.resnet50, arguments.resnet50, dtype)}
    pictures = Pictures(arguments.manifest, arguments.root, arguments.limit)
    loader = DataLoader(pictures, batch_size=BATCH, num_workers=arguments.workers)
    with torch.inference_mode(), open(arguments.out, "w", newline="", encoding="utf-8") as out:
        total, later, later_seconds = sweep(loader, networks, dtype, arguments.precision == "bf16-autocast", out)
    seconds = time.perf_counter() - START
    steady = later / later_seconds if later else float("nan")
    print(f"pictures={total} wall_s={seconds:.2f} images_per_s={total / seconds:.2f} "
          f"images_per_s_without_start={steady:.2f} precision={arguments.precision} threads={arguments.threads} "
          f"workers={arguments.workers} batch={BATCH} torch={torch.__version__} torchvision={torchvision.__version__}")


if __name__ == "__main__":
    main()
