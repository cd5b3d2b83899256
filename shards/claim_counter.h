/*
 * The counter on rank 0: what is handed out, who has left, when to stop. No MPI in it; locked by itself.
 */
#ifndef EYESORE_SHARDS_CLAIM_COUNTER_H
#define EYESORE_SHARDS_CLAIM_COUNTER_H

#include "shards/claim.h"

enum claim_request { CLAIM_ASK, CLAIM_TELL, CLAIM_DONE, CLAIM_HAND_BACK, CLAIM_FAILED, CLAIM_LEAVE };

struct claim_counter;

/* IN hosts: [n_ranks] of claim_host_id. */
enum status claim_counter_open(const struct claim_options *options, const uint64_t *hosts, int n_ranks,
                               struct claim_counter **out);
void claim_counter_close(struct claim_counter *counter);

/*
 * Serve one request of a rank. IN shard: for CLAIM_DONE, CLAIM_HAND_BACK and CLAIM_FAILED. OUT answer: to
 * CLAIM_ASK all of it; to the others stop and drop alone.
 */
enum status claim_counter_serve(struct claim_counter *counter, int rank, enum claim_request request,
                                const struct claim_report *report, uint64_t shard,
                                struct claim_answer *answer);

void claim_counter_totals(struct claim_counter *counter, struct claim_totals *totals);

/* Have all ranks but 0 left? */
bool claim_counter_others_left(struct claim_counter *counter);

#endif
