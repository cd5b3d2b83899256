/*
 * gather_probe FOLDER N_ROWS SHARD_ROWS mixed|all_pass [make|FAULT]: make the parts of a made-up run in
 * FOLDER (rank 0), gather them into FOLDER/sweep.h5 with all ranks, and exit with the `enum status` of the
 * gather. FAULT is done to the second part before the gather: missing, foreign, truncated, swapped,
 * changed (an attribute), lying (the same, with its checksum), flipped (a byte of a dataset), earlier
 * (without checksums); many: the first is cut short, the second and the last get a flipped byte. Bad parts
 * are printed as `bad: 1: reason`.
 */
#include "base/file.h"
#include "results/checksum.h"
#include "results/gather.h"
#include "results/sweep_file.h"
#include "sample.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct run {
    const char *folder;
    uint64_t n_rows, shard_rows;
    enum sample_kind kind;
    const char *fault;
    struct sweep_layout layout;
    size_t n_parts;
    struct gather_part *parts;
};

static enum status plan_parts(struct run *run)
{
    enum status rc = STATUS_OK;

    run->n_parts = run->n_rows == 0 ? 0 : (run->n_rows + run->shard_rows - 1) / run->shard_rows;
    run->parts = calloc(run->n_parts + 1, sizeof(*run->parts));
    if (run->parts == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    for (size_t i = 0; i < run->n_parts; i++) {
        char name[32];
        snprintf(name, sizeof(name), "part-%zu.h5", i);
        run->parts[i].path = sample_path(run->folder, name);
        run->parts[i].shard = i;
        run->parts[i].first_row = i * run->shard_rows;
        uint64_t left = run->n_rows - run->parts[i].first_row;
        run->parts[i].n_rows = left < run->shard_rows ? left : run->shard_rows;
    }
out:
    return rc;
}

/* Move a row from one count to another in the part's attributes, with the sum unchanged. sealed: with the
 * checksum that belongs to it, as a wrong program would write it. */
static enum status make_it_lie(const char *path, bool sealed)
{
    enum status rc = STATUS_OK;
    uint64_t counts[ITEM_STATUS_COUNT];
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);

    H5_TRY(file, STATUS_INTERNAL, path, "open");
    TRY(h5_get_u64s(file, path, "/", "counts_by_status", counts, ITEM_STATUS_COUNT));
    counts[ITEM_OK]--;
    counts[ITEM_REFUSED]++;
    TRY(h5_put_u64s(file, path, "/", "counts_by_status", counts, ITEM_STATUS_COUNT));
    if (sealed)
        TRY(checksum_seal_root(file, path));
out:
    h5_file_close(file);
    return rc;
}

/* As a disk or a network does it: a bit of the first verdict, another value of the enum. */
static enum status flip_a_bit(const char *path)
{
    enum status rc = STATUS_OK;
    struct sweep_file *file = NULL;
    haddr_t at = HADDR_UNDEF;
    FILE *raw = NULL;
    int value;

    TRY(sweep_file_open(path, &file));
    at = H5Dget_offset(file->datasets[sweep_file_find(file, FIELD_VERDICT, 0)]);
    sweep_file_close(file);
    file = NULL;
    raw = fopen(path, "r+e");
    if (at == HADDR_UNDEF || raw == NULL || fseek(raw, (long)at, SEEK_SET) != 0 ||
        (value = fgetc(raw)) == EOF || fseek(raw, (long)at, SEEK_SET) != 0 || fputc(value ^ 1, raw) == EOF)
        FAIL(STATUS_INTERNAL, "%s: cannot flip a bit", path);
out:
    if (raw != NULL)
        fclose(raw);
    sweep_file_close(file);
    return rc;
}

static enum status take_checksum_away(const char *path)
{
    enum status rc = STATUS_OK;
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);

    H5_TRY(file, STATUS_INTERNAL, path, "open");
    H5_TRY(H5Adelete_by_name(file, "/", CHECKSUM_ATTRIBUTE, H5P_DEFAULT), STATUS_INTERNAL, path, "delete");
out:
    h5_file_close(file);
    return rc;
}

static enum status do_fault(const struct run *run, const char *fault)
{
    enum status rc = STATUS_OK;
    const char *victim = run->n_parts > 1 ? run->parts[1].path : NULL;

