/*
 * Rows of the manifest become work for the pipeline.
 */
#ifndef EYESORE_JOB_LOAD_H
#define EYESORE_JOB_LOAD_H

#include "job/pipeline.h"
#include "job/run.h"

/* This rank's own reader of the manifest; run_plan has been there. OUT: manifest_close. */
enum status load_open(const struct run *run, struct manifest **out);

/* Read a shard's rows. OUT work: work_free, or the pipeline's. */
enum status load_shard(const struct run *run, struct manifest *manifest, uint64_t index, struct work **out);

/* 64 bits of an id, evenly spread: who is in a sample depends on ids alone. */
uint64_t load_hash_id(const char *id, size_t size);

/* Put one manifest row into row `row` of a work, exhaustive as --all-stages and --probe say. */
enum status load_row(const struct run *run, const struct manifest_row *from, struct work *work, uint64_t row);

#endif
