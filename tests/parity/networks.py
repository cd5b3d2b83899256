"""The reference networks: torchvision's, with CBAM in its three published layouts.

DenseNet, ResNet (bottleneck) and MobileNetV2 come from torchvision unchanged. The attention modules are written
here after the paper (Woo et al., "CBAM: Convolutional Block Attention Module", ECCV 2018) and what the three
public implementations do:

  jongchan  Jongchan/attention-module: biases in the shared MLP, pooled channels (max, mean), batch norm
  timm      timm.layers.CbamModule: no biases, pooled channels (mean, max), batch norm
  luuuyi    luuuyi/CBAM.PyTorch: no biases, pooled channels (mean, max), no batch norm

Where the attention sits: ResNet after bn3 and before the add; DenseNet after each dense layer's 3x3; MobileNetV2
after each projection's batch norm and before the add (as the last members of `features.N.conv`).
"""

import re
from dataclasses import dataclass

import torch
from safetensors import safe_open
from torch import nn
from torchvision.models.densenet import DenseNet, _DenseLayer
from torchvision.models.mobilenetv2 import InvertedResidual, MobileNetV2
from torchvision.models.resnet import Bottleneck, ResNet

ARCHITECTURES = ("densenet161", "resnet50", "mobilenet_v2")
ATTENTIONS = ("plain", "jongchan", "timm", "luuuyi")
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
RESNET_BASE_WIDTH = 64
MOBILENET_SETTING = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
                     (6, 320, 1, 1))


# ---------------------------------------------------------------------------------------------------- attention


def spatial_pools(x):
    """[n, c, h, w] -> mean and maximum over the channels, each [n, 1, h, w]."""
    return x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)


class JongchanChannelGate(nn.Module):
    def __init__(self, channels, reduced):
        super().__init__()
        self.mlp = nn.Sequential(nn.Flatten(), nn.Linear(channels, reduced), nn.ReLU(), nn.Linear(reduced, channels))

    def forward(self, x):
        total = self.mlp(x.mean(dim=(2, 3))) + self.mlp(x.amax(dim=(2, 3)))
        return x * torch.sigmoid(total)[:, :, None, None]


class ConvNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.bn = nn.BatchNorm2d(1)

    def forward(self, x):
        return self.bn(self.conv(x))


class JongchanSpatialGate(nn.Module):
    def __init__(self):
        super().__init__()
        self.spatial = ConvNorm()

    def forward(self, x):
        mean, maximum = spatial_pools(x)
        return x * torch.sigmoid(self.spatial(torch.cat((maximum, mean), dim=1)))


class JongchanAttention(nn.Module):
    def __init__(self, channels, reduced):
        super().__init__()
        self.ChannelGate = JongchanChannelGate(channels, reduced)
        self.SpatialGate = JongchanSpatialGate()

    def forward(self, x):
        return self.SpatialGate(self.ChannelGate(x))


class TimmChannelAttention(nn.Module):
    def __init__(self, channels, reduced):
        super().__init__()
        self.fc1 = nn.Conv2d(channels, reduced, 1, bias=False)
        self.fc2 = nn.Conv2d(reduced, channels, 1, bias=False)

    def forward(self, x):
        pools = x.mean(dim=(2, 3), keepdim=True), x.amax(dim=(2, 3), keepdim=True)
        mean, maximum = (self.fc2(torch.relu(self.fc1(pool))) for pool in pools)
        return x * torch.sigmoid(mean + maximum)


class TimmSpatialAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = ConvNorm()

    def forward(self, x):
        return x * torch.sigmoid(self.conv(torch.cat(spatial_pools(x), dim=1)))


class TimmAttention(nn.Module):
    def __init__(self, channels, reduced):
        super().__init__()
        self.channel = TimmChannelAttention(channels, reduced)
        self.spatial = TimmSpatialAttention()

    def forward(self, x):
        return self.spatial(self.channel(x))


class LuuuyiChannelAttention(nn.Module):
    def __init__(self, channels, reduced):
        super().__init__()
        self.fc = nn.Sequential(nn.Conv2d(channels, reduced, 1, bias=False), nn.ReLU(),
                                nn.Conv2d(reduced, channels, 1, bias=False))

    def forward(self, x):
        total = self.fc(x.mean(dim=(2, 3), keepdim=True)) + self.fc(x.amax(dim=(2, 3), keepdim=True))
        return x * torch.sigmoid(total)


class LuuuyiSpatialAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x):
        return x * torch.sigmoid(self.conv1(torch.cat(spatial_pools(x), dim=1)))


# attention -> (name below the prefix, maker), in the order they run
MEMBERS = {
    "plain": (),
    "jongchan": (("cbam", JongchanAttention),),
    "timm": (("se", TimmAttention),),
    "luuuyi": (("ca", LuuuyiChannelAttention), ("sa", lambda channels, reduced: LuuuyiSpatialAttention())),
}
# attention -> the first matrix of its MLP, [reduced, channels, ...], below the prefix
FIRST_MATRIX = {"jongchan": "cbam.ChannelGate.mlp.1.weight", "timm": "se.channel.fc1.weight",
                "luuuyi": "ca.fc.0.weight"}


