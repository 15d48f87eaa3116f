/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key/value store: writes with their conditions, locks, deletion with tombstones, which keep
 * the indexes of prefixes moving forward until they are reaped.
 */
#include "catalogd/core/internal.h"

enum { KV_HEAD_SIZE = 4 * 8 + 16 + 4 };

bool kv_find(struct catalog *c, struct str key, struct kv_record *out)
{
	struct str value;

	return key.n && key.n <= KV_NAME_MAX && table_get(c, STATE_KVS, key, &value) &&
	       !kv_record_decode(value, NULL, out);
}

void session_key_row(struct catalog *c, const struct uuid *session, struct str key, bool add)
{
	struct state_key room;
	struct str row;

	if (uuid_is_zero(session)) {
		return;
	}
	memcpy(room.bytes, session->b, sizeof(session->b));
	memcpy(room.bytes + sizeof(session->b), key.p, key.n);
	row = str_n(room.bytes, sizeof(session->b) + key.n);
	if (add) {
		table_put(c, STATE_SESSION_KEYS, row, STR(""));
	} else {
		table_del(c, STATE_SESSION_KEYS, row);
	}
}

/* Written in place: a value may be large. value must not be borrowed from the tables. */
static void kv_write(struct catalog *c, struct str key, const struct kv_record *r)
{
	uint32_t value_size = (uint32_t)r->value.n;
	char *p = table_reserve(c, STATE_KVS, key, KV_HEAD_SIZE + r->value.n);

	if (p) {
		const uint64_t head[] = { r->create_index, r->modify_index, r->lock_index,
			r->flags };

		memcpy(p, head, sizeof(head));
		memcpy(p + sizeof(head), r->session.b, sizeof(r->session.b));
		memcpy(p + KV_HEAD_SIZE - sizeof(value_size), &value_size, sizeof(value_size));
		if (r->value.n) {
			memcpy(p + KV_HEAD_SIZE, r->value.p, r->value.n);
		}
	}
	mark(c, THING_KV, key);
	mark(c, THING_KVS, STR(""));
}

static int kv_check(struct catalog *c, const struct cmd_kv *cmd)
{
	if (!cmd->key.n) {
		return fail(c, "Must provide key");
	}
	if (cmd->key.n > KV_NAME_MAX) {
		return fail(c, "Key is too long (%zu > %d bytes)", cmd->key.n, KV_NAME_MAX);
	}
	if (cmd->value.n > KV_VALUE_MAX) {
		return fail(c, "Value is too large (%zu > %d bytes)", cmd->value.n, KV_VALUE_MAX);
	}
	return 0;
}

int kv_set(struct catalog *c, const struct cmd_kv *cmd, uint64_t lock_index,
	const struct uuid *session)
{
	struct kv_record before = { .create_index = c->index }, now;
	bool known = kv_find(c, cmd->key, &before);
	bool moved = !uuid_eq(&before.session, session);

	now = (struct kv_record) {
		.create_index = before.create_index,
		.modify_index = c->index,
		.lock_index = lock_index,
		.flags = cmd->flags,
		.session = *session,
		.value = cmd->value,
	};
	if (known && !moved && before.lock_index == lock_index && before.flags == cmd->flags &&
		str_eq(before.value, cmd->value)) {
		return 0;
	}
	if (moved) {
		session_key_row(c, &before.session, cmd->key, false);
		session_key_row(c, session, cmd->key, true);
	}
	kv_write(c, cmd->key, &now);
	return 0;
}

void kv_release(struct catalog *c, struct str key)
{
	struct kv_record r;

	key = arena_str(&c->arena, key);
	if (kv_find(c, key, &r)) {
		session_key_row(c, &r.session, key, false);
		must(kv_find(c, key, &r));
		r.value = arena_str(&c->arena, r.value);
		r.session = (struct uuid) { { 0 } };
		r.modify_index = c->index;
		kv_write(c, key, &r);
	}
}

