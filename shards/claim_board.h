/*
 * The missing shards and who holds them. No MPI, no lock and no clock in it: claim_counter.c has them.
 *
 * Handed out first is what came back, then the shards in the order given, last those that have failed
 * somewhere, each to another host where there is one. When nothing is left but what others hold, a shard that
 * is held for long is given to a second rank: whoever commits it first wins, the other is told to drop it.
 */
#ifndef EYESORE_SHARDS_CLAIM_BOARD_H
#define EYESORE_SHARDS_CLAIM_BOARD_H

#include "shards/claim.h"

struct claim_board;

/* IN hosts: [n_ranks], as claim_host_id makes them; copied. */
enum status claim_board_open(const struct claim_options *options, const uint64_t *hosts, int n_ranks,
                             struct claim_board **out);
void claim_board_close(struct claim_board *board);

/* What `rank` shall do next: OUT answer's kind and shard. */
void claim_board_pick(struct claim_board *board, int rank, double now_s, struct claim_answer *answer);

/* The shard's part is in place. */
void claim_board_done(struct claim_board *board, int rank, uint64_t shard, double now_s);

/* The rank gives the shard back undone: because it stops, or because the shard failed on its host. */
void claim_board_hand_back(struct claim_board *board, int rank, uint64_t shard);
enum status claim_board_failed(struct claim_board *board, int rank, uint64_t shard);

/* The rank will ask for nothing more; what it holds is free again. */
void claim_board_leave(struct claim_board *board, int rank);

/* OUT shard: one that `rank` still works on and another has committed; told once. */
bool claim_board_drop(struct claim_board *board, int rank, uint64_t *shard);

/* Shards that nobody holds and that are not done. */
uint64_t claim_board_unclaimed(const struct claim_board *board);

#endif
