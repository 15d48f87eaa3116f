/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalogd/core under random commands: both backends and any cutting into batches give the same
 * bytes; derived tables always equal those rebuilt from the primary ones; a thing's index moves
 * exactly when the bytes of its answer do; a snapshot carries everything.
 */
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/hash.h"
#include "tests/unit/catalog.h"

enum { NODES = 4, SERVICES = 4, CHECKS = 6, KEYS = 12, SESSIONS = 8 };

static struct str pick(struct rng *r, const char *const *words, size_t count)
{
	return str_of(words[rng_below(r, count)]);
}
#define PICK(r, words) pick((r), (words), ARRAY_SIZE(words))

static const char *const node_names[] = { "a", "B", "node-3", "b" };
static const char *const node_ids[] = { "", "11111111-1111-1111-1111-111111111111",
	"22222222-2222-2222-2222-222222222222" };
static const char *const addresses[] = { "10.0.0.1", "10.0.0.2", "::1", "host.example" };
static const char *const service_names[] = { "web", "Web", "db", "api" };
static const char *const service_ids[] = { "web1", "WEB1", "db", "x" };
static const char *const check_ids[] = { "c1", "C1", "serfHealth", "c2" };
static const char *const statuses[] = { "passing", "warning", "critical", "critical", "odd" };
static const char *const tags[] = { "red", "green", "blue" };
static const char *const keys[] = { "a", "a/b", "a/c", "b", "lock" };

static struct uuid session_id(uint64_t n)
{
	struct uuid id = { { 0xaa } };

	id.b[15] = (uint8_t)n;
	return id;
}

static struct node_def random_node(struct rng *r)
{
	return (struct node_def) { .id = PICK(r, node_ids),
		.node = PICK(r, node_names),
		.address = PICK(r, addresses),
		.datacenter = STR("dc1") };
}

static struct service_def random_service(struct rng *r, struct str *tag_room)
{
	struct service_def s = { .id = PICK(r, service_ids),
		.name = PICK(r, service_names),
		.weight_passing = 1,
		.weight_warning = 1,
		.port = (int64_t)rng_below(r, 3) };

	if (rng_below(r, 2)) {
		s.address = PICK(r, addresses);
	}
	tag_room[0] = PICK(r, tags);
	tag_room[1] = PICK(r, tags);
	s.tags = (struct strs) { tag_room, (uint32_t)rng_below(r, 3), true };
	return s;
}

static struct health_check random_check(struct rng *r, struct str node)
{
	struct health_check h = { .node = node,
		.check_id = PICK(r, check_ids),
		.name = STR("n"),
		.status = PICK(r, statuses),
		.output = rng_below(r, 2) ? STR("x") : STR("") };

	if (rng_below(r, 2)) {
		h.service_id = PICK(r, service_ids);
	}
	return h;
}

static void do_register(struct world *w, struct rng *r)
{
	struct str tag_room[2];
	struct health_check check;
	struct cmd_register cmd = { .node = random_node(r), .skip_node_update = rng_below(r, 2) };

	cmd.has_service = rng_below(r, 2);
	if (cmd.has_service) {
		cmd.service = random_service(r, tag_room);
	}
	check = random_check(r, cmd.node.node);
	if (rng_below(r, 2)) {
		cmd.checks.items = &check;
		cmd.checks.count = 1;
	}
	APPLY(w, cmd_register, &cmd);
}

static void do_deregister(struct world *w, struct rng *r)
{
	struct cmd_deregister cmd = { .node = PICK(r, node_names) };

	switch (rng_below(r, 6)) {
	case 0:
		break;
	case 1:
	case 2:
		cmd.check_id = PICK(r, check_ids);
		break;
	default:
		cmd.service_id = PICK(r, service_ids);
	}
	APPLY(w, cmd_deregister, &cmd);
}

static void session_text(struct rng *r, char out[UUID_TEXT_SIZE + 1])
{
	struct uuid id = session_id(rng_below(r, SESSIONS));

	uuid_text(&id, out);
}

