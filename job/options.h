/*
 * What the user asked for. Each option stands once, in option_table.c; that table makes the parser, --help,
 * the config file, the start-up table of a scan and the attributes of /run in sweep.h5.
 *
 * The command line wins over the config file's section of the sub-command, which wins over its section
 * [eyesore], which wins over the default.
 */
#ifndef EYESORE_JOB_OPTIONS_H
#define EYESORE_JOB_OPTIONS_H

#include "base/status.h"
#include "io/picture.h"
#include "job/stage_option.h"
#include "results/export.h"
#include "results/schema.h"
#include "shards/manifest.h"

#include <stdio.h>

enum command {
    COMMAND_NONE, /* `eyesore` alone */
    COMMAND_SCAN,
    COMMAND_MANIFEST,
    COMMAND_WEIGHTS_INIT,
    COMMAND_WEIGHTS_CHECK,
    COMMAND_STATUS,
    COMMAND_EXPORT,
    COMMAND_VERDICT,
    COMMAND_BENCH,
    COMMAND_HELP,
    COMMAND_VERSION,
    COMMAND_COUNT
};

/* In the order of the words in option_table.c. */
enum engine_choice { ENGINE_CHOICE_AUTO, ENGINE_CHOICE_CPU, ENGINE_CHOICE_CUDA, ENGINE_CHOICE_NULL };
enum order_choice { ORDER_GIVEN, ORDER_AUTO };
enum progress_choice { PROGRESS_AUTO, PROGRESS_BAR, PROGRESS_LINES, PROGRESS_NONE };

enum decode_isolation { DECODE_ISOLATION_OFF, DECODE_ISOLATION_ON };

enum option_source { OPTION_DEFAULT, OPTION_FILE_GENERAL, OPTION_FILE_COMMAND, OPTION_COMMAND_LINE };

#define OPTION_LIMIT 64 /* more than the table has */

struct options {
    enum command command;
    char **operands; /* [n_operands] what is not an option: SWEEP, FILE, ...; owned */
    size_t n_operands;
    enum option_source source[OPTION_LIMIT]; /* by row of the table */
    bool help;                               /* --help: print the help of `command`, do nothing else */

    /* Of every sub-command. */
    char *config;
    enum log_level log_level;

    /* scan. Texts are NULL where not given. */
    char *manifest;
    enum manifest_format manifest_format;
    char *root; /* NULL: uris are paths as they are */
    char *out;
    char *carry;    /* NULL: every further column; "none"; "a,b" */
    uint64_t limit; /* rows; 0: all */
    uint64_t shard_rows;
    bool dry_run;
    struct stage_list stages; /* in the order given */
    enum order_choice order;
    bool all_stages;
    double probe; /* inclusion probability, 0..1; 0: off */
    enum sweep_heatmaps heatmaps;
    enum decode_mode decode;
    uint64_t resize, size; /* pixels */
    enum resample resample;
    uint64_t max_bytes, max_pixels;
    double max_failed; /* share of the rows, 0..1 */
    enum engine_choice engine;
    enum precision_choice precision; /* of stages without one of their own */
    uint64_t batch;                  /* pictures at once on a GPU; 0: as fit */
    char *plan_cache;                /* NULL: in the user's cache folder; "none" */
    uint64_t threads;                /* 0: as many as the affinity mask has cores */
    enum progress_choice progress;
    enum decode_isolation decode_isolation;
    uint64_t decode_timeout;  /* seconds of processor time for one picture */
    uint64_t stall_timeout;   /* seconds */
    uint64_t set_aside_after; /* hosts */
    uint64_t null_speed;      /* GMAC a second of a worker of the null engine; 0: no waiting */

    /* manifest */
    char *prefix; /* NULL: the path given */

    /* status, bench */
    bool json;
    char *prometheus; /* a textfile for node_exporter; NULL: none */

    /* export, verdict */
    bool flagged, failed, all, partial;
    enum export_format format;
    char *output;                 /* NULL: stdout (export), the report alone (verdict) */
    struct stage_list thresholds; /* file is NULL */

    /* weights init */
    char *arch, *attention;
    uint64_t classes, seed;

    /* bench */
    char *roofline;                  /* the device */
    uint64_t bench_batch;            /* pictures */
    double pass_rate;                /* of each stage, 0..1 */
    char *network, *bench_attention; /* NULL: all */
    bool summary;
};

/*
 * Parse a command line, and the config file it names. argv: [argc], argv[0] is the program's name; not
 * changed. OUT options: zero-initialised by the call; options_free in any case. STATUS_USAGE, with a message
 * that says what was given, what is allowed and the nearest name for a typo.
 */
enum status options_parse(int argc, char *const argv[], struct options *options);

void options_free(struct options *options);

/* One option with its value as text, canonical ("64M", "5%", "auto"); a list has one item a line; "" is not
 * given. */
struct option_entry {
    const char *name;
    char *value; /* owned by the caller: free */
    enum option_source source;
};

/*
 * Walk over the options of the sub-command: *cursor starts as 0. STATUS_OK with entry->name NULL behind the
 * last.
 * --help and --config are left out: what they lead to is what counts.
 */
enum status options_next(const struct options *options, size_t *cursor, struct option_entry *entry);

/* "default", "file", "command line". */
const char *option_source_name(enum option_source source);

/* The start-up table: name, value, source, a line each. */
enum status options_print_table(const struct options *options, FILE *file);

/* The help of a sub-command, or the overview for COMMAND_NONE and COMMAND_HELP. */
void options_print_help(enum command command, FILE *file);

/* "scan", "weights init". */
const char *command_name(enum command command);

/* The sub-command of a name. COMMAND_NONE where there is none. */
enum command command_find(const char *name);

#endif
