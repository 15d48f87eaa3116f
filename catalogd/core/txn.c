/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transactions: every operation is tried, in order, each seeing the ones before; if any fails,
 * nothing has happened and the answer lists all failures. What Consul's server checks before it
 * logs a transaction is checked first, with its errors alone.
 */
#include "catalogd/core/internal.h"

/* One operation, decoded. */
struct operation {
	const struct txn_op *op;
	struct cmd_kv kv;
	struct node_def node;
	struct txn_service service;
	struct health_check check;
};

static int operation_decode(struct catalog *c, const struct txn_op *op, struct operation *out)
{
	out->op = op;
	switch (op->kind) {
	case TXN_KV:
		return cmd_kv_decode(op->object, &c->arena, &out->kv);
	case TXN_NODE:
		return node_def_decode(op->object, &c->arena, &out->node);
	case TXN_SERVICE:
		return txn_service_decode(op->object, &c->arena, &out->service);
	case TXN_CHECK:
		return health_check_decode(op->object, &c->arena, &out->check);
	}
	return ST_INVALID;
}

/* ---- answers: objects are appended to c->answer, with a comma before all but the first ---- */

static void answer_open(struct catalog *c, const char *kind)
{
	if (c->answer.n && c->answer.p[c->answer.n - 1] != '[') {
		buf_put_char(&c->answer, ',');
	}
	buf_printf(&c->answer, "{\"%s\":", kind);
}

static void answer_kv(struct catalog *c, struct str key, const struct kv_record *r, bool with_value)
{
	answer_open(c, "KV");
	render_kv(&c->answer, key, r, with_value);
	buf_put_char(&c->answer, '}');
}

/* ---- keys ---- */

struct kv_verb {
	const char *name;
	enum kv_op op;
	const char
		*refused; /* what is said when the condition does not hold; %s is the quoted key */
};

static const struct kv_verb kv_verbs[] = {
	{ "set", KV_SET, NULL },
	{ "cas", KV_CAS, "failed to set key %s, index is stale" },
	{ "lock", KV_LOCK, "failed to lock key %s, lock is already held" },
	{ "unlock", KV_UNLOCK,
		"failed to unlock key %s, lock isn't held, or is held by another session" },
	{ "delete", KV_DELETE, NULL },
	{ "delete-cas", KV_DELETE_CAS, "failed to delete key %s, index is stale" },
	{ "delete-tree", KV_DELETE_TREE, NULL },
	{ "get", KV_GET, NULL },
	{ "get-tree", KV_GET_TREE, NULL },
	{ "check-index", KV_CHECK_INDEX, NULL },
	{ "check-session", KV_CHECK_SESSION, NULL },
	{ "check-not-exists", KV_CHECK_NOT_EXISTS, NULL },
	{ "get-or-empty", KV_GET_OR_EMPTY, NULL },
};

static const struct kv_verb *kv_verb_find(struct str name)
{
	for (size_t i = 0; i < ARRAY_SIZE(kv_verbs); i++) {
		if (str_is(name, kv_verbs[i].name)) {
			return &kv_verbs[i];
		}
	}
	return NULL;
}

static void session_text(const struct kv_record *r, char out[UUID_TEXT_SIZE + 1])
{
	out[0] = '\0';
	if (!uuid_is_zero(&r->session)) {
		uuid_text(&r->session, out);
	}
}

