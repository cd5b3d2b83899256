#include "kernels/gradcam.h"

#include <string.h>

void gradcam_direction(const float *head_weight, const float *shares, int n_classes, int c, int n_places,
                       float *direction)
{
    memset(direction, 0, (size_t)c * sizeof(*direction));
    for (int k = 0; k < n_classes; k++) {
        if (shares[k] == 0.0f)
            continue;
        for (int i = 0; i < c; i++)
            direction[i] += shares[k] * head_weight[(size_t)k * (size_t)c + (size_t)i];
    }
    for (int i = 0; i < c; i++)
        direction[i] /= (float)n_places;
}

void gradcam_raw(const float *features, const float *direction, int c, int block, int n_places, float *raw)
{
    memset(raw, 0, (size_t)n_places * sizeof(*raw));
    for (int first = 0; first < c; first += block) {
        const float *slab = features + (size_t)first * (size_t)n_places;
        int n = c - first < block ? c - first : block;
        for (int p = 0; p < n_places; p++) {
            float sum = 0;
            for (int i = 0; i < n; i++)
                sum += direction[first + i] * slab[(size_t)p * (size_t)block + (size_t)i];
            raw[p] += sum;
        }
    }
}

void gradcam_rectify(float *map, int n_places)
{
    for (int p = 0; p < n_places; p++)
        if (map[p] < 0)
            map[p] = 0;
}
