/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole state at once: as records of a snapshot, replaced by those of another one, its derived
 * tables from its primary ones, its fingerprint.
 */
#include "catalogd/core/internal.h"
#include "common/msg/query.h"

static const struct str stamp_key = { "stamp", 5 }, autopilot_key = { "autopilot", 9 };

/* Rows of these are part of snapshots. Remembered requests belong to a log, not to a state. */
static bool table_in_snapshot(unsigned table)
{
	return state_table_primary[table] && table != STATE_REQUESTS;
}

void catalog_snapshot_init(struct catalog_snapshot *s, struct kv_txn *t)
{
	uint64_t base = 0, stamp;
	struct str value;

	*s = (struct catalog_snapshot) { .t = t };
	if (kv_get(t, STATE_META, STR("base"), &value) && value.n == sizeof(base)) {
		memcpy(&base, value.p, sizeof(base));
	}
	stamp = catalog_applied(t, NULL) + base;
	memcpy(s->stamp, &stamp, sizeof(stamp));
}

/* Not all of META: the newest index in the state, over which those of a restored one must go on,
 * and the autopilot's configuration. */
static bool meta_next(struct catalog_snapshot *s, struct snapshot_record *out)
{
	struct str value;

	if (!s->stamped) {
		s->stamped = true;
		*out = (struct snapshot_record) { STR("META"), stamp_key,
			str_n(s->stamp, sizeof(s->stamp)) };
		return true;
	}
	s->table++;
	if (!kv_get(s->t, STATE_META, autopilot_key, &value)) {
		return false;
	}
	*out = (struct snapshot_record) { STR("META"), autopilot_key, value };
	return true;
}

bool catalog_snapshot_next(struct catalog_snapshot *s, struct snapshot_record *out)
{
	if (s->table == STATE_META && meta_next(s, out)) {
		return true;
	}
	for (; s->table < STATE_TABLES_COUNT; s->table++) {
		if (!table_in_snapshot(s->table)) {
			continue;
		}
		if (!s->walking) {
			kv_walk_init(&s->walk, s->t, s->table, STR(""));
			s->walking = true;
		}
		if (kv_walk_next(&s->walk)) {
			*out = (struct snapshot_record) { str_of(state_table_names[s->table]),
				s->walk.key, s->walk.value };
			return true;
		}
		s->walking = false;
	}
	return false;
}

static bool next_record(struct cursor *c, struct snapshot_record *out)
{
	struct str bytes;

	if (c->bad || !cursor_left(c)) {
		return false;
	}
	bytes = cursor_take(c, cursor_u32(c));
	if (c->bad || snapshot_record_decode(bytes, NULL, out)) {
		c->bad = true;
	}
	return !c->bad;
}

/* STATE_TABLES_COUNT for a table that is unknown or not restored. */
static unsigned table_find(struct str name)
{
	unsigned table = 0;

	while (table < STATE_TABLES_COUNT &&
		!(table_in_snapshot(table) && str_is(name, state_table_names[table]))) {
		table++;
	}
	return table;
}

static bool text_fits(struct str s, size_t max)
{
	return s.n <= max && !(s.n && memchr(s.p, 0, s.n));
}

/* Is the key lower(a), or lower(a) 0 lower(b)? */
static bool key_is(struct str key, struct str a, struct str b)
{
	struct state_key room, lower_room;
	struct str wanted = b.p ? state_key2(&room, a, b) : a;

	return str_eq(key, state_lower(&lower_room, wanted));
}

static bool node_valid(struct str key, const struct node_def *n)
{
	return n->node.n && text_fits(n->node, NODE_NAME_MAX) && key_is(key, n->node, STR_NONE);
}

static bool service_valid(struct str key, const struct service_def *s)
{
	struct str id, node = str_split(key, '\0', &id);
	struct state_key room;

	return node.n && node.n <= NODE_NAME_MAX && s->id.n && text_fits(s->id, SERVICE_ID_MAX) &&
	       text_fits(s->name, SERVICE_NAME_MAX) &&
	       node.n + s->id.n + s->name.n <= INSTANCE_NAMES_MAX &&
	       str_eq(id, state_lower(&room, s->id));
}

