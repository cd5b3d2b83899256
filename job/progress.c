#include "job/progress.h"

#include <math.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BAR_INTERVAL_S 0.2
#define LINE_INTERVAL_S 60.0
#define WINDOW_S 10.0 /* "now" of a bar: the last 10 to 20 seconds */
#define BAR_CELLS 20

static int terminal_width(FILE *terminal)
{
    struct winsize window;

    if (ioctl(fileno(terminal), TIOCGWINSZ, &window) == 0 && window.ws_col >= 20)
        return window.ws_col;
    return 80;
}

void progress_start(struct progress *progress, enum progress_choice choice, FILE *terminal,
                    const struct progress_totals *totals, double time_s)
{
    struct progress_mark mark = {time_s, *totals};

    if (choice == PROGRESS_AUTO)
        choice = isatty(fileno(terminal)) ? PROGRESS_BAR : PROGRESS_LINES;
    *progress = (struct progress){.mode = choice,
                                  .terminal = terminal,
                                  .width = terminal_width(terminal),
                                  .first = mark,
                                  .older = mark,
                                  .newer = mark,
                                  .printed_s = time_s};
}

static double rate(const struct progress_mark *from, const struct progress_mark *to)
{
    double time_s = to->time_s - from->time_s;

    if (time_s <= 0 || to->totals.rows_done < from->totals.rows_done)
        return 0;
    return (double)(to->totals.rows_done - from->totals.rows_done) / time_s;
}

void progress_rates(const struct progress_mark *first, const struct progress_mark *older,
                    const struct progress_mark *now, struct progress_rates *rates)
{
    double decode_s = fmax(now->totals.decode_s - older->totals.decode_s, 0);
    double compute_s = fmax(now->totals.compute_s - older->totals.compute_s, 0);
    double wait_s = fmax(now->totals.wait_s - older->totals.wait_s, 0);
    double all_s = decode_s + compute_s + wait_s;

    *rates = (struct progress_rates){.now = rate(older, now), .overall = rate(first, now), .eta_s = -1};
    if (all_s > 0) {
        rates->decode_percent = (int)lround(100 * decode_s / all_s);
        rates->compute_percent = (int)lround(100 * compute_s / all_s);
        rates->wait_percent = (int)lround(100 * wait_s / all_s);
    }
    if (now->totals.rows_done >= now->totals.rows_total)
        rates->eta_s = 0;
    else if (rates->overall > 0)
        rates->eta_s = (double)(now->totals.rows_total - now->totals.rows_done) / rates->overall;
}

void progress_format_time(double time_s, char *text, size_t size)
{
    if (!(time_s >= 0 && time_s < 1e10)) {
        snprintf(text, size, "-");
        return;
    }
    long long s = llround(time_s);
    if (s >= 86400)
        snprintf(text, size, "%lldd %02lld:%02lld:%02lld", s / 86400, s / 3600 % 24, s / 60 % 60, s % 60);
    else
        snprintf(text, size, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
}

static double share_done(const struct progress_totals *totals)
{
    if (totals->rows_total == 0)
        return 1;
    return fmin((double)totals->rows_done / (double)totals->rows_total, 1);
}

void progress_render_bar(const struct progress_totals *totals, const struct progress_rates *rates, int width,
                         char *line, size_t size)
{
    static const char full[] = "####################", empty[] = "....................";
    char eta[48];
    /* Rounded down, as is the percentage: 100 % is for the end alone. */
    int cells = (int)(share_done(totals) * BAR_CELLS);

    progress_format_time(rates->eta_s, eta, sizeof(eta));
    int n = snprintf(line, size,
                     "[%.*s%.*s] %5.1f%% %llu/%llu  %.1f img/s (now %.1f)  ETA %s  failed %llu  decode %d%% "
                     "compute %d%% wait %d%%  shards %llu/%llu",
                     cells, full, BAR_CELLS - cells, empty, floor(share_done(totals) * 1000) / 10,
                     (unsigned long long)totals->rows_done, (unsigned long long)totals->rows_total,
                     rates->overall, rates->now, eta, (unsigned long long)totals->rows_failed,
                     rates->decode_percent, rates->compute_percent, rates->wait_percent,
                     (unsigned long long)totals->shards_done, (unsigned long long)totals->shards_total);
    /* A line as wide as the terminal would wrap, and \r could not take it back. */
    if (n >= width && (size_t)width <= size && width > 0)
        line[width - 1] = '\0';
}

void progress_render_line(const struct progress_totals *totals, const struct progress_rates *rates,
                          char *line, size_t size)
{
    char eta[48];

    progress_format_time(rates->eta_s, eta, sizeof(eta));
    snprintf(
        line, size,
        "rows=%llu/%llu done=%.1f%% img_per_s=%.1f img_per_s_now=%.1f decode=%d%% compute=%d%% wait=%d%% "
        "failed=%llu shards=%llu/%llu eta=%s",
        (unsigned long long)totals->rows_done, (unsigned long long)totals->rows_total,
        floor(share_done(totals) * 1000) / 10, rates->overall, rates->now, rates->decode_percent,
        rates->compute_percent, rates->wait_percent, (unsigned long long)totals->rows_failed,
        (unsigned long long)totals->shards_done, (unsigned long long)totals->shards_total, eta);
}

static void print(struct progress *progress, const struct progress_mark *now)
{
    char line[512];
    struct progress_rates rates;

    progress_rates(&progress->first, &progress->older, now, &rates);
    if (progress->mode == PROGRESS_BAR) {
        progress_render_bar(&now->totals, &rates, progress->width, line, sizeof(line));
        fprintf(progress->terminal, "\r%s\033[K", line);
        fflush(progress->terminal);
        progress->drawn = true;
        if (now->time_s - progress->newer.time_s >= WINDOW_S) {
            progress->older = progress->newer;
            progress->newer = *now;
        }
    } else {
        progress_render_line(&now->totals, &rates, line, sizeof(line));
        log_info("%s", line);
        progress->older = *now;
    }
    progress->printed_s = now->time_s;
}

bool progress_update(struct progress *progress, const struct progress_totals *totals, double time_s)
{
    double interval_s = progress->mode == PROGRESS_BAR ? BAR_INTERVAL_S : LINE_INTERVAL_S;
    struct progress_mark now = {time_s, *totals};

    if (progress->mode == PROGRESS_NONE || time_s - progress->printed_s < interval_s)
        return false;
    print(progress, &now);
    return true;
}

void progress_finish(struct progress *progress, const struct progress_totals *totals, double time_s)
{
    struct progress_mark now = {time_s, *totals};

    if (progress->mode == PROGRESS_NONE)
        return;
    print(progress, &now);
    if (progress->drawn)
        fputc('\n', progress->terminal);
    progress->drawn = false;
}