static int kv_read_one(struct catalog *c, const struct operation *o, enum kv_op op)
{
	struct str key = o->kv.key;
	struct kv_record r = { .modify_index = 0 };
	bool known = kv_find(c, key, &r);
	char session[UUID_TEXT_SIZE + 1];

	session_text(&r, session);
	if (op == KV_CHECK_NOT_EXISTS) {
		return known ? fail(c, "key %s exists", quoted(c, key)) : 0;
	}
	if (!known && op == KV_GET) {
		return fail(c, "key %s doesn't exist", quoted(c, key));
	}
	if (!known && op != KV_GET_OR_EMPTY) {
		return fail(c, "failed to check %s, key %s doesn't exist",
			op == KV_CHECK_INDEX ? "index" : "session", quoted(c, key));
	}
	if (op == KV_CHECK_INDEX && r.modify_index != o->op->index) {
		return fail(c, "failed index check for key %s, current modify index %llu != %llu",
			quoted(c, key), (unsigned long long)r.modify_index,
			(unsigned long long)o->op->index);
	}
	if (op == KV_CHECK_SESSION && !str_ieq(str_of(session), o->kv.session)) {
		return fail(c, "failed session check for key %s, current session %s != %s",
			quoted(c, key), quoted(c, str_of(session)), quoted(c, o->kv.session));
	}
	answer_kv(c, key, &r, op == KV_GET || op == KV_GET_OR_EMPTY);
	return 0;
}

static int kv_read_tree(struct catalog *c, struct str prefix)
{
	struct kv_walk w;
	struct kv_record r;

	if (prefix.n > KV_NAME_MAX) {
		return 0;
	}
	kv_walk_init(&w, c->t, STATE_KVS, prefix);
	while (kv_walk_next(&w)) {
		must(!kv_record_decode(w.value, NULL, &r));
		answer_kv(c, w.key, &r, true);
	}
	return 0;
}

static int kv_write_one(struct catalog *c, struct operation *o, const struct kv_verb *verb)
{
	struct kv_record r;
	bool done;

	o->kv.op = (uint8_t)verb->op;
	o->kv.index = o->op->index;
	if (kv_apply(c, &o->kv, &done)) {
		return ST_INVALID;
	}
	if (!done) {
		must(verb->refused);
		buf_clear(&c->why);
		for (const char *p = verb->refused; *p; p++) {
			if (p[0] == '%' && p[1] == 's') {
				buf_put_cstr(&c->why, quoted(c, o->kv.key));
				p++;
			} else {
				buf_put_char(&c->why, *p);
			}
		}
		return ST_INVALID;
	}
	if (verb->op <= KV_UNLOCK && kv_find(c, o->kv.key, &r)) {
		answer_kv(c, o->kv.key, &r, false);
	}
	return 0;
}

static int kv_operation(struct catalog *c, struct operation *o)
{
	const struct kv_verb *verb = kv_verb_find(o->op->verb);

	if (!verb) {
		return fail(c, "unknown KV verb %s", quoted(c, o->op->verb));
	}
	if (verb->op == KV_GET_TREE) {
		return kv_read_tree(c, o->kv.key);
	}
	return verb->op >= KV_GET ? kv_read_one(c, o, verb->op) : kv_write_one(c, o, verb);
}

/* ---- nodes, services, checks: the same five verbs ---- */

enum object_verb {
	OBJECT_GET,
	OBJECT_SET,
	OBJECT_CAS,
	OBJECT_DELETE,
	OBJECT_DELETE_CAS,
	OBJECT_VERBS_COUNT
};
static const char *const object_verbs[OBJECT_VERBS_COUNT] = { "get", "set", "cas", "delete",
	"delete-cas" };

static enum object_verb object_verb_find(struct str name)
{
	enum object_verb v = OBJECT_GET;

	while (v < OBJECT_VERBS_COUNT && !str_is(name, object_verbs[v])) {
		v++;
	}
	return v;
}

static const char *const kind_names[] = { "KV", "Node", "Service", "Check" };

static bool object_find(struct catalog *c, const struct operation *o, struct entry *out)
{
	switch (o->op->kind) {
	case TXN_NODE:
		return o->node.id.n ? node_find_id(c, o->node.id, out)
				    : node_find(c, o->node.node, out);
	case TXN_SERVICE:
		return service_find(c, o->service.node, o->service.service.id, out);
	default:
		return check_find(c, o->check.node, o->check.check_id, out);
	}
}