static bool check_valid(struct str key, const struct health_check *h)
{
	size_t service = max_of(h->service_id.n, h->service_name.n);

	return h->node.n && text_fits(h->node, NODE_NAME_MAX) && h->check_id.n &&
	       text_fits(h->check_id, CHECK_ID_MAX) && text_fits(h->status, STATUS_MAX) &&
	       text_fits(h->service_id, SERVICE_ID_MAX) &&
	       text_fits(h->service_name, INSTANCE_NAMES_MAX) &&
	       h->node.n + h->check_id.n + service <= INSTANCE_NAMES_MAX &&
	       key_is(key, h->node, h->check_id);
}

static bool session_valid(struct str key, const struct session_def *s)
{
	bool valid =
		str_eq(key, str_n(s->id.b, sizeof(s->id.b))) && text_fits(s->node, NODE_NAME_MAX);

	for (uint32_t i = 0; i < s->node_checks.count; i++) {
		valid = valid && s->node.n + s->node_checks.items[i].n <= INSTANCE_NAMES_MAX;
	}
	for (uint32_t i = 0; i < s->service_checks.count; i++) {
		valid = valid && s->node.n + s->service_checks.items[i].id.n <= INSTANCE_NAMES_MAX;
	}
	return valid;
}

static bool query_valid(struct str key, const struct query_def *q)
{
	OWN_EMBEDDED(buf_fini) struct buf ignored = { 0 };

	return str_eq(key, str_n(q->id.b, sizeof(q->id.b))) && text_fits(q->name, QUERY_NAME_MAX) &&
	       !query_check(q, &ignored);
}

/* May this row be put into a state? Everything that commands rely on is looked at. */
static bool record_valid(const struct snapshot_record *r, struct arena *arena)
{
	union {
		struct node_record node;
		struct service_record service;
		struct check_record check;
		struct kv_record kv;
		struct session_record session;
		struct coordinate_record coordinate;
		struct lock_delay_record delay;
		struct autopilot_record autopilot;
		struct query_record query;
	} v;

	if (!r->key.n || r->key.n > KV_KEY_MAX) {
		return false;
	}
	switch (table_find(r->table)) {
	case STATE_NODES:
		return !node_record_decode(r->value, arena, &v.node) &&
		       node_valid(r->key, &v.node.def);
	case STATE_SERVICES:
		return !service_record_decode(r->value, arena, &v.service) &&
		       service_valid(r->key, &v.service.def);
	case STATE_CHECKS:
		return !check_record_decode(r->value, arena, &v.check) &&
		       check_valid(r->key, &v.check.def);
	case STATE_KVS:
		return r->key.n <= KV_NAME_MAX && !kv_record_decode(r->value, arena, &v.kv);
	case STATE_SESSIONS:
		return !session_record_decode(r->value, arena, &v.session) &&
		       session_valid(r->key, &v.session.def);
	case STATE_QUERIES:
		return !query_record_decode(r->value, arena, &v.query) &&
		       query_valid(r->key, &v.query.def);
	case STATE_COORDINATES:
		return !coordinate_record_decode(r->value, arena, &v.coordinate);
	case STATE_THING_GRAVES:
		return r->key.n > sizeof(uint64_t) && !r->value.n;
	case STATE_TOMBSTONES:
		return r->key.n <= KV_NAME_MAX && r->value.n == sizeof(uint64_t);
	case STATE_LOCK_DELAYS:
		return r->key.n <= KV_NAME_MAX && lock_delay_get(r->value, &v.delay);
	case STATE_THINGS:
		return r->value.n == sizeof(uint64_t);
	default:
		if (!str_eq(r->table, STR("META"))) {
			return true;
		}
		return str_eq(r->key, autopilot_key)
			       ? !autopilot_record_decode(r->value, arena, &v.autopilot)
			       : r->value.n == sizeof(uint64_t);
	}
}

