/* The networks whose answers are compared with PyTorch's; their weights are made by make_weights.c. */
#ifndef EYESORE_TESTS_PARITY_NETWORKS_H
#define EYESORE_TESTS_PARITY_NETWORKS_H

#include "kernels/networks.h"

#define PARITY_NETWORKS 12
#define PARITY_PICTURES 16
#define PARITY_SIZE 224
#define PARITY_CLASSES 2

struct parity_network {
    const char *arch;
    enum cbam_layout attention;
    uint64_t seed;
};

extern const struct parity_network parity_networks[PARITY_NETWORKS];

/* "resnet50-plain", "resnet50-timm": as make_golden.py names the file of weights. */
void parity_name(const struct parity_network *network, char *name, size_t size);

#endif
