/*
 * The counter on rank 0: what is handed out, who has left, when to stop. No MPI in it; locked by itself.
 */
#ifndef EYESORE_SHARDS_CLAIM_COUNTER_H
#define EYESORE_SHARDS_CLAIM_COUNTER_H

#include "shards/claim.h"

enum claim_request { CLAIM_ASK, CLAIM_TELL, CLAIM_HAND_BACK, CLAIM_LEAVE };

struct claim_counter;

enum status claim_counter_open(const struct claim_options *options, int n_ranks, struct claim_counter **out);
void claim_counter_close(struct claim_counter *counter);

/*
 * Serve one request of a rank. IN shard: for CLAIM_HAND_BACK. OUT answer: to CLAIM_ASK a shard, none or stop;
 * to the others none or stop.
 */
enum status claim_counter_serve(struct claim_counter *counter, int rank, enum claim_request request,
                                const struct claim_report *report, uint64_t shard,
                                struct claim_answer *answer);

void claim_counter_totals(struct claim_counter *counter, struct claim_totals *totals);

/* Have all ranks but 0 left? */
bool claim_counter_others_left(struct claim_counter *counter);

#endif