int catalog_snapshot_check(struct str records)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct cursor c = cursor_of(records);
	struct snapshot_record r;

	while (next_record(&c, &r)) {
		if (!record_valid(&r, &arena)) {
			return ST_INVALID;
		}
		arena_reset(&arena);
	}
	return cursor_done(&c) ? ST_INVALID : 0;
}

static struct str chunk_key(struct state_key *room, uint32_t number)
{
	number = __builtin_bswap32(number);
	memcpy(room->bytes, &number, sizeof(number));
	return str_n(room->bytes, sizeof(number));
}

int restore_begin(struct catalog *c, const struct cmd_restore_begin *cmd)
{
	kv_clear(c->t, STATE_RESTORE);
	kv_put(c->t, STATE_RESTORE, STR("id"), str_n(cmd->restore.b, sizeof(cmd->restore.b)));
	return 0;
}

static bool restore_staged(struct catalog *c, const struct uuid *id)
{
	struct str value;

	return kv_get(c->t, STATE_RESTORE, STR("id"), &value) &&
	       str_eq(value, str_n(id->b, sizeof(id->b)));
}

int restore_chunk(struct catalog *c, const struct cmd_restore_chunk *cmd)
{
	struct state_key room;

	if (!restore_staged(c, &cmd->restore)) {
		return fail(c, "failed to restore snapshot: another restore has begun");
	}
	if (catalog_snapshot_check(cmd->records)) {
		return fail(c, "failed to restore snapshot: malformed records");
	}
	kv_put(c->t, STATE_RESTORE, chunk_key(&room, cmd->number), cmd->records);
	return 0;
}

/* The rows of one chunk take their places; the newest index of the archive is returned through
 * *stamp. */
static void load_chunk(struct catalog *c, uint32_t number, uint64_t *stamp)
{
	OWN_EMBEDDED(buf_fini) struct buf records = { 0 };
	struct state_key room;
	struct snapshot_record r;
	struct cursor cursor;
	struct str value;

	must(kv_get(c->t, STATE_RESTORE, chunk_key(&room, number), &value));
	buf_put_str(&records, value);
	cursor = cursor_of(buf_str(&records));
	while (next_record(&cursor, &r)) {
		unsigned table = table_find(r.table);

		if (table < STATE_TABLES_COUNT) {
			kv_put(c->t, table, r.key, r.value);
		} else if (str_eq(r.table, STR("META")) && str_eq(r.key, stamp_key)) {
			memcpy(stamp, r.value.p, sizeof(*stamp));
		} else if (str_eq(r.table, STR("META")) && str_eq(r.key, autopilot_key)) {
			kv_put(c->t, STATE_META, r.key, r.value);
		}
	}
}

int restore_end(struct catalog *c, const struct cmd_restore_end *cmd)
{
	struct state_key room;
	uint64_t stamp = 0;

	if (!restore_staged(c, &cmd->restore)) {
		return fail(c, "failed to restore snapshot: another restore has begun");
	}
	for (uint32_t i = 0; i < cmd->chunks_count; i++) {
		if (!kv_has(c->t, STATE_RESTORE, chunk_key(&room, i))) {
			return fail(c, "failed to restore snapshot: part %u is missing", i);
		}
	}
	for (unsigned table = 0; table < STATE_TABLES_COUNT; table++) {
		if (table != STATE_META && table != STATE_RESTORE) {
			kv_clear(c->t, table);
		}
	}
	for (uint32_t i = 0; i < cmd->chunks_count; i++) {
		load_chunk(c, i, &stamp);
	}
	kv_clear(c->t, STATE_RESTORE);
	if (stamp >= c->index) {
		c->base += stamp - c->index + 1;
		kv_put(c->t, STATE_META, STR("base"), str_n(&c->base, sizeof(c->base)));
	}
	catalog_rebuild(c, c->t);
	requests_load(c);
	things_clear(c);
	c->replaced = true;
	c->naming_index = c->applied;
	return 0;
}

/* ---- derived tables ---- */

