/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The leader's duties and when they run: a leadership begins here when raftd's page says that this
 * server leads in a new term and the state has caught up with what was committed before; then all
 * duties begin anew. It ends the moment the page says so or the lease is over. What duties propose
 * carries the term (propose_as_leader), so that nothing of it counts once another leads.
 *
 * Also the reaping of tombstones.
 */
#include <inttypes.h>

#include "catalogd/catalogd.h"

enum { REAP_EVERY_MS = 30000, TOMBSTONE_TTL_MS = 15 * 60 * 1000, LOOK_EVERY_MS = 50 };

static bool page_leads(struct catalogd *c, struct raft_page *page)
{
	return page_read(c->raft_page, page) && page->is_leader &&
	       page->lease_until_ns > clock_mono().ns;
}

bool leader_here(struct catalogd *c)
{
	struct raft_page page;

	return page_leads(c, &page) && page.term == c->leader.term;
}

bool leader_knows_all(struct catalogd *c)
{
	struct raft_page page;

	/* Of a quorum of one nobody was told what is not applied here yet. */
	return page_leads(c, &page) && page.term == c->leader.term &&
	       (page.lease_until_ns == INT64_MAX || c->feed.applied >= page.commit_index);
}

static void leadership_begin(struct catalogd *c, uint64_t term)
{
	log_notice("leadership", "term=%" PRIu64 " applied=%" PRIu64, term, c->feed.applied);
	c->leader.term = term;
	ttl_load(c);
	delays_load(c);
	membership_now(c);
	autopilot_begin(c);
}

/* Under load there is always something that is committed and not applied yet. What counts is what
 * was committed when this leadership was first seen: leaderships before it have nothing behind
 * that. */
static bool is_caught_up(struct catalogd *c, const struct raft_page *page)
{
	struct leader *l = &c->leader;

	if (l->seen_term != page->term) {
		l->seen_term = page->term;
		l->seen_commit = page->commit_index;
	}
	return c->shown.ready && c->feed.applied >= l->seen_commit;
}

void leader_look(struct catalogd *c)
{
	struct raft_page page;
	bool leads = page_leads(c, &page);

	if (leads && page.term != c->leader.term && is_caught_up(c, &page)) {
		leadership_begin(c, page.term);
	} else if (!leads && c->leader.term) {
		log_notice("leadership-over", "term=%" PRIu64, c->leader.term);
		c->leader.term = 0;
	}
}

static void on_look(void *arg)
{
	struct catalogd *c = arg;

	loop_timer_in(&c->leader.look_timer, LOOK_EVERY_MS);
	leader_look(c);
}

void leader_state_opened(struct catalogd *c)
{
	c->leader.term = 0; /* should we lead, the leadership begins anew with this state */
	ttl_load(c);
	delays_load(c);
}

/* ---- reaping ---- */

/* Is there anything that a reap up to this index would remove? */
static bool anything_to_reap(struct catalogd *c, uint64_t index)
{
	static const enum state_table tables[] = { STATE_TOMBSTONE_ORDER, STATE_THING_GRAVES };
	struct kv_txn *t = db_read(c->stores.state);
	struct kv_walk w;
	bool found = false;
	uint64_t first;

	for (size_t i = 0; t && i < ARRAY_SIZE(tables) && !found; i++) {
		kv_walk_init(&w, t, tables[i], STR(""));
		if (kv_walk_next(&w)) {
			memcpy(&first, w.at, sizeof(first));
			found = __builtin_bswap64(first) <= index;
		}
	}
	if (t) {
		kv_abort(t);
	}
	return found;
}

static void on_reaped(void *arg, int status, const struct result *result)
{
	struct catalogd *c = arg;

	metrics_add(c->daemon->metrics, METRIC_REAP, 0);
}

/* Every 30 s the applied index is noted; what was deleted up to the note of 15 minutes ago may be
 * forgotten. */
static void on_reap(void *arg)
{
	struct catalogd *c = arg;
	struct leader *l = &c->leader;
	struct cmd_reap cmd;

	loop_timer_in(&l->reap_timer, REAP_EVERY_MS);
	cmd.index = l->samples_count < REAP_SAMPLES ? 0 : l->samples[0];
	if (l->samples_count == REAP_SAMPLES) {
		memmove(l->samples, l->samples + 1, (REAP_SAMPLES - 1) * sizeof(l->samples[0]));
		l->samples_count--;
	}
	l->samples[l->samples_count++] = c->feed.applied;
	if (leader_here(c) && anything_to_reap(c, cmd.index)) {
		PROPOSE_AS_LEADER(c, cmd_reap, &cmd, on_reaped, c);
	}
}

_Static_assert(
	(REAP_SAMPLES - 1) * REAP_EVERY_MS >= TOMBSTONE_TTL_MS, "notes reach back far enough");

void leader_init(struct catalogd *c)
{
	ttl_init(c);
	delays_init(c);
	loop_timer_init(&c->leader.look_timer, c->daemon->loop, on_look, c);
	loop_timer_init(&c->leader.reap_timer, c->daemon->loop, on_reap, c);
}

void leader_start(struct catalogd *c)
{
	loop_timer_in(&c->leader.look_timer, 0);
	loop_timer_in(&c->leader.reap_timer, REAP_EVERY_MS);
}

void leader_fini(struct catalogd *c)
{
	ttl_fini(c);
	delays_fini(c);
	loop_timer_stop(&c->leader.look_timer);
	loop_timer_stop(&c->leader.reap_timer);
}
