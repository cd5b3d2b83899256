/*
 * Log lines on stderr. In a scan they are key=value with rank and shard, fit for grep across a thousand
 * ranks:
 *
 *     time=2026-11-09T22:04:11Z level=warn rank=3 shard=120 msg="..."
 *
 * and for the other sub-commands, which a person types, `eyesore: message`. One write(2) a line, so lines of
 * several threads and ranks do not mix.
 */
#ifndef EYESORE_BASE_LOG_H
#define EYESORE_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Lines below `level` are dropped. The default is LOG_INFO. */
void log_set_level(enum log_level level);

/* From now on lines are key=value and carry this rank. */
void log_set_rank(int rank);

/* The shard this thread works on, or -1 for none (the default). Per thread. */
void log_set_shard(int64_t shard);

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)

#endif
