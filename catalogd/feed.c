/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the log into the state: one raft_feed call is always outstanding; what it brings is applied
 * in one transaction. Then, in this order and in the same turn: commit, derive naming, publish,
 * tell watchers, answer proposers, ask for more.
 */
#include <inttypes.h>
#include <malloc.h>

#include "catalogd/catalogd.h"

enum { FEED_AGAIN_MS = 200, FEED_BEHIND_WAIT_MS = 20, LARGE_REST = 9, CHANGES_MANY = 10000 };

static void feed_ask(struct catalogd *c);

static void on_again(void *arg)
{
	feed_ask(arg);
}

/* All tables of it are of this index. A version that knew no faces left them as they were. */
static bool naming_is_of(struct kv_txn *naming, uint64_t index)
{
	static const char *const marks[] = { "applied", "faces" };
	struct str value, wanted = str_n(&index, sizeof(index));
	bool same = index != 0;

	for (size_t i = 0; i < ARRAY_SIZE(marks) && same; i++) {
		same = kv_get(naming, NAMING_META, str_of(marks[i]), &value) &&
		       str_eq(value, wanted);
	}
	return same;
}

void feed_state_opened(struct catalogd *c)
{
	struct kv_txn *state = db_begin(c->stores.state), *naming;

	catalog_open(c->core, state);
	c->feed.applied = catalog_applied(state, &c->feed.term);
	naming = db_begin(c->stores.naming);
	if (!naming_is_of(naming, catalog_naming_index(state))) {
		catalog_naming(c->core, state, naming, NAMING_ALL);
		if (kv_commit(naming)) {
			catalogd_give_up("naming");
		}
	} else {
		kv_abort(naming);
	}
	kv_abort(state);
	watches_reset(c);
	leader_state_opened(c);
	state = db_read(c->stores.state);
	if (state) {
		proposals_state_opened(c, state);
		kv_abort(state);
	}
	barriers_advance(c);
}

/* Sessions that came, changed or went; nodes that the leader may have to put right. */
static void follow_changes(struct catalogd *c, const struct catalog_change *changes, size_t count)
{
	struct kv_txn *t = db_read(c->stores.state);

	for (size_t i = 0; i < count && t; i++) {
		if (changes[i].kind == THING_SESSION) {
			ttl_session_changed(c, t, changes[i].name);
		} else if (changes[i].kind == THING_KV) {
			delays_key_changed(c, t, changes[i].name);
		} else if (changes[i].kind == THING_NODE || changes[i].kind == THING_NODE_CHECKS) {
			membership_changed(c, changes[i].name);
		}
	}
	if (t) {
		kv_abort(t);
	}
}

/*
 * A service of thousands of instances that changes in every batch must not eat the writer: after
 * deriving, large services wait until LARGE_REST times as long has passed. A change that comes
 * alone is in DNS before its writer has the answer.
 */
static void derive(struct catalogd *c)
{
	struct mono before = clock_mono();
	bool with_large = !mono_before(before, c->feed.large_after);
	struct kv_txn *state = db_read(c->stores.state), *naming;
	int64_t took_ns;

	if (!state) {
		catalogd_give_up("state");
	}
	naming = db_begin(c->stores.naming);
	catalog_naming(c->core, state, naming, with_large ? NAMING_CHANGED : NAMING_CHANGED_SMALL);
	kv_abort(state);
	if (kv_commit(naming)) {
		catalogd_give_up("naming");
	}
	took_ns = mono_diff_ns(clock_mono(), before);
	if (with_large) {
		c->feed.large_after = mono_add_ns(clock_mono(), LARGE_REST * took_ns);
	}
	if (catalog_naming_late(c->core) && !loop_timer_active(&c->feed.late)) {
		loop_timer_at(&c->feed.late, c->feed.large_after);
	}
}

static void on_late(void *arg)
{
	derive(arg);
}

static void derive_naming(struct catalogd *c)
{
	if (catalog_naming_changed(c->core) || catalog_replaced(c->core)) {
		derive(c);
	}
}

static void applied(struct catalogd *c)
{
	const struct catalog_change *changes;
	size_t count = catalog_changes(c->core, &changes);

	derive_naming(c);
	if (catalog_replaced(c->core)) {
		c->shown.restore_count++;
		catalogd_page(c);
		watches_reset(c);
		ttl_load(c);
		delays_load(c);
	} else {
		watches_add(c, c->feed.applied, changes, count);
		follow_changes(c, changes, count);
	}
	proposals_flush(c);
	barriers_advance(c);
	if (count > CHANGES_MANY || catalog_replaced(c->core)) {
		malloc_trim(0); /* what this took will not be needed again soon */
	}
}

