#include "job/option_table.h"

#include "job/nearest.h"

#include <stddef.h>
#include <string.h>

#define IN(command) (1u << COMMAND_##command)
#define EVERY                                                                                                \
    (IN(SCAN) | IN(MANIFEST) | IN(WEIGHTS_INIT) | IN(WEIGHTS_CHECK) | IN(STATUS) | IN(EXPORT) |              \
     IN(VERDICT) | IN(BENCH))
#define AT(field) .offset = offsetof(struct options, field)

/* The words of a choice stand in the order of its enum. */
_Static_assert(MANIFEST_TSV == 1 && MANIFEST_CSV == 2 && MANIFEST_JSONL == 3, "auto|tsv|csv|jsonl");
_Static_assert(DECODE_EXACT == 0 && DECODE_FAST == 1, "exact|fast");
_Static_assert(RESAMPLE_BILINEAR == 0 && RESAMPLE_BICUBIC == 1, "bilinear|bicubic");
_Static_assert(HEATMAPS_NONE == 0 && HEATMAPS_FLAGGED == 1 && HEATMAPS_ALL == 2, "none|flagged|all");
_Static_assert(EXPORT_CSV == 0 && EXPORT_JSONL == 1, "csv|jsonl");
_Static_assert(DECODE_ISOLATION_OFF == 0 && DECODE_ISOLATION_ON == 1, "off|on");
_Static_assert(ENGINE_CHOICE_NULL == 3, "auto|cpu|cuda|null");
_Static_assert(LOG_DEBUG == 0 && LOG_INFO == 1 && LOG_WARN == 2 && LOG_ERROR == 3, "debug|info|warn|error");