/* "service \"x\" on node \"y\"" */
static const char *object_name(struct catalog *c, const struct operation *o)
{
	switch (o->op->kind) {
	case TXN_NODE:
		return arena_printf(&c->arena, "node %s", quoted(c, o->node.node)).p;
	case TXN_SERVICE:
		return arena_printf(&c->arena, "service %s on node %s",
			quoted(c, o->service.service.id), quoted(c, o->service.node))
			.p;
	default:
		return arena_printf(&c->arena, "check %s on node %s", quoted(c, o->check.check_id),
			quoted(c, o->check.node))
			.p;
	}
}

static int object_write(struct catalog *c, struct operation *o)
{
	switch (o->op->kind) {
	case TXN_NODE:
		return node_ensure(c, &o->node);
	case TXN_SERVICE:
		return service_ensure(c, o->service.node, &o->service.service);
	default:
		return check_ensure(c, &o->check);
	}
}

static void object_delete(struct catalog *c, const struct operation *o)
{
	switch (o->op->kind) {
	case TXN_NODE:
		node_delete(c, o->node.node);
		break;
	case TXN_SERVICE:
		service_delete(c, o->service.node, o->service.service.id);
		break;
	default:
		check_delete(c, o->check.node, o->check.check_id);
	}
}

static void object_answer(struct catalog *c, const struct operation *o)
{
	struct entry e;
	struct service_def s;
	struct health_check h;

	if (!object_find(c, o, &e)) {
		return;
	}
	answer_open(c, kind_names[o->op->kind]);
	switch (o->op->kind) {
	case TXN_NODE:
		buf_put_str(&c->answer, e.json);
		break;
	case TXN_SERVICE:
		must(!service_def_decode(e.def, &c->arena, &s));
		render_service(&c->answer, &s, e.create_index, e.modify_index, true);
		break;
	default:
		must(!health_check_decode(e.def, &c->arena, &h));
		render_check(&c->answer, &h, e.create_index, e.modify_index, true);
	}
	buf_put_char(&c->answer, '}');
}

/* By name alone: that is how Consul compares nodes here. */
static bool object_known(struct catalog *c, const struct operation *o, struct entry *out)
{
	return o->op->kind == TXN_NODE ? node_find(c, o->node.node, out) : object_find(c, o, out);
}

static int object_operation(struct catalog *c, struct operation *o)
{
	enum object_verb verb = object_verb_find(o->op->verb);
	struct entry e = { .modify_index = 0 };
	bool known = object_known(c, o, &e);

	switch (verb) {
	case OBJECT_GET:
		if (!object_find(c, o, &e)) {
			return fail(c, "%s doesn't exist", object_name(c, o));
		}
		break;
	case OBJECT_CAS:
		if (known ? e.modify_index != o->op->index : o->op->index) {
			return fail(c, "failed to set %s, index is stale", object_name(c, o));
		}
		FALLTHROUGH;
	case OBJECT_SET:
		if (object_write(c, o)) {
			return ST_INVALID;
		}
		break;
	case OBJECT_DELETE_CAS:
		if (!known || e.modify_index != o->op->index) {
			return fail(c, "failed to delete %s, index is stale", object_name(c, o));
		}
		FALLTHROUGH;
	case OBJECT_DELETE:
		object_delete(c, o);
		return 0;
	default:
		return fail(
			c, "unknown %s verb %s", kind_names[o->op->kind], quoted(c, o->op->verb));
	}
	object_answer(c, o);
	return 0;
}

/* ---- the whole ---- */

/* What is refused before anything is tried. */
static int operation_check(struct catalog *c, struct operation *o)
{
	switch (o->op->kind) {
	case TXN_KV:
		if (!o->kv.key.n && !str_eq(o->op->verb, STR("delete-tree"))) {
			return fail(c, "Must provide key");
		}
		if (str_eq(o->op->verb, STR("lock")) && lock_delayed(c, o->kv.key)) {
			return fail(
				c, "failed to lock key %s due to lock delay", quoted(c, o->kv.key));
		}
		return 0;
	case TXN_NODE:
		return str_eq(o->op->verb, STR("get")) ? 0 : validate_node(&o->node, &c->why);
	case TXN_SERVICE:
		return str_eq(o->op->verb, STR("get"))
			       ? 0
			       : validate_service(&o->service.service, &c->why);
	default:
		if (!o->check.check_id.n) {
			o->check.check_id = o->check.name;
		}
		return 0;
	}
}