# ----------------------------------------------------------------------------------------------------- networks


def attend(owner, x):
    """Run the attention members that `owner` has, if any."""
    for name in ("cbam", "se", "ca", "sa"):
        if hasattr(owner, name):
            x = getattr(owner, name)(x)
    return x


class AttentiveBottleneck(Bottleneck):
    """torchvision's bottleneck, with the attention between bn3 and the add."""

    def forward(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = attend(self, self.bn3(self.conv3(out)))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))


def places(model):
    """The (prefix, module, channels) where attention can sit, in network order."""
    for name, module in model.named_modules():
        if isinstance(module, Bottleneck):
            yield name, module, module.conv3.out_channels
        elif isinstance(module, _DenseLayer):
            yield name, module, module.conv2.out_channels
        elif isinstance(module, InvertedResidual):
            yield f"{name}.conv", module.conv, module.out_channels


def add_attention(model, attention, reduced_of):
    """Put attention at every place for which reduced_of(prefix, channels) gives a number of reduced channels."""
    for prefix, module, channels in list(places(model)):
        reduced = reduced_of(prefix, channels)
        if reduced is None:
            continue
        for name, make in MEMBERS[attention]:
            module.add_module(name, make(channels, reduced))
        if isinstance(module, _DenseLayer):
            module.register_forward_hook(lambda layer, inputs, output: attend(layer, output))


def build_plain(arch, classes, **variant):
    """variant: densenet161 growth, init_features, blocks, bn_size; resnet50 layers, width; mobilenet_v2 width,
    setting. What is left out is the published network."""
    if arch == "densenet161":
        return DenseNet(growth_rate=variant.get("growth", 48), block_config=variant.get("blocks", (6, 12, 36, 24)),
                        num_init_features=variant.get("init_features", 96), bn_size=variant.get("bn_size", 4),
                        num_classes=classes)
    if arch == "resnet50":
        return ResNet(AttentiveBottleneck, list(variant.get("layers", (3, 4, 6, 3))), num_classes=classes,
                      width_per_group=variant.get("width", RESNET_BASE_WIDTH))
    if arch == "mobilenet_v2":
        setting = [list(row) for row in variant.get("setting", MOBILENET_SETTING)]
        return MobileNetV2(num_classes=classes, width_mult=variant.get("width", 1.0),
                           inverted_residual_setting=setting)
    raise ValueError(f"{arch}: not one of {', '.join(ARCHITECTURES)}")


