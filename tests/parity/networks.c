#include "tests/parity/networks.h"

#include <stdio.h>

const struct parity_network parity_networks[PARITY_NETWORKS] = {
    {"densenet161", CBAM_NONE, 1},       {"densenet161", CBAM_JONGCHAN, 2}, {"densenet161", CBAM_TIMM, 3},
    {"densenet161", CBAM_LUUUYI, 4},     {"resnet50", CBAM_NONE, 5},        {"resnet50", CBAM_JONGCHAN, 6},
    {"resnet50", CBAM_TIMM, 7},          {"resnet50", CBAM_LUUUYI, 8},      {"mobilenet_v2", CBAM_NONE, 9},
    {"mobilenet_v2", CBAM_JONGCHAN, 34}, {"mobilenet_v2", CBAM_TIMM, 11},   {"mobilenet_v2", CBAM_LUUUYI, 12},
};

void parity_name(const struct parity_network *network, char *name, size_t size)
{
    snprintf(name, size, "%s-%s", network->arch,
             network->attention == CBAM_NONE ? "plain" : cbam_layout_name(network->attention));
}