static struct cmd_kv random_kv(struct world *w, struct rng *r, char session[UUID_TEXT_SIZE + 1])
{
	session_text(r, session);
	return (struct cmd_kv) { .op = (uint8_t)rng_below(r, KV_DELETE_TREE + 1),
		.key = PICK(r, keys),
		.value = PICK(r, tags),
		.flags = rng_below(r, 2),
		.index = rng_below(r, 4) ? w->index - rng_below(r, 4) : 0,
		.session = str_of(session) };
}

static void do_kv(struct world *w, struct rng *r)
{
	char session[UUID_TEXT_SIZE + 1];
	struct cmd_kv cmd = random_kv(w, r, session);

	APPLY(w, cmd_kv, &cmd);
}

static void do_session(struct world *w, struct rng *r)
{
	struct str check = PICK(r, check_ids);
	struct cmd_session_create create = {
		.session = { .id = session_id(rng_below(r, SESSIONS)),
			.node = PICK(r, node_names),
			.lock_delay_ns = (int64_t)rng_below(r, 3) * 1000000000,
			.behavior = rng_below(r, 2) ? STR("release") : STR("delete") }
	};
	struct cmd_session_destroy destroy = { .id = session_id(rng_below(r, SESSIONS)) };

	if (rng_below(r, 2)) {
		create.session.node_checks = (struct strs) { &check, 1, true };
	}
	if (rng_below(r, 4)) {
		APPLY(w, cmd_session_create, &create);
	} else {
		APPLY(w, cmd_session_destroy, &destroy);
	}
}

static const char *const query_names[] = { "", "q1", "Q1", "geo-", "GEO-west" };

static void do_query(struct world *w, struct rng *r)
{
	char text[UUID_TEXT_SIZE + 1], session[UUID_TEXT_SIZE + 1];
	struct cmd_query cmd = { .op = (uint8_t)rng_below(r, 3) };
	struct query_def *q = &cmd.query;

	session_text(r, session);
	q->id = session_id(100 + rng_below(r, 4));
	uuid_text(&q->id, text);
	cmd.id = str_of(text);
	q->name = PICK(r, query_names);
	q->session = rng_below(r, 2) ? str_of(session) : STR("");
	q->template_type = rng_below(r, 2) ? STR("name_prefix_match") : STR("");
	q->service = PICK(r, service_names);
	APPLY(w, cmd_query, &cmd);
}

static const char *const kv_verbs[] = { "set", "cas", "lock", "unlock", "delete", "delete-cas",
	"delete-tree", "get", "get-tree", "check-not-exists" };
static const char *const object_verbs[] = { "get", "set", "cas", "delete", "delete-cas" };

static void random_operation(struct world *w, struct rng *r, struct txn_op *op, struct buf *room)
{
	char session[UUID_TEXT_SIZE + 1];
	struct str tag_room[2];
	struct cmd_kv kv = random_kv(w, r, session);
	struct node_def node = random_node(r);
	struct txn_service service = { .node = PICK(r, node_names),
		.service = random_service(r, tag_room) };
	struct health_check check = random_check(r, PICK(r, node_names));

	op->kind = rng_below(r, 2) ? TXN_KV : (uint8_t)rng_below(r, 4);
	op->verb = op->kind == TXN_KV ? PICK(r, kv_verbs) : PICK(r, object_verbs);
	op->index = kv.index;
	switch (op->kind) {
	case TXN_KV:
		cmd_kv_encode(room, &kv);
		break;
	case TXN_NODE:
		node_def_encode(room, &node);
		break;
	case TXN_SERVICE:
		txn_service_encode(room, &service);
		break;
	default:
		health_check_encode(room, &check);
	}
	op->object = buf_str(room);
}

static void do_txn(struct world *w, struct rng *r)
{
	struct txn_op ops[4] = { 0 };
	struct buf rooms[4] = { 0 };
	struct cmd_txn cmd = { .ops = { ops, 1 + (uint32_t)rng_below(r, 4) } };

	for (uint32_t i = 0; i < cmd.ops.count; i++) {
		random_operation(w, r, &ops[i], &rooms[i]);
	}
	APPLY(w, cmd_txn, &cmd);
	for (uint32_t i = 0; i < cmd.ops.count; i++) {
		buf_fini(&rooms[i]);
	}
}