def build(arch, attention="plain", classes=2, reduction=16, **variant):
    """A network with PyTorch's own random weights, in eval mode."""
    model = build_plain(arch, classes, **variant)
    if attention != "plain":
        add_attention(model, attention, lambda prefix, channels: max(channels // reduction, 1))
    return model.eval()


def head(arch, model):
    """The linear layer after the pooling."""
    return {"densenet161": lambda: model.classifier, "resnet50": lambda: model.fc,
            "mobilenet_v2": lambda: model.classifier[1]}[arch]()


def feature_map(arch, model, x):
    """The last feature map, after its ReLU: [n, c, h, w]."""
    if arch == "densenet161":
        return torch.relu(model.features(x))
    if arch == "resnet50":
        x = model.maxpool(model.relu(model.bn1(model.conv1(x))))
        return model.layer4(model.layer3(model.layer2(model.layer1(x))))
    return model.features(x)


def forward(arch, model, x):
    """(logits [n, k], last feature map [n, c, h, w])"""
    features = feature_map(arch, model, x)
    return head(arch, model)(features.mean(dim=(2, 3))), features


def preprocess(crops):
    """uint8 [n, h, w, 3] -> float32 [n, 3, h, w], normalised as torchvision's ToTensor and Normalize do."""
    x = crops.permute(0, 3, 1, 2).to(torch.float32).div(255)
    return x.sub(torch.tensor(MEAN)[:, None, None]).div(torch.tensor(STD)[:, None, None]).contiguous()


# ------------------------------------------------------------------------------------------------ weights by name


def timm_mobilenet_names():
    """timm's names of MobileNetV2's modules -> torchvision's."""
    names = {"conv_stem": "features.0.0", "bn1": "features.0.1", "conv_head": "features.18.0", "bn2": "features.18.1",
             "classifier": "classifier.1"}
    number = 0
    for stage, (expand, _, repeats, _) in enumerate(MOBILENET_SETTING):
        for block in range(repeats):
            number += 1
            theirs, ours = f"blocks.{stage}.{block}", f"features.{number}.conv"
            if expand == 1:
                names |= {f"{theirs}.conv_dw": f"{ours}.0.0", f"{theirs}.bn1": f"{ours}.0.1",
                          f"{theirs}.conv_pw": f"{ours}.1", f"{theirs}.bn2": f"{ours}.2"}
            else:
                names |= {f"{theirs}.conv_pw": f"{ours}.0.0", f"{theirs}.bn1": f"{ours}.0.1",
                          f"{theirs}.conv_dw": f"{ours}.1.0", f"{theirs}.bn2": f"{ours}.1.1",
                          f"{theirs}.conv_pwl": f"{ours}.2", f"{theirs}.bn3": f"{ours}.3"}
    return names


def canonical_names(tensors):
    """The same tensors under torchvision's present names: undoes the old DenseNet spelling, timm's MobileNetV2,
    luuuyi's first spelling, and MobileNetV2's attention beside the block's sequence instead of in it."""
    timm = timm_mobilenet_names() if "conv_stem.weight" in tensors else {}
    renamed = {}
    for name, tensor in tensors.items():
        name = re.sub(r"(denselayer\d+)\.(norm|conv)\.([12])\.", r"\1.\2\3.", name)
        name = re.sub(r"^(features\.\d+)\.(cbam|se|ca|sa)\.", r"\1.conv.\2.", name)
        name = re.sub(r"\.ca\.fc([12])\.", lambda found: f".ca.fc.{2 * int(found[1]) - 2}.", name)
        module, _, member = name.rpartition(".")
        renamed[f"{timm.get(module, module)}.{member}"] = tensor
    return renamed


def find_attention(tensors):
    """(attention, prefix -> reduced channels) from the names and shapes present."""
    for attention, suffix in FIRST_MATRIX.items():
        found = {name.removesuffix("." + suffix): tensor.shape[0] for name, tensor in tensors.items()
                 if name.endswith("." + suffix)}
        if found:
            return attention, found
    return "plain", {}


def count_children(tensors, prefix, member):
    """How many of prefix1, prefix2, ... (or 0, 1, ...) have the member."""
    pattern = re.compile(re.escape(prefix) + r"\d+" + re.escape(member))
    return sum(1 for name in tensors if pattern.fullmatch(name))


def find_variant(tensors):
    """(arch, variant arguments of build_plain) from the names and shapes present."""
    if "features.conv0.weight" in tensors:
        blocks = [count_children(tensors, f"features.denseblock{block}.denselayer", ".conv1.weight")
                  for block in range(1, 1 + count_children(tensors, "features.denseblock",
                                                           ".denselayer1.conv1.weight"))]
        wide = tensors["features.denseblock1.denselayer1.conv1.weight"].shape
        growth = tensors["features.denseblock1.denselayer1.conv2.weight"].shape[0]
        return "densenet161", {"growth": growth, "blocks": tuple(blocks), "init_features": wide[1],
                               "bn_size": wide[0] // growth}
    if "layer1.0.conv1.weight" in tensors:
        layers = [count_children(tensors, f"layer{layer}.", ".conv1.weight") for layer in range(1, 5)]
        return "resnet50", {"layers": tuple(layers), "width": tensors["layer1.0.conv1.weight"].shape[0]}
    if "features.0.0.weight" in tensors:
        return "mobilenet_v2", find_mobilenet_variant(tensors)
    raise ValueError("no tensor of a DenseNet, ResNet or MobileNetV2 in this file")


def find_mobilenet_variant(tensors):
    """Width from the first block's output, stages as published; a shape that differs fails at loading."""
    for width in (1.0, 0.75, 0.5, 0.35, 0.25, 1.4):
        candidate = MobileNetV2(width_mult=width)
        if all(tensors[name].shape == tensor.shape for name, tensor in candidate.features.state_dict(
                prefix="features.").items() if name in tensors and name.endswith("weight")):
            return {"width": width}
    raise ValueError("no published width of MobileNetV2 fits the shapes")


@dataclass
class Network:
    arch: str
    attention: str
    classes: int
    model: nn.Module


def read_tensors(path):
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}


def load(path):
    """The network a safetensors file holds, in f32 and eval mode. A missing or left-over tensor is a ValueError."""
    tensors = canonical_names(read_tensors(path))
    arch, variant = find_variant(tensors)
    attention, reduced = find_attention(tensors)
    bias = [name for name in ("classifier.bias", "fc.bias", "classifier.1.bias") if name in tensors][0]
    model = build_plain(arch, tensors[bias].shape[0], **variant)
    if attention != "plain":
        add_attention(model, attention, lambda prefix, channels: reduced.get(prefix))
    floats = {name: tensor.float() for name, tensor in tensors.items() if not name.endswith("num_batches_tracked")}
    missing, left_over = model.load_state_dict(floats, strict=False)
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or left_over:
        raise ValueError(f"{path}: missing {missing[:3]}, left over {left_over[:3]}")
    return Network(arch, attention, tensors[bias].shape[0], model.eval())
