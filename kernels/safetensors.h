/* Parsing of a safetensors header; see weights.h for the format. Internal to kernels/. */
#ifndef EYESORE_KERNELS_SAFETENSORS_H
#define EYESORE_KERNELS_SAFETENSORS_H

#include "kernels/weights.h"

/*
 * Parse the JSON header [text, text + size) into tensors added to `weights`, whose data area is
 * [data, data + data_bytes). An own parser of 150 lines instead of cJSON, because kernels/ must build where
 * there is nothing but a compiler, and because the header holds only four kinds of value.
 */
enum status safetensors_parse(struct weights *weights, const char *text, size_t size,
                              const unsigned char *data, size_t data_bytes);

/* Add a tensor; `weights` owns it from then on, also on failure. */
enum status weights_add(struct weights *weights, struct tensor *tensor);

#endif