static void apply_entries(struct catalogd *c, const struct raft_feed_reply *m)
{
	struct catalog_outcome outcome;
	struct mono before = clock_mono();
	uint64_t count = 0;
	struct kv_txn *t = db_begin(c->stores.state);

	catalog_begin(c->core, t);
	for (uint32_t i = 0; i < m->entries.count; i++) {
		const struct raft_entry *e = &m->entries.items[i];

		if (e->index <= c->feed.applied) {
			continue; /* an answer to an older question */
		}
		catalog_apply(c->core, e->index, e->term, e->command, &outcome);
		proposals_applied(c, &outcome);
		c->feed.applied = e->index;
		c->feed.term = e->term;
		count++;
	}
	catalog_finish(c->core);
	if (kv_commit(t)) {
		catalogd_give_up("state");
	}
	c->feed.since_snapshot += count;
	metrics_add(c->daemon->metrics, METRIC_FSM_APPLY,
		(double)mono_diff_ns(clock_mono(), before) / NS_PER_MS);
	applied(c);
}

/* The log does not reach back to what we have: only a snapshot can help. */
static void begin_from_snapshot(struct catalogd *c, uint64_t first_index)
{
	if (stores_snapshot_newest(&c->stores) <= c->feed.applied) {
		log_error("log-gap", "applied=%" PRIu64 " first=%" PRIu64 " snapshot=%" PRIu64,
			c->feed.applied, first_index, stores_snapshot_newest(&c->stores));
		return;
	}
	if (worker_busy(c->worker)) {
		return; /* it reads the environment that would be closed */
	}
	c->shown.ready = 0;
	catalogd_page(c);
	if (stores_renew(&c->stores)) {
		catalogd_give_up("renew");
	}
	c->shown.generation = c->stores.generation;
	catalogd_page(c);
	feed_state_opened(c);
}

static void on_confirmed(void *arg, int status)
{
	struct catalogd *c = arg;

	c->feed.confirming = false;
	if (status || c->shown.ready) {
		return; /* the next answer of the feed asks again */
	}
	c->shown.ready = 1;
	catalogd_page(c);
	leader_look(c);
	log_notice("state-ready", "applied=%" PRIu64 " generation=%" PRIu64, c->feed.applied,
		c->stores.generation);
}

/* How far the log goes only a leader knows: what was committed when it was asked after our start
 * must be applied here. */
static void ready_if_caught_up(struct catalogd *c)
{
	if (!c->shown.ready && !c->feed.confirming) {
		c->feed.confirming = true;
		barrier_wait(c, BARRIER_LEASE, on_confirmed, c);
	}
}

static void on_feed(void *arg, int status, struct str payload)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct catalogd *c = arg;
	struct raft_feed_reply m;

	c->feed.pending = NULL;
	if (!status && raft_feed_reply_decode(payload, &arena, &m)) {
		log_error("feed-malformed", "bytes=%zu", payload.n);
		status = ST_INVALID;
	}
	if (status) {
		/* Its own timeout means that nothing happened, or that raftd is away: ask again at
		 * once. */
		loop_timer_in(&c->feed.again, status == ST_TIMEOUT ? 0 : FEED_AGAIN_MS);
		return;
	}
	c->feed.commit_index = m.commit_index;
	if (m.snapshot_needed) {
		begin_from_snapshot(c, m.first_index);
		loop_timer_in(&c->feed.again, FEED_AGAIN_MS);
		return;
	}
	if (m.entries.count) {
		apply_entries(c, &m);
	}
	snapshots_log_seen(c, m.log_bytes);
	ready_if_caught_up(c);
	if (!c->daemon->draining || c->proposals.by_id.count) {
		feed_ask(c);
	}
}

static void feed_ask(struct catalogd *c)
{
	struct raft_feed m = { .after = c->feed.applied,
		.bytes_max = FEED_BYTES_MAX,
		.wait_ms = c->shown.ready ? FEED_WAIT_MS : FEED_BEHIND_WAIT_MS };

	if (!c->feed.pending) {
		c->feed.pending = IPC_CALL(c->raft, raft_feed, &m, FEED_WAIT_MS + 5000, on_feed, c);
	}
}

void feed_start(struct catalogd *c)
{
	loop_timer_init(&c->feed.again, c->daemon->loop, on_again, c);
	loop_timer_init(&c->feed.late, c->daemon->loop, on_late, c);
	feed_ask(c);
}

void feed_stop(struct catalogd *c)
{
	loop_timer_stop(&c->feed.again);
	loop_timer_stop(&c->feed.late);
	if (c->feed.pending) {
		ipc_cancel(take(c->feed.pending));
	}
}