/* clang-format off */
static const struct option_row rows[] = {
    /* What goes in and where it ends up. */
    {.name = "manifest", .placeholder = "FILE", .type = OPTION_TEXT, .commands = IN(SCAN), .required = true,
     .group = "Input and output", AT(manifest),
     .help = "The pictures: TSV or CSV with a header, or JSON Lines; columns id, uri and any others."},
    {.name = "manifest-format", .type = OPTION_CHOICE, .choices = "auto|tsv|csv|jsonl", .fallback = "auto",
     .commands = IN(SCAN), .group = "Input and output", AT(manifest_format),
     .help = "The manifest's format; auto goes by the file's extension."},
    {.name = "root", .placeholder = "FOLDER", .type = OPTION_TEXT, .absence = "uris are paths as they are",
     .commands = IN(SCAN), .group = "Input and output", AT(root),
     .help = "The folder that uris are relative to and may not leave."},
    {.name = "out", .placeholder = "FOLDER", .type = OPTION_TEXT, .commands = IN(SCAN), .required = true,
     .group = "Input and output", AT(out),
     .help = "The sweep's folder: plan, part files and in the end sweep.h5. Run again with the same command to go "
             "on with a stopped sweep."},
    {.name = "carry", .placeholder = "A,B", .type = OPTION_TEXT, .absence = "all", .commands = IN(SCAN),
     .group = "Input and output", AT(carry),
     .help = "The manifest's further columns to keep in sweep.h5; none for none."},
    {.name = "limit", .placeholder = "ROWS", .type = OPTION_COUNT, .fallback = "0", .most = 1e15,
     .commands = IN(SCAN), .group = "Input and output", AT(limit),
     .help = "Sweep only the first rows of the manifest; 0 for all."},
    {.name = "shard-rows", .placeholder = "ROWS", .type = OPTION_COUNT, .fallback = "1000", .least = 1, .most = 1e6,
     .commands = IN(SCAN), .group = "Input and output", AT(shard_rows),
     .help = "Rows of a shard, the unit of work and of resuming; fixed for a sweep once it has begun."},
    {.name = "dry-run", .type = OPTION_FLAG, .commands = IN(SCAN), .group = "Input and output", AT(dry_run),
     .help = "Check the manifest, print the plan, and stop."},

    /* The cascade. */
    {.name = "stage", .placeholder = "NAME=FILE@THRESHOLD[:SETTING=VALUE]...", .type = OPTION_STAGES,
     .commands = IN(SCAN), .group = "Cascade", AT(stages),
     .help = "A network: safetensors weights and the score from which a picture goes on; a picture is flagged when "
             "all stages say so. Repeatable. Settings: class=K|A-B|A,B,C (1 of 2, 0 of 1 unless given), "
             "head=softmax|sigmoid, mean=r,g,b and std=r,g,b (ImageNet's unless given), precision=auto|f32|bf16."},
    {.name = "order", .type = OPTION_CHOICE, .choices = "given|auto", .fallback = "auto", .commands = IN(SCAN),
     .group = "Cascade", AT(order),
     .help = "Which stage runs first; auto measures pass rates on 512 rows and takes the cheapest order, once, "
             "before the sweep."},
    {.name = "all-stages", .type = OPTION_FLAG, .commands = IN(SCAN), .group = "Cascade", AT(all_stages),
     .help = "Score every picture with every stage."},
    {.name = "probe", .placeholder = "FRACTION", .type = OPTION_FRACTION, .fallback = "0%", .least = 0, .most = 1,
     .commands = IN(SCAN), .group = "Cascade", AT(probe),
     .help = "Score this share of the pictures, chosen by hash of id, with every stage, so that thresholds can be "
             "judged later."},
    {.name = "heatmaps", .type = OPTION_CHOICE, .choices = "none|flagged|all", .fallback = "flagged",
     .commands = IN(SCAN), .group = "Cascade", AT(heatmaps),
     .help = "Which pictures get Grad-CAM heat maps."},

    /* Decoding. */
    {.name = "decode", .type = OPTION_CHOICE, .choices = "exact|fast", .fallback = "exact", .commands = IN(SCAN),
     .group = "Pictures", AT(decode),
     .help = "exact agrees with Pillow to one level; fast lets JPEGs much larger than needed be scaled as they are "
             "decoded."},
    {.name = "resize", .placeholder = "PIXELS", .type = OPTION_COUNT, .fallback = "256", .least = 32,
     .most = PICTURE_SIDE_LIMIT, .commands = IN(SCAN), .group = "Pictures", AT(resize),
     .help = "The shorter side after resizing."},
    {.name = "size", .placeholder = "PIXELS", .type = OPTION_COUNT, .fallback = "224", .least = 32,
     .most = PICTURE_SIDE_LIMIT, .commands = IN(SCAN), .group = "Pictures", AT(size),
     .help = "The side of the centre crop that the networks see."},
    {.name = "resample", .type = OPTION_CHOICE, .choices = "bilinear|bicubic", .fallback = "bilinear",
     .commands = IN(SCAN), .group = "Pictures", AT(resample), .help = "The resizing filter."},
    {.name = "max-bytes", .placeholder = "BYTES", .type = OPTION_BYTES, .fallback = "64M", .least = 1,
     .most = 2147483648.0, .commands = IN(SCAN), .group = "Pictures", AT(max_bytes),
     .help = "A larger file gets the status too_large; k, M, G are powers of 1024."},
    {.name = "max-pixels", .placeholder = "PIXELS", .type = OPTION_COUNT, .fallback = "100M", .least = 1,
     .most = 4294967295.0, .commands = IN(SCAN), .group = "Pictures", AT(max_pixels),
     .help = "A picture with more gets the status too_large; k, M, G are powers of 1000."},
    {.name = "max-failed", .placeholder = "FRACTION", .type = OPTION_FRACTION, .fallback = "5%", .least = 0, .most = 1,
     .commands = IN(SCAN), .group = "Pictures", AT(max_failed),
     .help = "Stop the sweep (exit code 3) when more than this share of the rows failed; looked at from row 1,000 on."},

    /* The machine. */
    {.name = "engine", .type = OPTION_CHOICE, .choices = "auto|cpu|cuda|null", .fallback = "auto", .commands = IN(SCAN),
     .group = "Machine", AT(engine),
     .help = "What runs the networks; auto is cuda where every rank has a GPU, else cpu. A sweep keeps to its first "
             "choice. null computes nothing: scores are hashes of the crop, to plan and to test with."},
    {.name = "null-speed", .placeholder = "GMAC/S", .type = OPTION_COUNT, .fallback = "0", .most = 1e9,
     .commands = IN(SCAN), .group = "Machine", AT(null_speed),
     .help = "How fast each worker of the null engine pretends to be; 0 for no waiting."},
    {.name = "precision", .type = OPTION_CHOICE, .choices = PRECISION_CHOICES, .fallback = "auto",
     .commands = IN(SCAN), .group = "Machine", AT(precision),
     .help = "Of stages without a precision of their own; auto is f16 on GPUs, and on processors bf16 where all have it, "
             "else f32."},
    {.name = "batch", .placeholder = "N|auto", .type = OPTION_COUNT, .choices = "auto", .fallback = "auto", .most = 1024,
     .commands = IN(SCAN), .group = "Machine", AT(batch),
     .help = "Pictures that a GPU computes at once; auto is as many as fit into its free memory, up to 256. A sweep "
             "keeps to its first choice."},
    {.name = "plan-cache", .placeholder = "FOLDER|none", .type = OPTION_TEXT,
     .absence = "eyesore/plans in $XDG_CACHE_HOME or ~/.cache", .commands = IN(SCAN), .group = "Machine", AT(plan_cache),
     .help = "Where GPU kernels chosen by timing are kept for later sweeps on the same kind of GPU."},
    {.name = "threads", .placeholder = "N", .type = OPTION_COUNT, .fallback = "0", .least = 0, .most = 4096,
     .commands = IN(SCAN), .group = "Machine", AT(threads),
     .help = "Workers of each rank; 0 for one on each core it may use (the affinity mask; mpirun wants "
             "--bind-to none)."},
    {.name = "progress", .type = OPTION_CHOICE, .choices = "auto|bar|lines|none", .fallback = "auto",
     .commands = IN(SCAN), .group = "Machine", AT(progress),
     .help = "A bar, or a line a minute; auto is a bar on a terminal."},

    /* Faults. */
    {.name = "decode-isolation", .type = OPTION_CHOICE, .choices = "off|on", .fallback = "on", .commands = IN(SCAN),
     .group = "Faults", AT(decode_isolation),
     .help = "on decodes in helper processes that can do nothing but compute, so that a picture made to break a "
             "decoder costs that picture alone."},
    {.name = "decode-timeout", .placeholder = "TIME", .type = OPTION_TIME, .fallback = "30s", .least = 1, .most = 86400,
     .commands = IN(SCAN), .group = "Faults", AT(decode_timeout),
     .help = "Processor time that one picture may take a helper; s, m, h, d."},
    {.name = "stall-timeout", .placeholder = "TIME", .type = OPTION_TIME, .fallback = "10m", .least = 1, .most = 864000,
     .commands = IN(SCAN), .group = "Faults", AT(stall_timeout),
     .help = "End the job with exit code 75 when a rank makes no progress for so long, or one read, picture, batch or "
             "write takes it; the log says where it is stuck."},
    {.name = "set-aside-after", .placeholder = "HOSTS", .type = OPTION_COUNT, .fallback = "3", .least = 1, .most = 1000,
     .commands = IN(SCAN), .group = "Faults", AT(set_aside_after),
     .help = "Give up a shard that failed on so many hosts: its rows get the status set_aside, the rest is finished."},

    /* manifest */
    {.name = "prefix", .placeholder = "TEXT", .type = OPTION_TEXT, .absence = "the path as given",
     .commands = IN(MANIFEST), .group = "Output", AT(prefix),
     .help = "What stands before the names in the uris; empty for uris relative to a folder that will be --root."},

    /* status, bench */
    {.name = "json", .type = OPTION_FLAG, .commands = IN(STATUS) | IN(BENCH), .group = "Output", AT(json),
     .help = "Print one JSON object."},

    {.name = "prometheus", .placeholder = "FILE", .type = OPTION_TEXT, .absence = "none", .commands = IN(STATUS),
     .group = "Output", AT(prometheus),
     .help = "Also write the numbers as a textfile for Prometheus's node_exporter, whole or not at all."},

    /* export, verdict */
    {.name = "stage", .placeholder = "NAME@THRESHOLD", .type = OPTION_THRESHOLDS, .commands = IN(VERDICT),
     .required = true, .group = "Thresholds", AT(thresholds),
     .help = "A stage's new threshold; stages not named keep theirs. Repeatable."},
    {.name = "flagged", .type = OPTION_FLAG, .commands = IN(EXPORT), .group = "Rows", AT(flagged),
     .help = "Rows that every stage flags (this is what is exported where no kind of rows is named)."},
    {.name = "failed", .type = OPTION_FLAG, .commands = IN(EXPORT), .group = "Rows", AT(failed),
     .help = "Rows that could not be scored, and why."},
    {.name = "all", .type = OPTION_FLAG, .commands = IN(EXPORT), .group = "Rows", AT(all), .help = "All rows."},
    {.name = "partial", .type = OPTION_FLAG, .commands = IN(EXPORT), .group = "Rows", AT(partial),
     .help = "SWEEP is the folder of a sweep that still runs: read its part files."},
    {.name = "format", .type = OPTION_CHOICE, .choices = "csv|jsonl", .fallback = "csv", .commands = IN(EXPORT),
     .group = "Output", AT(format), .help = "The format of the list."},
    {.name = "output", .placeholder = "FILE", .type = OPTION_TEXT,
     .absence = "export: standard output; verdict: only report what would change", .commands = IN(EXPORT) | IN(VERDICT),
     .group = "Output", AT(output), .help = "The file to write."},

    /* weights init */
    {.name = "arch", .type = OPTION_WORD, .choices = "densenet161|resnet50|mobilenet_v2", .commands = IN(WEIGHTS_INIT),
     .required = true, .group = "Network", AT(arch), .help = "The network."},
    {.name = "attention", .type = OPTION_WORD, .choices = "none|cbam|cbam-jongchan|cbam-luuuyi", .fallback = "none",
     .commands = IN(WEIGHTS_INIT), .group = "Network", AT(attention),
     .help = "CBAM in its timm layout (cbam), or in another published one."},
    {.name = "classes", .placeholder = "N", .type = OPTION_COUNT, .fallback = "2", .least = 1, .most = 100000,
     .commands = IN(WEIGHTS_INIT), .group = "Network", AT(classes), .help = "Classes of the head."},
    {.name = "seed", .placeholder = "N", .type = OPTION_COUNT, .fallback = "0", .most = 9007199254740992.0,
     .commands = IN(WEIGHTS_INIT), .group = "Network", AT(seed), .help = "The same seed gives the same file."},

    /* bench */
    {.name = "roofline", .type = OPTION_WORD, .choices = "h100|a100|b200", .commands = IN(BENCH), .required = true,
     .group = "Bound", AT(roofline),
     .help = "The GPU at whose peaks each kernel of the CUDA engine is counted; neither a GPU nor weights are needed."},
    {.name = "batch", .placeholder = "N", .type = OPTION_COUNT, .fallback = "256", .least = 1, .most = 1024,
     .commands = IN(BENCH), .group = "Bound", AT(bench_batch), .help = "Pictures of a batch."},
    {.name = "pass-rate", .placeholder = "FRACTION", .type = OPTION_FRACTION, .fallback = "1%", .least = 0, .most = 1,
     .commands = IN(BENCH), .group = "Bound", AT(pass_rate),
     .help = "Pictures that go on from a stage of the cascade, resnet50 and densenet161."},
    {.name = "network", .type = OPTION_WORD, .choices = "densenet161|resnet50|mobilenet_v2", .absence = "all",
     .commands = IN(BENCH), .group = "Bound", AT(network), .help = "One network."},
    {.name = "attention", .type = OPTION_WORD, .choices = "none|cbam", .absence = "both", .commands = IN(BENCH),
     .group = "Bound", AT(bench_attention), .help = "With or without CBAM."},
    {.name = "summary", .type = OPTION_FLAG, .commands = IN(BENCH), .group = "Output", AT(summary),
     .help = "Only the sums, not each op."},

    /* Of all. */
    {.name = "config", .placeholder = "FILE", .type = OPTION_TEXT, .commands = EVERY, .group = "General", AT(config),
     .help = "Read options from an INI file: `name = value` below [eyesore] or a sub-command's section, such as "
             "[scan]. The command line wins."},
    {.name = "log-level", .type = OPTION_CHOICE, .choices = "debug|info|warn|error", .fallback = "info",
     .commands = EVERY, .group = "General", AT(log_level), .help = "The least important lines to log."},
    {.name = "help", .type = OPTION_FLAG, .commands = EVERY, .group = "General", AT(help), .help = "Print this."},
};

