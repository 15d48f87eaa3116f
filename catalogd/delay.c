/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lock delays: the leader counts them by its own clock and ends them with a command. The rows are
 * the state's; here is when each is over. After an election all begin anew: never shorter than
 * promised, whatever the clocks of the servers say.
 */
#include "catalogd/catalogd.h"

enum { END_AGAIN_MS = 2000, NAME_SIZE = KV_NAME_MAX };

struct delay {
	struct map_node node; /* by key */
	struct wheel_item item;
	uint64_t index;
	char key[];
};

static void delay_drop(struct catalogd *c, struct delay *d)
{
	map_del(&c->leader.delays, &d->node);
	wheel_del(&c->leader.delay_wheel, &d->item);
	free(d);
}

static void delay_follow(struct catalogd *c, struct str key, const struct lock_delay_record *record)
{
	struct delay *d = map_find(&c->leader.delays, key, struct delay, node);

	if (d && d->index == record->index) {
		return;
	}
	if (!d) {
		d = xcalloc(1, sizeof(*d) + key.n);
		memcpy(d->key, key.p, key.n);
		map_add(&c->leader.delays, &d->node, str_n(d->key, key.n));
	}
	d->index = record->index;
	wheel_arm(&c->leader.delay_wheel, &d->item, record->delay_ms);
}

void delays_key_changed(struct catalogd *c, struct kv_txn *t, struct str key)
{
	struct lock_delay_record record;
	struct str value;

	if (kv_count(t, STATE_LOCK_DELAYS) && kv_get(t, STATE_LOCK_DELAYS, key, &value) &&
		lock_delay_get(value, &record)) {
		delay_follow(c, key, &record);
	}
}

static void on_ended(void *arg, int status, const struct result *result)
{
	if (status) {
		log_debug("delay-not-ended", "status=%s", status_name(status));
	}
}

/* Is it over already? Else it is ended, and looked at again soon. */
static void on_due(void *arg, struct wheel_item *item)
{
	struct catalogd *c = arg;
	struct delay *d = container_of(item, struct delay, item);
	struct kv_txn *t = db_read(c->stores.state);
	struct lock_delay one = { .key = d->node.key, .index = d->index };
	struct cmd_lock_delays_end cmd = { .items = { &one, 1 } };
	struct lock_delay_record record;
	struct str value;
	bool there = t && kv_get(t, STATE_LOCK_DELAYS, d->node.key, &value) &&
		     lock_delay_get(value, &record) && record.index == d->index;

	if (t) {
		kv_abort(t);
	}
	if (!there) {
		delay_drop(c, d);
		return;
	}
	wheel_arm(&c->leader.delay_wheel, item, END_AGAIN_MS);
	if (leader_here(c)) {
		PROPOSE_AS_LEADER(c, cmd_lock_delays_end, &cmd, on_ended, c);
	}
}

static void delays_clear(struct catalogd *c)
{
	struct delay *d, *following;

	map_for_each(d, following, &c->leader.delays, node)
	{
		delay_drop(c, d);
	}
}

void delays_load(struct catalogd *c)
{
	struct kv_txn *t = db_read(c->stores.state);
	struct lock_delay_record record;
	struct kv_walk w;

	delays_clear(c);
	if (!t) {
		return;
	}
	kv_walk_init(&w, t, STATE_LOCK_DELAYS, STR(""));
	while (kv_walk_next(&w)) {
		if (lock_delay_get(w.value, &record)) {
			delay_follow(c, w.key, &record);
		}
	}
	kv_abort(t);
}

void delays_init(struct catalogd *c)
{
	map_init(&c->leader.delays, random_u64());
	wheel_init(&c->leader.delay_wheel, c->daemon->loop, on_due, c);
}

void delays_fini(struct catalogd *c)
{
	delays_clear(c);
	wheel_fini(&c->leader.delay_wheel);
	map_fini(&c->leader.delays);
}