    if (strcmp(fault, "missing") == 0 && unlink(victim) != 0)
        FAIL(STATUS_INTERNAL, "unlink");
    if (strcmp(fault, "truncated") == 0 && truncate(victim, 3000) != 0)
        FAIL(STATUS_INTERNAL, "truncate");
    if (strcmp(fault, "swapped") == 0 && rename(run->parts[0].path, victim) != 0)
        FAIL(STATUS_INTERNAL, "rename");
    if (strcmp(fault, "many") == 0) {
        if (truncate(run->parts[0].path, 3000) != 0)
            FAIL(STATUS_INTERNAL, "truncate");
        TRY(flip_a_bit(run->parts[run->n_parts - 1].path));
    }
    if (strcmp(fault, "flipped") == 0 || strcmp(fault, "many") == 0)
        TRY(flip_a_bit(victim));
    if (strcmp(fault, "changed") == 0 || strcmp(fault, "lying") == 0)
        TRY(make_it_lie(victim, strcmp(fault, "lying") == 0));
    if (strcmp(fault, "earlier") == 0)
        TRY(take_checksum_away(victim));
out:
    return rc;
}

static enum status make_parts(const struct run *run)
{
    enum status rc = STATUS_OK;
    struct part *part = NULL;

    for (size_t i = 0; i < run->n_parts; i++) {
        bool existed;
        bool foreign = i == 1 && strcmp(run->fault, "foreign") == 0;
        TRY(sample_part(&run->layout, run->kind, i, run->parts[i].first_row, run->parts[i].n_rows, &part));
        TRY(part_write(part, run->parts[i].path, foreign ? "ffff" : SAMPLE_FINGERPRINT, &existed));
        part_free(part);
        part = NULL;
    }
    TRY(do_fault(run, run->fault));
out:
    part_free(part);
    return rc;
}

static enum status gather_run(const struct run *run, int n_ranks)
{
    char *out = sample_path(run->folder, "sweep.h5");
    struct sweep_attribute list[] = {
        {"/", "crop", ATTRIBUTE_U64, {.u64 = 224}},
        {"/stages/resnet50", "threshold", ATTRIBUTE_F32, {.f32 = 0.5f}},
        {"/stages/resnet50", "arch", ATTRIBUTE_STRING, {.string = "resnet50"}},
        {"/stages/densenet161", "threshold", ATTRIBUTE_F32, {.f32 = 0.5f}},
        {"/run", "ranks", ATTRIBUTE_U64, {.u64 = (uint64_t)n_ranks}},
        {"/run", "shard_rows", ATTRIBUTE_U64, {.u64 = run->shard_rows}},
        {"/run", "seconds", ATTRIBUTE_F64, {.f64 = 1.5}},
    };
    struct gather_plan plan = {
        .layout = &run->layout,
        .run_fingerprint = SAMPLE_FINGERPRINT,
        .n_rows = run->n_rows,
        .parts = run->parts,
        .n_parts = run->n_parts,
        .attributes = {list, sizeof(list) / sizeof(list[0])},
        .out_path = out,
    };
    struct gather_bad bad;
    enum status rc = gather_parts(MPI_COMM_WORLD, &plan, &bad);

    for (size_t i = 0; i < bad.n; i++)
        printf("bad: %zu: %s\n", bad.list[i].part, bad.list[i].reason);
    gather_bad_free(&bad);
    free(out);
    return rc;
}

int main(int argc, char **argv)
{
    enum status rc = STATUS_USAGE;
    struct run run = {0};
    int rank, n_ranks;
    int first = 0;

    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
    if (argc < 5)
        goto out;
    run.folder = argv[1];
    run.n_rows = strtoull(argv[2], NULL, 10);
    run.shard_rows = strtoull(argv[3], NULL, 10);
    run.kind = strcmp(argv[4], "all_pass") == 0 ? SAMPLE_ALL_PASS : SAMPLE_MIXED;
    run.fault = argc > 5 ? argv[5] : "none";
    TRY(sample_layout(&run.layout));
    TRY(plan_parts(&run));
    if (rank == 0)
        first = (int)make_parts(&run);
    MPI_Bcast(&first, 1, MPI_INT, 0, MPI_COMM_WORLD);
    TRY((enum status)first);
    TRY(gather_run(&run, n_ranks));
out:
    for (size_t i = 0; run.parts != NULL && i < run.n_parts; i++)
        free((char *)(uintptr_t)run.parts[i].path);
    free(run.parts);
    sweep_layout_free(&run.layout);
    MPI_Finalize();
    return (int)rc;
}