static void do_other(struct world *w, struct rng *r)
{
	struct coordinate item = { .node = PICK(r, node_names), .vec0 = rng_below(r, 2) };
	struct cmd_coordinates coordinates = { .items = { &item, 1 } };
	struct cmd_reap reap = { .index = w->index > 20 ? w->index - rng_below(r, 20) : 0 };

	if (rng_below(r, 2)) {
		APPLY(w, cmd_coordinates, &coordinates);
	} else {
		APPLY(w, cmd_reap, &reap);
	}
}

static void random_command(struct world *w, struct rng *r)
{
	w->now_ms += (int64_t)rng_below(r, 500);
	switch (rng_below(r, 11)) {
	case 0:
		do_query(w, r);
		break;
	case 1:
	case 2:
	case 3:
	case 10:
		do_register(w, r);
		break;
	case 4:
		do_deregister(w, r);
		break;
	case 5:
	case 6:
		do_kv(w, r);
		break;
	case 7:
		do_session(w, r);
		break;
	case 8:
		do_txn(w, r);
		break;
	default:
		do_other(w, r);
	}
}

static struct db *temporary_db(char directory[64])
{
	struct db_options options = { .directory = directory,
		.tables = STATE_TABLES_COUNT,
		.table_names = state_table_names,
		.mode = DB_WRITE };
	struct db *db = NULL;

	strcpy(directory, "/tmp/muster-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	ck_assert_int_eq(db_open(&options, &db), 0);
	return db;
}

static void temporary_remove(const char *directory)
{
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 };
	static const char *const files[] = { "data.mdb", "lock.mdb" };

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		buf_clear(&path);
		buf_printf(&path, "%s/%s", directory, files[i]);
		unlink(buf_cstr(&path));
	}
	rmdir(directory);
}

static void rebuild_is_equal(struct world *w)
{
	struct kv_txn *t = world_begin(w);
	uint64_t before = catalog_digest(t);

	catalog_rebuild(w->c, t);
	ck_assert_uint_eq(catalog_digest(t), before);
	kv_abort(t);
}

TEST(test_backends_and_batches_agree)
{
	char directory[64];
	OWN(db_free) struct db *db = temporary_db(directory);
	struct world one, many;
	struct rng r1, r2, cut;

	world_init(&one, NULL);
	world_init(&many, db);
	rng_init(&r1, 7);
	rng_init(&r2, 7);
	rng_init(&cut, 8);
	for (int i = 0; i < 3000;) {
		int n = 1 + (int)rng_below(&cut, 20);

		batch_begin(&many);
		for (int k = 0; k < n; k++, i++) {
			random_command(&one, &r1);
			random_command(&many, &r2);
		}
		batch_end(&many);
		if (i % 10 == 0) {
			ck_assert_uint_eq(world_digest(&one), world_digest(&many));
		}
	}
	ck_assert_uint_eq(world_digest(&one), world_digest(&many));
	world_fini(&one);
	world_fini(&many);
	temporary_remove(directory);
}
END_TEST

TEST(test_rebuild_equals_increments)
{
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct world w;
		struct rng r;

		world_init(&w, NULL);
		rng_init(&r, seed);
		for (int i = 0; i < 1000; i++) {
			random_command(&w, &r);
			rebuild_is_equal(&w);
		}
		world_fini(&w);
	}
}
END_TEST

/* ---- exactness: what an answer about a thing is made of ---- */

static void put_json(struct buf *out, struct str value, bool after_status)
{
	struct cursor c = cursor_of(value);

	if (after_status) {
		cursor_u8(&c);
	}
	buf_put_str(out, wire_get_STR(&c, NULL));
	buf_put_char(out, '\n');
}

static void put_rows(struct buf *out, struct kv_txn *t, enum state_table table, struct str prefix,
	bool after_status)
{
	struct kv_walk w;

	kv_walk_init(&w, t, table, prefix);
	while (kv_walk_next(&w)) {
		put_json(out, w.value, after_status);
	}
}

