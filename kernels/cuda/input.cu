/* Crops to normalised values; see launch.h. */
#include "kernels/cuda/vector.cuh"

#define THREADS 256
#define CHANNELS 4                    /* of the output: red, green, blue, zero */
#define PLACES_OF (VECTOR / CHANNELS) /* places in 16 bytes */

/* The three levels of a place of a picture in hand. False beyond the list's end. */
DEVICE bool load_levels(const struct input_args &args, int at, int n_places, uint8_t level[3])
{
    int in_hand = at / n_places, place = at % n_places, n = args.list->first + in_hand;

    if (n >= args.list->count)
        return false;
    size_t row = (size_t)args.list->row[n];
    const uint8_t *from = args.slot->pixels + 3 * (row * (size_t)n_places + (size_t)place);
    for (int c = 0; c < 3; c++)
        level[c] = from[c];
    return true;
}

/*
 * A thread makes 16 bytes: two places, which with an odd number of places may belong to two pictures. The
 * levels are read bytewise, for the same reason; a warp still reads 192 bytes in a row.
 */
template <typename T> KERNEL(THREADS, 8) input(struct input_args args, int n_places, int total)
{
    int first = thread_index() * PLACES_OF;
    struct floats8 value = floats8_fill(0);
    T *out = static_cast<T *>(args.out.data) + (size_t)first * CHANNELS;

    for (int p = 0; p < PLACES_OF; p++) {
        uint8_t level[3];
        if (first + p >= total || !load_levels(args, first + p, n_places, level))
            continue;
        for (int c = 0; c < 3; c++)
            value.at[p * CHANNELS + c] = (float)level[c] * args.scale[c] + args.shift[c];
    }
    if (first + PLACES_OF <= total)
        vector_store(out, value);
    else
        for (int e = 0; e < (total - first == 1 ? CHANNELS : 0); e++)
            from_float(value.at[e], &out[e]);
}

extern "C" cudaError_t input_launch(const struct input_args *args, cudaStream_t stream)
{
    const struct device_map *out = &args->out;
    int n_places = out->h * out->w;
    long long total = (long long)out->n * n_places;
    unsigned blocks = blocks_for(total, THREADS * PLACES_OF);

    if (blocks == 0 || out->c != CHANNELS || out->pitch != CHANNELS)
        return cudaErrorInvalidValue;
    if (args->element == ELEMENT_F16)
        LAUNCH(input<__half>, blocks, THREADS, 0, stream, *args, n_places, (int)total);
    else
        LAUNCH(input<__nv_bfloat16>, blocks, THREADS, 0, stream, *args, n_places, (int)total);
    return cudaGetLastError();
}
