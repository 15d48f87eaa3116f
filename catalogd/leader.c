/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The leader's clock: session TTLs and the reaping of tombstones. Every server keeps the TTLs, so
 * that a new leader has them at once; only the leader acts. A session that was not renewed ends 1.0
 * to 1.2 TTL after its last renewal.
 */
#include <inttypes.h>

#include "catalogd/catalogd.h"

enum { REAP_EVERY_MS = 30000, TOMBSTONE_TTL_MS = 15 * 60 * 1000, EXPIRE_AGAIN_MS = 2000 };

struct ttl_session {
	struct map_node node; /* by id */
	struct uuid id;
	struct list link; /* in its slot */
	struct mono deadline;
	int64_t ttl_ms;
};

bool leader_here(struct catalogd *c)
{
	struct raft_page page;

	return page_read(c->raft_page, &page) && page.is_leader &&
	       page.lease_until_ns > clock_mono().ns;
}

static uint64_t tick_of(struct mono t)
{
	return (uint64_t)(t.ns / NS_PER_MS / TTL_TICK_MS);
}

static void session_arm(struct catalogd *c, struct ttl_session *s, int64_t ms)
{
	s->deadline = mono_add_ms(loop_now(c->daemon->loop), ms);
	list_del(&s->link);
	list_add_tail(&c->leader.slots[(tick_of(s->deadline) + 1) % TTL_SLOTS], &s->link);
}

/* A tenth over the TTL: a renewal at the last moment still counts. */
static void session_renewed(struct catalogd *c, struct ttl_session *s)
{
	session_arm(c, s, s->ttl_ms + s->ttl_ms / 10);
}

static struct ttl_session *session_find(struct catalogd *c, const struct uuid *id)
{
	return map_find(&c->leader.sessions, str_n(id->b, sizeof(id->b)), struct ttl_session, node);
}

static void session_drop(struct catalogd *c, struct ttl_session *s)
{
	map_del(&c->leader.sessions, &s->node);
	list_del(&s->link);
	free(s);
	metrics_set(c->daemon->metrics, METRIC_TTL_ACTIVE, (double)c->leader.sessions.count);
	if (!c->leader.sessions.count) {
		loop_timer_stop(&c->leader.ttl_timer);
	}
}

static void session_add(struct catalogd *c, const struct session_def *def)
{
	struct ttl_session *s;
	int64_t ns;

	if (!def->ttl.n || duration_parse(def->ttl, &ns, NULL) || ns < NS_PER_MS ||
		session_find(c, &def->id)) {
		return;
	}
	s = xcalloc(1, sizeof(*s));
	s->id = def->id;
	s->ttl_ms = ns / NS_PER_MS;
	map_add(&c->leader.sessions, &s->node, str_n(s->id.b, sizeof(s->id.b)));
	session_renewed(c, s);
	metrics_set(c->daemon->metrics, METRIC_TTL_ACTIVE, (double)c->leader.sessions.count);
	if (!loop_timer_active(&c->leader.ttl_timer)) {
		c->leader.tick = tick_of(loop_now(c->daemon->loop));
		loop_timer_in(&c->leader.ttl_timer, TTL_TICK_MS);
	}
}

void leader_session_changed(struct catalogd *c, struct kv_txn *t, struct str id)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct session_record r;
	struct str value;
	struct uuid uuid;

	must(id.n == sizeof(uuid.b));
	memcpy(uuid.b, id.p, sizeof(uuid.b));
	if (!kv_get(t, STATE_SESSIONS, id, &value)) {
		struct ttl_session *s = session_find(c, &uuid);

		if (s) {
			session_drop(c, s);
		}
	} else if (!session_record_decode(value, &arena, &r)) {
		session_add(c, &r.def);
	}
}

static void sessions_clear(struct catalogd *c)
{
	struct ttl_session *s, *following;

	map_for_each(s, following, &c->leader.sessions, node)
	{
		session_drop(c, s);
	}
}

void leader_sessions_load(struct catalogd *c)
{
	struct kv_txn *t = db_read(c->stores.state);
	struct kv_walk w;

	sessions_clear(c);
	if (!t) {
		return;
	}
	kv_walk_init(&w, t, STATE_SESSIONS, STR(""));
	while (kv_walk_next(&w)) {
		leader_session_changed(c, t, w.key);
	}
	kv_abort(t);
}

