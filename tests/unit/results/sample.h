/*
 * Rows made up from their number, with everything that can be awkward in them, and a folder for files.
 */
#ifndef EYESORE_TESTS_RESULTS_SAMPLE_H
#define EYESORE_TESTS_RESULTS_SAMPLE_H

#include "results/part.h"

#define SAMPLE_STAGES 2
#define SAMPLE_COLUMNS 4
#define SAMPLE_FINGERPRINT "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

struct sample_row {
    char id[64], uri[128];
    char columns[SAMPLE_COLUMNS][256];
    enum item_status status;
    enum sweep_verdict verdict;
    int32_t width, height;
    uint8_t orientation;
    uint8_t hash[SWEEP_HASH_SIZE];
    float scores[SAMPLE_STAGES];
    const char *message; /* NULL: none given */
};

enum sample_kind { SAMPLE_MIXED, SAMPLE_ALL_PASS }; /* all pass: nothing flagged, nothing failed */

struct sample_row sample_row(enum sample_kind kind, uint64_t row);

/* columns: partner (fixed), title (a blob), status and a/b (names that cannot stay); maps [3,2] and [2,2]. */
enum status sample_layout(struct sweep_layout *layout);

float sample_map_cell(uint64_t row, uint32_t stage, uint32_t cell);

/* Fill a part with the rows first_row ... */
enum status sample_part(const struct sweep_layout *layout, enum sample_kind kind, uint64_t shard,
                        uint64_t first_row, uint64_t n_rows, struct part **part);

/* A new folder under TMPDIR; the caller frees the name. sample_remove_folder takes what is in it too. */
char *sample_make_folder(void);
void sample_remove_folder(char *folder);

/* folder/name; the caller frees. */
char *sample_path(const char *folder, const char *name);

/* Is a temporary file (`.tmp-`) left in the folder? */
bool sample_has_temporary(const char *folder);

#endif
