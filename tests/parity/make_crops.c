/*
 * parity_crops STAMPS OUT.safetensors: decode, resize and crop 16 photographs of Debian's
 * tuxpaint-stamps-default (cut-outs on transparency, laid over white) and write them as the f32 tensor
 * `crops` [16, 224, 224, 3] of values 0..255. Exits 77 (skipped) where the package is not installed.
 */
#include "base/file.h"
#include "io/decode.h"
#include "io/fetch.h"
#include "kernels/weights.h"
#include "tests/parity/networks.h"

#include <stdio.h>
#include <unistd.h>

#define EXIT_SKIPPED 77

static const char *const pictures[PARITY_PICTURES] = {
    "animals/amphibians/frog-1.png",
    "animals/birds/helmeted_guineafowl.png",
    "animals/fish/lobster.png",
    "animals/insects/Woodlouse.png",
    "animals/insects/mantis.png",
    "animals/mammals/bears/european-bear.png",
    "animals/mammals/cats/tiger_sumatran.png",
    "animals/mammals/rodents/capybara.png",
    "food/fruit/Strawberry2.png",
    "food/fruit/avocado.png",
    "household/Lightbulb.png",
    "medical/stethoscope.png",
    "naturalforces/fire.png",
    "plants/flowers/daffodil.png",
    "seasonal/christmas/Roast_turkey.png",
    "vehicles/masstransit/green_korean_bus.png",
};

static enum status crop_all(struct fetcher *fetcher, struct decoder *decoder, float *values)
{
    enum status rc = STATUS_OK;
    struct picture_options options = picture_options_default();
    static uint8_t crop[PARITY_SIZE * PARITY_SIZE * 3];

    for (int i = 0; i < PARITY_PICTURES; i++) {
        struct picture_info info;
        const uint8_t *bytes;
        size_t n;
        TRY(fetcher_read(fetcher, pictures[i], &bytes, &n, &info));
        if (info.status == ITEM_OK)
            TRY(decoder_decode(decoder, bytes, n, &options, crop, &info));
        if (info.status != ITEM_OK)
            FAIL(STATUS_INPUT, "%s: %s", pictures[i], info.message);
        for (size_t k = 0; k < sizeof(crop); k++)
            values[(size_t)i * sizeof(crop) + k] = crop[k];
    }
out:
    return rc;
}

static enum status make(const char *stamps, const char *path)
{
    enum status rc = STATUS_OK;
    const struct fetch_options options = {.root = stamps};
    int64_t dims[] = {PARITY_PICTURES, PARITY_SIZE, PARITY_SIZE, 3};
    struct fetcher *fetcher = NULL;
    struct decoder *decoder = NULL;
    struct weights *file = NULL;
    struct tensor *crops;

    TRY(fetcher_open(&options, &fetcher));
    TRY(decoder_open(&decoder));
    TRY(weights_declare(&file));
    TRY(weights_take(file, "crops", dims, 4, &crops));
    TRY(crop_all(fetcher, decoder, crops->own));
    TRY(weights_write(file, path, "pictures"));
out:
    weights_close(file);
    decoder_close(decoder);
    fetcher_close(fetcher);
    return rc;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: parity_crops STAMPS OUT.safetensors\n");
        return EXIT_USAGE;
    }
    if (access(argv[1], R_OK) != 0) {
        printf("skipped: no %s (Debian package tuxpaint-stamps-default)\n", argv[1]);
        return EXIT_SKIPPED;
    }
    return (int)status_exit_code(make(argv[1], argv[2]));
}