/* The row of a tombstone in the order in which they were made. */
static struct str order_key(struct state_key *room, uint64_t index, struct str key)
{
	memcpy(be64_key(room, index), key.p, key.n);
	return str_n(room->bytes, sizeof(index) + key.n);
}

void kv_delete(struct catalog *c, struct str key)
{
	struct kv_record r;
	struct state_key room;
	uint64_t buried;

	if (!kv_find(c, key, &r)) {
		return;
	}
	session_key_row(c, &r.session, key, false);
	table_del(c, STATE_KVS, key);
	if (table_get_u64(c, STATE_TOMBSTONES, key, &buried)) {
		table_del(c, STATE_TOMBSTONE_ORDER, order_key(&room, buried, key));
	}
	table_put_u64(c, STATE_TOMBSTONES, key, c->index);
	table_put(c, STATE_TOMBSTONE_ORDER, order_key(&room, c->index, key), STR(""));
	mark(c, THING_KV, key);
	mark(c, THING_KVS, STR(""));
}

static void kv_delete_tree(struct catalog *c, struct str prefix)
{
	struct kv_walk w;

	if (prefix.n > KV_NAME_MAX) {
		return;
	}
	kv_walk_init(&w, c->t, STATE_KVS, prefix);
	while (kv_walk_next(&w)) {
		kv_delete(c, str_n(w.at, w.key_size));
	}
}

bool lock_delayed(struct catalog *c, struct str key)
{
	struct str ignored;

	return table_get(c, STATE_LOCK_DELAYS, key, &ignored);
}

void lock_delay_put(struct catalog *c, struct str key, int64_t ms)
{
	OWN_EMBEDDED(buf_fini) struct buf bytes = { 0 };
	struct lock_delay_record record = { .delay_ms = ms, .index = c->index };

	lock_delay_record_encode(&bytes, &record);
	table_put(c, STATE_LOCK_DELAYS, key, buf_str(&bytes));
}

/* A delay that began anew meanwhile has another index, and stays. */
void lock_delays_end(struct catalog *c, const struct cmd_lock_delays_end *cmd)
{
	for (uint32_t i = 0; i < cmd->items.count; i++) {
		const struct lock_delay *d = &cmd->items.items[i];
		struct lock_delay_record record;
		struct str value;

		if (d->key.n && d->key.n <= KV_NAME_MAX &&
			table_get(c, STATE_LOCK_DELAYS, d->key, &value) &&
			lock_delay_get(value, &record) && record.index == d->index) {
			table_del(c, STATE_LOCK_DELAYS, d->key);
		}
	}
}

static int kv_lock(struct catalog *c, const struct cmd_kv *cmd, bool *done_out)
{
	struct kv_record r = { .lock_index = 0 };
	struct uuid session;
	bool exists;

	if (lock_delayed(c, cmd->key)) {
		return 0;
	}
	if (!cmd->session.n) {
		return fail(c, "missing session");
	}
	if (session_lookup(c, cmd->session, &session, &exists)) {
		return ST_INVALID;
	}
	if (!exists) {
		return fail(c, "invalid session %s", quoted(c, cmd->session));
	}
	kv_find(c, cmd->key, &r);
	*done_out = uuid_is_zero(&r.session) || uuid_eq(&r.session, &session);
	if (!*done_out) {
		return 0;
	}
	return kv_set(c, cmd, r.lock_index + (uuid_is_zero(&r.session) ? 1 : 0), &session);
}

static int kv_unlock(struct catalog *c, const struct cmd_kv *cmd, bool *done_out)
{
	struct kv_record r;
	struct uuid session, none = { { 0 } };

	if (!cmd->session.n) {
		return fail(c, "missing session");
	}
	*done_out = !uuid_parse(cmd->session, &session) && kv_find(c, cmd->key, &r) &&
		    uuid_eq(&r.session, &session);
	return *done_out ? kv_set(c, cmd, r.lock_index, &none) : 0;
}

