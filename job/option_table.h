/*
 * The table of options and the table of sub-commands. Private to job/option*.c and its tests.
 */
#ifndef EYESORE_JOB_OPTION_TABLE_H
#define EYESORE_JOB_OPTION_TABLE_H

#include "job/options.h"

enum option_type {                    /* what the field is, and how it is written: */
                   OPTION_FLAG,       /* bool: --name, or name = yes|no */
                   OPTION_TEXT,       /* char *, owned */
                   OPTION_CHOICE,     /* an enum, counted from 0 in the order of `choices` */
                   OPTION_WORD,       /* char *, owned: one of `choices` */
                   OPTION_COUNT,      /* uint64_t: 1500, 2k, 100M: powers of 1000 */
                   OPTION_BYTES,      /* uint64_t: 64M: powers of 1024 */
                   OPTION_TIME,       /* uint64_t, seconds: 90, 90s, 10m, 2h, 1d */
                   OPTION_FRACTION,   /* double: 0.05, 5% */
                   OPTION_STAGES,     /* struct stage_list: NAME=FILE@THRESHOLD..., repeatable */
                   OPTION_THRESHOLDS, /* struct stage_list: NAME@THRESHOLD, repeatable */
};

struct option_row {
    const char *name; /* without the dashes: also the key of the config file and the attribute's name */
    const char *placeholder; /* of its argument, for the help; NULL: none, or `choices` */
    enum option_type type;
    const char *fallback; /* the default, as text; NULL: none */
    const char *absence;  /* with no fallback: what its absence means, for the help; NULL: nothing to say */
    const char *choices;  /* "a|b|c"; of OPTION_COUNT: the word for 0, or NULL */
    double least, most;   /* of OPTION_COUNT, OPTION_BYTES, OPTION_TIME, OPTION_FRACTION; both included */
    uint32_t commands;    /* bit c: sub-command c takes it */
    bool required;
    const char *group; /* a heading of the help */
    const char *help;
    size_t offset; /* of the field in struct options */
};

/* Row i, or NULL behind the last. */
const struct option_row *option_row_at(size_t i);

/* The row of this name that `command` takes; for COMMAND_NONE, that any takes. NULL where there is none. */
const struct option_row *option_row_find(const char *name, enum command command);
size_t option_row_index(const struct option_row *row);

/* The name nearest to a mistyped one among what `command` takes (COMMAND_NONE: any), or NULL. */
const char *option_row_nearest(const char *name, enum command command);

bool option_row_repeats(const struct option_row *row);

struct command_row {
    const char *name;
    const char *operands;          /* for the help: "SWEEP" */
    size_t n_least, n_most;        /* operands */
    const char *summary;           /* for the overview, in a line */
    const char *details, *example; /* for its own help; NULL: none */
};

const struct command_row *command_row_at(enum command command);

/*
 * Parse `text` into the field of a row. IN where: begins the message. STATUS_USAGE, with the field as it was.
 * A list gets one item more.
 */
enum status option_value_parse(struct options *options, const struct option_row *row, const char *text,
                               const char *where);

/* The field as text, which option_value_parse takes (a list: item by item, each a line). The caller frees. */
enum status option_value_format(const struct options *options, const struct option_row *row, char **text);

/* Empty a list or text. */
void option_value_clear(struct options *options, const struct option_row *row);

/* Set an option where no stronger source has set it; a value that is not used is still checked. */
enum status option_store(struct options *options, const struct option_row *row, const char *text,
                         enum option_source source, const char *where);

/* Read options->config. */
enum status option_file_read(struct options *options);

#endif