static void session_expire(struct catalogd *c, struct ttl_session *s)
{
	struct cmd_session_destroy cmd = { .id = s->id, .cause = STR("ttl") };
	char id[UUID_TEXT_SIZE + 1];

	if (leader_here(c)) {
		uuid_text(&s->id, id);
		log_debug("session-expired", "id=%s", id);
		metrics_add(c->daemon->metrics, METRIC_TTL_INVALIDATE, 1);
		PROPOSE(c, cmd_session_destroy, &cmd, NULL, NULL);
	}
	/* It goes when the command comes back; until then it is tried again. */
	session_arm(c, s, EXPIRE_AGAIN_MS);
}

static void slot_run(struct catalogd *c, struct list *slot, struct mono now)
{
	struct ttl_session *s, *following;

	list_for_each_safe (s, following, slot, link) {
		if (!mono_before(now, s->deadline)) {
			session_expire(c, s);
		}
	}
}

static void on_tick(void *arg)
{
	struct catalogd *c = arg;
	struct mono now = loop_now(c->daemon->loop);
	uint64_t tick = tick_of(now), behind = min_of(tick - c->leader.tick, (uint64_t)TTL_SLOTS);

	for (uint64_t i = tick - behind + 1; i <= tick; i++) {
		slot_run(c, &c->leader.slots[i % TTL_SLOTS], now);
	}
	c->leader.tick = tick;
	if (c->leader.sessions.count) {
		loop_timer_in(&c->leader.ttl_timer, TTL_TICK_MS);
	}
}

static void renew_reply(
	struct ipc_call *call, enum result_kind kind, struct str text, struct str payload)
{
	struct session_renew_reply reply = {
		.result = { .kind = (uint8_t)kind, .text = text, .payload = payload }
	};

	IPC_REPLY(call, session_renew, &reply);
}

void handle_session_renew(struct catalogd *c, struct ipc_call *call, const struct session_renew *m)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	struct ttl_session *s = session_find(c, &m->id);
	struct kv_txn *t;
	struct rights rights;
	struct str value;

	rights_resolve(c, m->token, &rights);
	if (rights_check(&rights, COMMAND_cmd_session_create, STR(""), &text)) {
		renew_reply(call, RESULT_DENIED, buf_str(&text), STR_NONE);
		return;
	}
	if (!leader_here(c)) {
		ipc_refuse(call, ST_NOT_LEADER);
		return;
	}
	t = c->shown.ready ? db_read(c->stores.state) : NULL;
	if (!t) {
		ipc_refuse(call, ST_NOT_READY);
		return;
	}
	if (kv_get(t, STATE_SESSIONS, str_n(m->id.b, sizeof(m->id.b)), &value)) {
		struct cursor cursor = cursor_of(value);

		buf_put_char(&text, '[');
		buf_put_str(&text, wire_get_STR(&cursor, NULL));
		buf_put_char(&text, ']');
		if (s) {
			session_renewed(c, s);
		}
		renew_reply(call, RESULT_OK, STR_NONE, buf_str(&text));
	} else {
		buf_put_lit(&text, "Session id '");
		uuid_render(&text, &m->id);
		buf_put_lit(&text, "' not found");
		renew_reply(call, RESULT_NOT_FOUND, buf_str(&text), STR_NONE);
	}
	kv_abort(t);
	metrics_add(c->daemon->metrics, METRIC_SESSION_RENEW, 0);
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
		found = found || kv_count(t, STATE_LOCK_DELAYS) > 0;
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
		PROPOSE(c, cmd_reap, &cmd, on_reaped, c);
	}
}

_Static_assert(
	(REAP_SAMPLES - 1) * REAP_EVERY_MS >= TOMBSTONE_TTL_MS, "notes reach back far enough");

void leader_init(struct catalogd *c)
{
	map_init(&c->leader.sessions, random_u64());
	for (size_t i = 0; i < TTL_SLOTS; i++) {
		list_init(&c->leader.slots[i]);
	}
	loop_timer_init(&c->leader.ttl_timer, c->daemon->loop, on_tick, c);
	loop_timer_init(&c->leader.reap_timer, c->daemon->loop, on_reap, c);
}

void leader_start(struct catalogd *c)
{
	loop_timer_in(&c->leader.reap_timer, REAP_EVERY_MS);
}

void leader_fini(struct catalogd *c)
{
	sessions_clear(c);
	loop_timer_stop(&c->leader.ttl_timer);
	loop_timer_stop(&c->leader.reap_timer);
	map_fini(&c->leader.sessions);
}