static const struct command_row commands[COMMAND_COUNT] = {
    [COMMAND_NONE] = {.name = ""},
    [COMMAND_SCAN] = {"scan", "", 0, 0, "sweep a manifest: score, flag, explain, gather into sweep.h5",
     "Reads a manifest, runs the cascade on every picture and writes OUT/sweep.h5. Without mpirun it is a job of one "
     "rank that uses all cores.",
     "mpirun --bind-to none -n 8 eyesore scan --manifest pool.tsv --root /pool \\\n"
     "        --stage densenet161=d161.safetensors@0.80 --stage resnet50=r50.safetensors@0.65 \\\n"
     "        --out sweeps/2026-11-09"},
    [COMMAND_MANIFEST] = {"manifest", "DIR|FILE.tar...", 1, SIZE_MAX, "list the pictures of folders and tar files as a manifest",
     "Prints a TSV manifest with the columns id, uri and category, the folder a picture is in.",
     "eyesore manifest photos archive.tar > pool.tsv"},
    [COMMAND_WEIGHTS_INIT] = {"weights init", "FILE", 1, 1, "make UNTRAINED weights of a network, for trying things out",
     "Writes a safetensors file of random weights with batch-norm statistics set from generated pictures. Its flags "
     "are meaningless.",
     "eyesore weights init --arch resnet50 --attention cbam --classes 2 --seed 7 r50.safetensors"},
    [COMMAND_WEIGHTS_CHECK] = {"weights check", "FILE", 1, 1, "say which network a weights file is, or what is wrong with it",
     NULL, "eyesore weights check r50.safetensors"},
    [COMMAND_STATUS] = {"status", "OUT", 1, 1, "how far a sweep is, from its files alone",
     "Runs on any machine that sees the sweep's folder.", "eyesore status sweeps/2026-11-09"},
    [COMMAND_EXPORT] = {"export", "SWEEP", 1, 1, "rows of a sweep as CSV or JSON Lines",
     "SWEEP is a sweep.h5, or with --partial the folder of a sweep that still runs.",
     "eyesore export sweeps/2026-11-09/sweep.h5 --flagged --format csv"},
    [COMMAND_VERDICT] = {"verdict", "SWEEP", 1, 1, "apply other thresholds to a finished sweep",
     "Recomputes the verdicts where the scores allow it, and says where they do not.",
     "eyesore verdict sweeps/2026-11-09/sweep.h5 --stage densenet161@0.7"},
    [COMMAND_BENCH] = {"bench", "", 0, 0, "what the networks cost on a GPU at best (roofline)",
     "Prints arithmetic, bytes and floor time of each kernel of the CUDA engine at a device's peaks, the images/s that no "
     "run can exceed without help from its caches, and the bytes beside the least that layers need.",
     "eyesore bench --roofline h100 --summary"},
    [COMMAND_HELP] = {"help", "[COMMAND]", 0, 2, "print the help of a sub-command", NULL, NULL},
    [COMMAND_VERSION] = {"version", "", 0, 0, "print the version", NULL, NULL},
};
/* clang-format on */