static void put_checks(struct buf *out, struct kv_txn *t, enum state_table table, struct str prefix)
{
	struct kv_walk w;
	struct str value;

	kv_walk_init(&w, t, table, prefix);
	while (kv_walk_next(&w)) {
		ck_assert(kv_get(t, STATE_CHECKS, w.value, &value));
		put_json(out, value, false);
	}
}

static uint64_t answer(struct kv_txn *t, enum thing kind, struct str name)
{
	OWN_EMBEDDED(buf_fini) struct buf out = { 0 };
	struct state_key room;
	struct str prefix = state_key2(&room, name, STR("")), value;

	switch (kind) {
	case THING_NODES:
		put_rows(&out, t, STATE_NODES, STR(""), false);
		break;
	case THING_NODE:
		if (kv_get(t, STATE_NODES, name, &value)) {
			put_json(&out, value, false);
			put_rows(&out, t, STATE_SERVICES, prefix, false);
		}
		break;
	case THING_SERVICES:
		put_rows(&out, t, STATE_SERVICE_NAMES, STR(""), false);
		break;
	case THING_SERVICE_CATALOG:
		put_rows(&out, t, STATE_INSTANCES, prefix, false);
		break;
	case THING_SERVICE_HEALTH:
		put_rows(&out, t, STATE_HEALTH, prefix, true);
		break;
	case THING_INSTANCES:
		put_rows(&out, t, STATE_HEALTH, STR(""), true);
		break;
	case THING_SERVICE_CHECKS:
		put_checks(&out, t, STATE_SERVICE_CHECKS, prefix);
		break;
	case THING_NODE_CHECKS:
		put_rows(&out, t, STATE_CHECKS, prefix, false);
		break;
	case THING_CHECK_STATE:
		put_checks(&out, t, STATE_CHECK_STATES, prefix);
		break;
	case THING_CHECKS:
		put_rows(&out, t, STATE_CHECKS, STR(""), false);
		break;
	case THING_SESSIONS:
		put_rows(&out, t, STATE_SESSIONS, STR(""), false);
		break;
	case THING_QUERIES:
		put_rows(&out, t, STATE_QUERIES, STR(""), false);
		break;
	default:
		break;
	}
	return hash64(buf_str(&out), 0);
}

struct asked {
	enum thing kind;
	const char *name;
	uint64_t answer, index;
};

static const struct asked asked_rows[] = {
	{ THING_NODES, "", 0, 0 },
	{ THING_NODE, "a", 0, 0 },
	{ THING_NODE, "b", 0, 0 },
	{ THING_SERVICES, "", 0, 0 },
	{ THING_SERVICE_CATALOG, "web", 0, 0 },
	{ THING_SERVICE_CATALOG, "db", 0, 0 },
	{ THING_SERVICE_HEALTH, "web", 0, 0 },
	{ THING_SERVICE_HEALTH, "api", 0, 0 },
	{ THING_SERVICE_CHECKS, "web", 0, 0 },
	{ THING_NODE_CHECKS, "a", 0, 0 },
	{ THING_NODE_CHECKS, "b", 0, 0 },
	{ THING_CHECK_STATE, "critical", 0, 0 },
	{ THING_CHECK_STATE, "odd", 0, 0 },
	{ THING_CHECKS, "", 0, 0 },
	{ THING_SESSIONS, "", 0, 0 },
	{ THING_QUERIES, "", 0, 0 },
	{ THING_INSTANCES, "", 0, 0 },
};

/* Only commands of one step: a transaction may do and undo something, which moves the index and is
 * no error. */
