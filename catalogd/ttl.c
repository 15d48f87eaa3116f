/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The TTLs of sessions. Every server keeps them, so that a new leader has them at once; only the
 * leader acts. A session that was not renewed ends 1.1 to 1.2 TTL after its last renewal, its
 * creation or the beginning of a leadership, whichever was last.
 */
#include "catalogd/catalogd.h"

enum { EXPIRE_AGAIN_MS = 2000 };

struct ttl_session {
	struct map_node node; /* by id */
	struct uuid id;
	struct wheel_item item;
	int64_t ttl_ms;
	bool ending; /* its end is proposed: no renewal can save it */
};

/* A tenth over the TTL: a renewal at the last moment still counts. */
static void session_renewed(struct catalogd *c, struct ttl_session *s)
{
	s->ending = false;
	wheel_arm(&c->leader.ttl_wheel, &s->item, s->ttl_ms + s->ttl_ms / 10);
}

static struct ttl_session *session_find(struct catalogd *c, const struct uuid *id)
{
	return map_find(&c->leader.sessions, str_n(id->b, sizeof(id->b)), struct ttl_session, node);
}

static void session_drop(struct catalogd *c, struct ttl_session *s)
{
	map_del(&c->leader.sessions, &s->node);
	wheel_del(&c->leader.ttl_wheel, &s->item);
	free(s);
	metrics_set(c->daemon->metrics, METRIC_TTL_ACTIVE, (double)c->leader.sessions.count);
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
}

void ttl_session_changed(struct catalogd *c, struct kv_txn *t, struct str id)
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

void ttl_load(struct catalogd *c)
{
	struct kv_txn *t = db_read(c->stores.state);
	struct kv_walk w;

	sessions_clear(c);
	if (!t) {
		return;
	}
	kv_walk_init(&w, t, STATE_SESSIONS, STR(""));
	while (kv_walk_next(&w)) {
		ttl_session_changed(c, t, w.key);
	}
	kv_abort(t);
}

/* It goes when the command comes back; until then it is tried again. */
static void on_due(void *arg, struct wheel_item *item)
{
	struct catalogd *c = arg;
	struct ttl_session *s = container_of(item, struct ttl_session, item);
	struct cmd_session_destroy cmd = { .id = s->id, .cause = STR("ttl") };
	char id[UUID_TEXT_SIZE + 1];

	wheel_arm(&c->leader.ttl_wheel, item, EXPIRE_AGAIN_MS);
	if (!leader_here(c)) {
		return;
	}
	uuid_text(&s->id, id);
	log_debug("session-expired", "id=%s", id);
	metrics_add(c->daemon->metrics, METRIC_TTL_INVALIDATE, 1);
	s->ending = true;
	PROPOSE_AS_LEADER(c, cmd_session_destroy, &cmd, NULL, NULL);
}

void ttl_init(struct catalogd *c)
{
	map_init(&c->leader.sessions, random_u64());
	wheel_init(&c->leader.ttl_wheel, c->daemon->loop, on_due, c);
}

void ttl_fini(struct catalogd *c)
{
	sessions_clear(c);
	wheel_fini(&c->leader.ttl_wheel);
	map_fini(&c->leader.sessions);
}

/* ---- renewal ---- */

static void renew_reply(
	struct ipc_call *call, enum result_kind kind, struct str text, struct str payload)
{
	struct session_renew_reply reply = {
		.result = { .kind = (uint8_t)kind, .text = text, .payload = payload }
	};

	IPC_REPLY(call, session_renew, &reply);
}

static void not_found(struct ipc_call *call, const struct uuid *id)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };

	buf_put_lit(&text, "Session id '");
	uuid_render(&text, id);
	buf_put_lit(&text, "' not found");
	renew_reply(call, RESULT_NOT_FOUND, buf_str(&text), STR_NONE);
}

/* false: there is no such session in the state here. */
static bool renew(struct catalogd *c, struct ipc_call *call, const struct uuid *id)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	struct ttl_session *s = session_find(c, id);
	struct kv_txn *t = c->shown.ready ? db_read(c->stores.state) : NULL;
	struct str value;
	bool found;

	if (!t) {
		ipc_refuse(call, ST_NOT_READY);
		return true;
	}
	found = kv_get(t, STATE_SESSIONS, str_n(id->b, sizeof(id->b)), &value);
	if (found && s && s->ending) {
		not_found(call, id);
	} else if (found) {
		struct cursor cursor = cursor_of(value);

		buf_put_char(&text, '[');
		buf_put_str(&text, wire_get_STR(&cursor, NULL));
		buf_put_char(&text, ']');
		if (s) {
			session_renewed(c, s);
		}
		renew_reply(call, RESULT_OK, STR_NONE, buf_str(&text));
	}
	kv_abort(t);
	return found;
}

struct renewal {
	struct catalogd *c;
	struct ipc_call *call;
	struct uuid id;
};

/* All that was committed when the question came in is applied. */
static void on_confirmed(void *arg, int status)
{
	struct renewal *r = arg;

	if (status == ST_CLOSED) {
		/* unanswered, it is asked again of the process after us */
	} else if (status || !leader_here(r->c)) {
		ipc_refuse(r->call, status ? status : ST_NOT_LEADER);
	} else if (!renew(r->c, r->call, &r->id)) {
		not_found(r->call, &r->id);
	}
	free(r);
}

void handle_session_renew(struct catalogd *c, struct ipc_call *call, const struct session_renew *m)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	struct renewal *r;
	struct rights rights;

	rights_resolve(c, m->token, &rights);
	if (rights_check(&rights, COMMAND_cmd_session_create, STR(""), &text)) {
		renew_reply(call, RESULT_DENIED, buf_str(&text), STR_NONE);
		return;
	}
	if (!leader_here(c)) {
		ipc_refuse(call, ST_NOT_LEADER);
		return;
	}
	metrics_add(c->daemon->metrics, METRIC_SESSION_RENEW, 0);
	if (renew(c, call, &m->id)) {
		return;
	}
	if (leader_knows_all(c)) {
		not_found(call, &m->id);
		return;
	}
	/* The server where it was made may be ahead of us. */
	r = xcalloc(1, sizeof(*r));
	*r = (struct renewal) { c, call, m->id };
	barrier_wait(c, BARRIER_LEASE, on_confirmed, r);
}