#define N_ROWS (sizeof(rows) / sizeof(rows[0]))
_Static_assert(N_ROWS <= OPTION_LIMIT, "raise OPTION_LIMIT");

const struct option_row *option_row_at(size_t i)
{
    return i < N_ROWS ? &rows[i] : NULL;
}

size_t option_row_index(const struct option_row *row)
{
    return (size_t)(row - rows);
}

static bool takes(enum command command, const struct option_row *row)
{
    return command == COMMAND_NONE || (row->commands & 1u << command) != 0;
}

const struct option_row *option_row_find(const char *name, enum command command)
{
    for (size_t i = 0; i < N_ROWS; i++) {
        if (takes(command, &rows[i]) && strcmp(rows[i].name, name) == 0)
            return &rows[i];
    }
    return NULL;
}

const char *option_row_nearest(const char *name, enum command command)
{
    const char *nearest = NULL;
    int best = 0;

    for (size_t i = 0; i < N_ROWS; i++) {
        int distance = nearest_distance(name, rows[i].name);
        if (takes(command, &rows[i]) && (nearest == NULL || distance < best)) {
            best = distance;
            nearest = rows[i].name;
        }
    }
    return nearest != NULL && nearest_plausible(name, best) ? nearest : NULL;
}

bool option_row_repeats(const struct option_row *row)
{
    return row->type == OPTION_STAGES || row->type == OPTION_THRESHOLDS;
}

const struct command_row *command_row_at(enum command command)
{
    return &commands[command];
}

const char *command_name(enum command command)
{
    return commands[command].name;
}

enum command command_find(const char *name)
{
    for (enum command command = COMMAND_NONE + 1; command < COMMAND_COUNT; command++) {
        if (strcmp(commands[command].name, name) == 0)
            return command;
    }
    return COMMAND_NONE;
}