static void rebuild_nodes(struct catalog *c)
{
	struct kv_walk w;
	struct node_record r;

	kv_walk_init(&w, c->t, STATE_NODES, STR(""));
	while (kv_walk_next(&w)) {
		must(!node_record_decode(arena_str(&c->arena, w.value), &c->arena, &r));
		node_id_index(c, &r.def, true);
		arena_reset(&c->arena);
	}
}

static void rebuild_checks(struct catalog *c)
{
	struct kv_walk w;
	struct check_record r;

	kv_walk_init(&w, c->t, STATE_CHECKS, STR(""));
	while (kv_walk_next(&w)) {
		must(!check_record_decode(arena_str(&c->arena, w.value), &c->arena, &r));
		check_index(c, str_n(w.at, w.key_size), &r.def, true);
		arena_reset(&c->arena);
	}
}

static void rebuild_services(struct catalog *c)
{
	struct kv_walk w;
	struct service_record r;

	kv_walk_init(&w, c->t, STATE_SERVICES, STR(""));
	while (kv_walk_next(&w)) {
		must(!service_record_decode(arena_str(&c->arena, w.value), &c->arena, &r));
		service_name_count(c, r.def.name, r.def.tags, 1);
		set_add(&c->dirty, str_n(w.at, w.key_size));
		derive_flush(c);
		c->marks.count = 0;
		set_clear(&c->renamed);
		arena_reset(&c->arena);
	}
}

static void rebuild_keys(struct catalog *c)
{
	struct kv_walk w;
	struct kv_record r;
	struct session_record s;
	struct state_key room;
	uint64_t buried;

	kv_walk_init(&w, c->t, STATE_KVS, STR(""));
	while (kv_walk_next(&w)) {
		must(!kv_record_decode(w.value, NULL, &r));
		session_key_row(c, &r.session, str_n(w.at, w.key_size), true);
	}
	kv_walk_init(&w, c->t, STATE_TOMBSTONES, STR(""));
	while (kv_walk_next(&w)) {
		must(w.value.n == sizeof(buried));
		memcpy(&buried, w.value.p, sizeof(buried));
		memcpy(be64_key(&room, buried), w.at, w.key_size);
		kv_put(c->t, STATE_TOMBSTONE_ORDER, str_n(room.bytes, sizeof(buried) + w.key_size),
			STR(""));
	}
	kv_walk_init(&w, c->t, STATE_SESSIONS, STR(""));
	while (kv_walk_next(&w)) {
		must(!session_record_decode(arena_str(&c->arena, w.value), &c->arena, &s));
		session_index(c, &s.def, true);
		arena_reset(&c->arena);
	}
}

static void rebuild_queries(struct catalog *c)
{
	struct kv_walk w;
	struct query_record r;

	kv_walk_init(&w, c->t, STATE_QUERIES, STR(""));
	while (kv_walk_next(&w)) {
		must(!query_record_decode(arena_str(&c->arena, w.value), &c->arena, &r));
		query_index(c, &r.def, true);
		arena_reset(&c->arena);
	}
}

void catalog_rebuild(struct catalog *c, struct kv_txn *t)
{
	struct kv_txn *before = c->t;

	c->t = t;
	for (unsigned table = 0; table < STATE_TABLES_COUNT; table++) {
		if (!state_table_primary[table] && table != STATE_META && table != STATE_RESTORE) {
			kv_clear(t, table);
		}
	}
	rebuild_nodes(c);
	rebuild_checks(c);
	rebuild_services(c);
	rebuild_keys(c);
	rebuild_queries(c);
	c->t = before;
}

uint64_t catalog_digest(struct kv_txn *t)
{
	uint64_t digest = 0;
	struct kv_walk w;

	for (unsigned table = 0; table < STATE_TABLES_COUNT; table++) {
		digest = hash64_mix(digest, table);
		kv_walk_init(&w, t, table, STR(""));
		while (kv_walk_next(&w)) {
			digest = hash64_mix(digest, hash64(w.key, table));
			digest = hash64_mix(digest, hash64(w.value, 0));
		}
	}
	return digest;
}