struct failures {
	struct buf *out;
	uint32_t count;
};

static void failure_add(struct catalog *c, struct failures *f, uint32_t op)
{
	struct jsonw w = jsonw_of(f->out);

	w.comma = f->count++ > 0;
	jsonw_open(&w, '{');
	jsonw_put_u64(&w, "OpIndex", op);
	jsonw_put_str(&w, "What", buf_str(&c->why));
	jsonw_close(&w, '}');
}

static int operation_run(struct catalog *c, struct operation *o)
{
	return o->op->kind == TXN_KV ? kv_operation(c, o) : object_operation(c, o);
}

/* Everything is tried, also behind a failure, to report all that is wrong. */
static void try_all(struct catalog *c, struct operation *ops, uint32_t count, struct failures *f)
{
	for (uint32_t i = 0; i < count; i++) {
		buf_clear(&c->why);
		if (operation_check(c, &ops[i])) {
			failure_add(c, f, i);
		}
	}
	if (f->count) {
		return;
	}
	for (uint32_t i = 0; i < count; i++) {
		buf_clear(&c->why);
		if (operation_run(c, &ops[i])) {
			failure_add(c, f, i);
		}
	}
}

enum result_kind txn_apply(struct catalog *c, const struct cmd_txn *cmd)
{
	OWN_EMBEDDED(buf_fini) struct buf errors = { 0 };
	struct failures f = { .out = &errors };
	struct operation *ops;

	if (cmd->ops.count > TXN_OPS_MAX) {
		fail(c, "Transaction contains too many operations (%u > %d)", cmd->ops.count,
			TXN_OPS_MAX);
		return RESULT_ERROR;
	}
	ops = arena_array(&c->arena, struct operation, cmd->ops.count + 1);
	for (uint32_t i = 0; i < cmd->ops.count; i++) {
		if (operation_decode(c, &cmd->ops.items[i], &ops[i])) {
			fail(c, "malformed operation");
			return RESULT_ERROR;
		}
	}
	buf_clear(&c->answer);
	buf_put_lit(&c->answer, "{\"Results\":[");
	try_all(c, ops, cmd->ops.count, &f);
	if (!f.count) {
		buf_put_lit(&c->answer, "],\"Errors\":null}");
		return RESULT_OK;
	}
	buf_clear(&c->answer);
	buf_put_lit(&c->answer, "{\"Results\":null,\"Errors\":[");
	buf_put_str(&c->answer, buf_str(&errors));
	buf_put_lit(&c->answer, "]}");
	return RESULT_CONFLICT;
}

bool catalog_txn_reads_only(const struct cmd_txn *cmd)
{
	for (uint32_t i = 0; i < cmd->ops.count; i++) {
		const struct txn_op *op = &cmd->ops.items[i];
		const struct kv_verb *verb = op->kind == TXN_KV ? kv_verb_find(op->verb) : NULL;

		if (op->kind == TXN_KV ? verb && verb->op < KV_GET
				       : !str_eq(op->verb, STR("get"))) {
			return false;
		}
	}
	return true;
}

void catalog_txn_read(
	struct catalog *c, struct kv_txn *t, const struct cmd_txn *cmd, struct result *out)
{
	struct kv_txn *batch = c->t;

	must(catalog_txn_reads_only(cmd));
	c->t = t;
	buf_clear(&c->why);
	*out = (struct result) { .kind = (uint8_t)txn_apply(c, cmd) };
	out->text = out->kind == RESULT_ERROR ? buf_str(&c->why) : STR_NONE;
	out->payload = out->kind == RESULT_ERROR ? STR_NONE : buf_str(&c->answer);
	c->t = batch;
}
