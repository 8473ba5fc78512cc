#include "server/patience.h"

static const uint64_t NS_A_S = 1000000000, PERIOD_NS = PATIENCE_PERIOD_MS * UINT64_C(1000000);

struct patience patience_begin(unsigned n_workers, unsigned n_processors, uint64_t now_ns)
{
	bool is_shared = n_processors > 0 && n_workers > n_processors;
	return (struct patience){
		.since_ns = now_ns, .is_patient = is_shared, .is_always = is_shared};
}

bool patience_count(struct patience *p, unsigned n_events, uint64_t now_ns)
{
	if (p->is_always)
		return false;
	p->n_events += n_events;
	uint64_t took_ns = now_ns - p->since_ns;
	if (took_ns < PERIOD_NS)
		return false;
	uint64_t a_second = p->n_events * NS_A_S / took_ns;
	bool was_patient = p->is_patient;
	p->is_patient = a_second >= (was_patient ? PATIENCE_UNTIL : PATIENCE_FROM);
	p->since_ns = now_ns;
	p->n_events = 0;
	return p->is_patient != was_patient;
}
