/*
 * Progress of a scan, for rank 0: a bar on a terminal, a line a minute in a batch log. Knows no clock and no
 * MPI: the caller brings both the numbers and the time.
 */
#ifndef EYESORE_JOB_PROGRESS_H
#define EYESORE_JOB_PROGRESS_H

#include "job/options.h"

/* Where the whole job stands. The seconds are summed over all workers of all ranks. */
struct progress_totals {
    uint64_t rows_total, rows_done, rows_failed; /* done counts failed ones too */
    uint64_t shards_total, shards_done;
    double decode_s, compute_s,
        wait_s; /* spent fetching and decoding, in the networks, and with nothing to do */
};

struct progress_mark {
    double time_s;
    struct progress_totals totals;
};

struct progress {
    enum progress_choice mode; /* never PROGRESS_AUTO */
    FILE *terminal;            /* of the bar; borrowed */
    int width;                 /* columns of the terminal */
    struct progress_mark first, older, newer;
    double printed_s; /* when something was printed last */
    bool drawn;       /* there is a bar that no newline ends */
};

/*
 * IN choice: PROGRESS_AUTO is a bar where `terminal` is one, else lines. IN totals: at the start; rows that
 * an earlier run did count as done but not for the rates. IN time_s: of any clock that never goes back.
 */
void progress_start(struct progress *progress, enum progress_choice choice, FILE *terminal,
                    const struct progress_totals *totals, double time_s);

/* Print if it is time to: a bar at most 5 times a second, a line once a minute. Returns whether it did. */
bool progress_update(struct progress *progress, const struct progress_totals *totals, double time_s);

/* Print a last time, and end the bar. */
void progress_finish(struct progress *progress, const struct progress_totals *totals, double time_s);

/* What the user reads, made of three marks; the same in both forms. */
struct progress_rates {
    double now, overall; /* rows a second */
    int decode_percent, compute_percent,
        wait_percent; /* of the workers' time lately; 0, 0, 0 where nothing is known */
    double eta_s;     /* negative: not known */
};

void progress_rates(const struct progress_mark *first, const struct progress_mark *older,
                    const struct progress_mark *now, struct progress_rates *rates);

/* `[####....]  40.0% 400/1000 ...`, at most `width` columns and `size` bytes. */
void progress_render_bar(const struct progress_totals *totals, const struct progress_rates *rates, int width,
                         char *line, size_t size);

/* `rows=400/1000 done=40.0% img_per_s=...` */
void progress_render_line(const struct progress_totals *totals, const struct progress_rates *rates,
                          char *line, size_t size);

/* "1:02:03", or "3d 04:05:06"; "-" where negative or not finite. */
void progress_format_time(double time_s, char *text, size_t size);

#endif
