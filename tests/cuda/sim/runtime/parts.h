/* What the parts of the simulated runtime do at a reset and at the end of a test. Under the lock. */
#ifndef EYESORE_SIM_PARTS_H
#define EYESORE_SIM_PARTS_H

namespace sim
{

void ensure_started();

/* Queued work, streams, events, graphs: forgotten without running. */
void parts_drop_all();
void drop_events();

void fault_reset();
void fault_set(const char *call, int n, int error);

int count_device_memory();
int count_pinned_memory();
int count_streams();
int count_events();
int count_graphs();
int count_graph_execs();
int count_captures(); /* begun and not ended */

} // namespace sim

#endif