int kv_apply(struct catalog *c, const struct cmd_kv *cmd, bool *done_out)
{
	struct kv_record r = { .modify_index = 0 };
	bool known;

	*done_out = false;
	if (cmd->op == KV_DELETE_TREE) {
		kv_delete_tree(c, cmd->key);
		*done_out = true;
		return 0;
	}
	if (kv_check(c, cmd)) {
		return ST_INVALID;
	}
	switch (cmd->op) {
	case KV_SET:
		*done_out = true;
		kv_find(c, cmd->key, &r);
		return kv_set(c, cmd, 0, &r.session);
	case KV_CAS:
		/* "A ModifyIndex of 0 means set if it does not exist." */
		known = kv_find(c, cmd->key, &r);
		*done_out = known ? cmd->index && cmd->index == r.modify_index : !cmd->index;
		return *done_out ? kv_set(c, cmd, 0, &r.session) : 0;
	case KV_LOCK:
		return kv_lock(c, cmd, done_out);
	case KV_UNLOCK:
		return kv_unlock(c, cmd, done_out);
	case KV_DELETE:
		*done_out = true;
		kv_delete(c, cmd->key);
		return 0;
	case KV_DELETE_CAS:
		/* A key that is not there counts as deleted. */
		known = kv_find(c, cmd->key, &r);
		*done_out = !known || cmd->index == r.modify_index;
		if (known && *done_out) {
			kv_delete(c, cmd->key);
		}
		return 0;
	default:
		return fail(c, "unknown KV operation %d", cmd->op);
	}
}

static void floor_raise(struct catalog *c, enum thing kind, uint64_t index)
{
	const char key[2] = { THING_FLOOR, (char)kind };
	uint64_t now = 0;

	table_get_u64(c, STATE_THINGS, str_n(key, sizeof(key)), &now);
	if (index > now) {
		table_put_u64(c, STATE_THINGS, str_n(key, sizeof(key)), index);
	}
}

static void reap_tombstones(struct catalog *c, uint64_t index)
{
	struct kv_walk w;
	uint64_t at, reaped = 0;

	kv_walk_init(&w, c->t, STATE_TOMBSTONE_ORDER, STR(""));
	while (kv_walk_next(&w)) {
		memcpy(&at, w.at, sizeof(at));
		at = __builtin_bswap64(at);
		if (at > index) {
			break;
		}
		table_del(c, STATE_TOMBSTONES, str_skip(str_n(w.at, w.key_size), sizeof(at)));
		table_del(c, STATE_TOMBSTONE_ORDER, str_n(w.at, w.key_size));
		reaped = at;
	}
	if (reaped) {
		floor_raise(c, THING_KV, reaped);
	}
}

/* The index of a thing; what the batch has changed is not in the table yet. */
static bool thing_now(struct catalog *c, struct str thing, uint64_t *out)
{
	const struct thing_entry *e = map_find(&c->things, thing, struct thing_entry, node);

	if (e) {
		*out = e->index;
		return true;
	}
	return table_get_u64(c, STATE_THINGS, thing, out);
}

static void thing_forget(struct catalog *c, struct str thing)
{
	struct thing_entry *e = map_find(&c->things, thing, struct thing_entry, node);

	if (e) {
		e->forgotten = true;
	}
	table_del(c, STATE_THINGS, thing);
}

/* A thing that has not changed since it went (its index is still that of its grave) is forgotten.
 */
static void reap_things(struct catalog *c, uint64_t index)
{
	struct kv_walk w;
	uint64_t at, now;

	kv_walk_init(&w, c->t, STATE_THING_GRAVES, STR(""));
	while (kv_walk_next(&w)) {
		struct str thing = str_skip(str_n(w.at, w.key_size), sizeof(at));

		memcpy(&at, w.at, sizeof(at));
		at = __builtin_bswap64(at);
		if (at > index) {
			break;
		}
		if (thing_now(c, thing, &now) && now == at) {
			thing_forget(c, thing);
			floor_raise(c, (enum thing)thing.p[0], at);
		}
		table_del(c, STATE_THING_GRAVES, str_n(w.at, w.key_size));
	}
}

void kv_reap(struct catalog *c, uint64_t index)
{
	reap_tombstones(c, index);
	reap_things(c, index);
}