TEST(test_indexes_are_exact)
{
	struct asked asked[ARRAY_SIZE(asked_rows)];
	struct world w;
	struct rng r;

	memcpy(asked, asked_rows, sizeof(asked));
	world_init(&w, NULL);
	rng_init(&r, 3);
	for (int i = 0; i < 4000; i++) {
		struct kv_txn *t;

		if (rng_below(&r, 4)) {
			do_register(&w, &r);
		} else if (rng_below(&r, 2)) {
			do_deregister(&w, &r);
		} else if (rng_below(&r, 2)) {
			do_session(&w, &r);
		} else {
			do_query(&w, &r);
		}
		t = world_begin(&w);
		for (size_t k = 0; k < ARRAY_SIZE(asked); k++) {
			struct asked *a = &asked[k];
			uint64_t now = answer(t, a->kind, str_of(a->name));
			uint64_t index = thing_index(t, a->kind, str_of(a->name));

			ck_assert_msg(i == 0 || (now != a->answer) == (index != a->index),
				"command %d: thing %d %s: answer %s, index %llu to %llu", i,
				a->kind, a->name, now != a->answer ? "changed" : "same",
				(unsigned long long)a->index, (unsigned long long)index);
			a->answer = now;
			a->index = index;
		}
		kv_abort(t);
	}
	world_fini(&w);
}
END_TEST

/* ---- snapshots ---- */

static void restore_send(
	struct world *w, const struct uuid *id, uint32_t *number, struct buf *records)
{
	struct cmd_restore_chunk chunk = {
		.restore = *id, .number = (*number)++, .records = buf_str(records)
	};

	ck_assert_int_eq(catalog_snapshot_check(buf_str(records)), 0);
	APPLY(w, cmd_restore_chunk, &chunk);
	ck_assert_int_eq(w->out.result.kind, RESULT_OK);
	buf_clear(records);
}

static void restore(struct world *from, struct world *to)
{
	OWN_EMBEDDED(buf_fini) struct buf records = { 0 };
	struct cmd_restore_begin begin = { .restore = session_id(77) };
	struct cmd_restore_end end = { .restore = session_id(77) };
	struct catalog_snapshot s;
	struct snapshot_record record;
	struct kv_txn *t = world_begin(from);

	APPLY(to, cmd_restore_begin, &begin);
	catalog_snapshot_init(&s, t);
	while (catalog_snapshot_next(&s, &record)) {
		size_t at = records.n;
		uint32_t n;

		buf_put_u32(&records, 0);
		snapshot_record_encode(&records, &record);
		n = (uint32_t)(records.n - at - 4);
		memcpy(records.p + at, &n, sizeof(n));
		if (records.n > 1000) {
			restore_send(to, &begin.restore, &end.chunks_count, &records);
		}
	}
	restore_send(to, &begin.restore, &end.chunks_count, &records);
	kv_abort(t);
	APPLY(to, cmd_restore_end, &end);
	ck_assert_int_eq(to->out.result.kind, RESULT_OK);
	ck_assert(catalog_replaced(to->c));
}

/* All tables but META and the remembered requests. */
static uint64_t content(struct world *w)
{
	struct kv_txn *t = world_begin(w);
	uint64_t digest;

	kv_clear(t, STATE_META);
	kv_clear(t, STATE_REQUESTS);
	digest = catalog_digest(t);
	kv_abort(t);
	return digest;
}

TEST(test_snapshot_carries_everything)
{
	struct world from, to;
	struct rng r;
	struct cmd_kv set = { .op = KV_SET, .key = STR("after"), .value = STR("x") };

	world_init(&from, NULL);
	world_init(&to, NULL);
	rng_init(&r, 11);
	for (int i = 0; i < 500; i++) {
		random_command(&from, &r);
		if (i < 50) {
			random_command(&to, &r);
		}
	}
	restore(&from, &to);
	ck_assert_uint_eq(content(&from), content(&to));
	/* Indexes go on over those of the restored state. */
	APPLY(&to, cmd_kv, &set);
	ck_assert_uint_gt(world_thing(&to, THING_KVS, ""), world_thing(&from, THING_KVS, ""));
	rebuild_is_equal(&to);
	world_fini(&from);
	world_fini(&to);
}
END_TEST

UNIT_MAIN("catalog_model", test_backends_and_batches_agree, test_rebuild_equals_increments,
	test_indexes_are_exact, test_snapshot_carries_everything)
