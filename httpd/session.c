/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /v1/session.
 */
#include "common/sys/clock.h"
#include "httpd/httpd.h"
#include "httpd/routes.h"

enum { LOCK_DELAY_S = 15, LOCK_DELAY_SECONDS_BELOW = 1000 };

struct session_body {
	struct str name, node, behavior, ttl;
	const struct json *lock_delay; /* text, or a number */
	struct strs checks, node_checks;
	struct bind_list service_checks; /* of struct session_check */
};

static const struct bind_field check_fields[] = {
	{ .name = "ID", .type = BIND_STR, .offset = offsetof(struct session_check, id) },
	{ .name = "Namespace", .type = BIND_STR, .offset = offsetof(struct session_check, ns) },
};

static const struct bind_object check_object = {
	.go_name = "ServiceCheck.ServiceChecks",
	.size = sizeof(struct session_check),
	BIND_FIELDS(check_fields),
	.ignore_unknown = true,
};

static const struct bind_field body_fields[] = {
	{ .name = "Name", .type = BIND_STR, .offset = offsetof(struct session_body, name) },
	{ .name = "Node", .type = BIND_STR, .offset = offsetof(struct session_body, node) },
	{ .name = "Behavior",
		.type = BIND_STR,
		.offset = offsetof(struct session_body, behavior),
		.go_type = "structs.SessionBehavior" },
	{ .name = "TTL", .type = BIND_STR, .offset = offsetof(struct session_body, ttl) },
	{ .name = "LockDelay",
		.type = BIND_JSON,
		.offset = offsetof(struct session_body, lock_delay) },
	{ .name = "Checks", .type = BIND_STRS, .offset = offsetof(struct session_body, checks) },
	{ .name = "NodeChecks",
		.type = BIND_STRS,
		.offset = offsetof(struct session_body, node_checks) },
	{ .name = "ServiceChecks",
		.type = BIND_OBJECTS,
		.offset = offsetof(struct session_body, service_checks),
		.object = &check_object,
		.go_type = "[]structs.ServiceCheck" },
};

/* Go's decoder knows this body as an anonymous struct. */
static const struct bind_object body_object = {
	.go_name = "",
	.size = sizeof(struct session_body),
	BIND_FIELDS(body_fields),
	.ignore_unknown = true,
};

/* Text, or a number of ns; what is below 1000 ns means seconds, however it was written. */
static bool lock_delay(struct exchange *x, const struct json *v, int64_t *ns_out)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };

	*ns_out = LOCK_DELAY_S * NS_PER_S;
	if (!v || v->type == JSON_NULL) {
		return true;
	}
	*ns_out = 0;
	if (v->type == JSON_STRING && duration_parse(v->text, ns_out, &why)) {
		answer_printf(x, 400, "Request decode failed: " STR_FMT, STR_ARG(buf_str(&why)));
		return false;
	}
	if (v->type == JSON_NUMBER && str_to_i64(v->text, ns_out)) {
		*ns_out = (int64_t)strtod(arena_str(&x->arena, v->text).p, NULL);
	}
	if (*ns_out<LOCK_DELAY_SECONDS_BELOW && * ns_out> INT64_MIN / NS_PER_S) {
		*ns_out *= NS_PER_S;
	}
	return true;
}

/* Checks is the older name of NodeChecks: what it lists is added; an empty list under either name
 * stands for both. */
static struct strs merge_checks(struct exchange *x, const struct session_body *body)
{
	struct strs merged = body->node_checks;

	if (body->checks.present && !body->checks.count) {
		return (struct strs) { .present = true };
	}
	if (!body->checks.count || (merged.present && !merged.count)) {
		return merged;
	}
	merged.items = arena_array(&x->arena, struct str, merged.count + body->checks.count);
	memcpy(merged.items, body->node_checks.items,
		body->node_checks.count * sizeof(*merged.items));
	for (uint32_t i = 0; i < body->checks.count; i++) {
		if (!strs_has(&body->node_checks, body->checks.items[i])) {
			merged.items[merged.count++] = body->checks.items[i];
		}
	}
	merged.present = true;
	return merged;
}

static bool is_null(const struct json *tree, const char *name)
{
	const struct json *v = json_find_fold(tree, name);

	return v && v->type == JSON_NULL;
}

/* The body over the defaults. false: answered. */
static bool parse_body(struct exchange *x, struct session_body *body)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct json *tree;

	if (!x->request.body.n) {
		return true;
	}
	if (!exchange_json(x, "Request decode failed: ", &tree)) {
		return false;
	}
	if (tree->type != JSON_OBJECT && tree->type != JSON_NULL) {
		answer_printf(x, 400,
			"Request decode failed: json: cannot unmarshal %s into Go value of type "
			"struct { LockDelay interface {}; "
			"*structs.Alias }",
			json_go_type(tree));
		return false;
	}
	if (bind_object(&body_object, tree, &x->arena, body, &why)) {
		answer_printf(x, 400, "Request decode failed: " STR_FMT, STR_ARG(buf_str(&why)));
		return false;
	}
	if (is_null(tree, "NodeChecks")) {
		body->node_checks = (struct strs) { 0 };
	}
	return true;
}

void handle_session_create(struct exchange *x)
{
	static struct str serf_health = { "serfHealth", 10 };
	struct strs health = { &serf_health, 1, true };
	struct session_body body = {
		.name = STR(""),
		.node = exchange_node(x),
		.behavior = STR("release"),
		.ttl = STR(""),
		.node_checks = health,
	};
	OWN_EMBEDDED(buf_fini) struct buf payload = { 0 };
	struct cmd_session_create m = { 0 };

	if (!parse_body(x, &body) || !lock_delay(x, body.lock_delay, &m.session.lock_delay_ns)) {
		return;
	}
	m.session.id = random_uuid();
	m.session.name = body.name;
	m.session.node = body.node;
	m.session.behavior = body.behavior;
	m.session.ttl = body.ttl;
	m.session.node_checks = merge_checks(x, &body);
	m.session.service_checks.items = body.service_checks.items;
	m.session.service_checks.count = body.service_checks.count;
	cmd_session_create_encode(&payload, &m);
	exchange_propose(x, COMMAND_cmd_session_create, buf_str(&payload));
}

/* The id in the path. false: answered. */
static bool session_id(struct exchange *x, struct uuid *out)
{
	struct str text = STR("failed session lookup: index error: UUID must be 36 characters");

	if (!x->request.name.n) {
		answer_text(x, 400, STR("Missing session"));
		return false;
	}
	if (uuid_parse(x->request.name, out) == 0) {
		return true;
	}
	if (x->txn) {
		read_failed(x, 500, text);
	} else {
		answer_text(x, 500, text);
	}
	return false;
}

void handle_session_destroy(struct exchange *x)
{
	OWN_EMBEDDED(buf_fini) struct buf payload = { 0 };
	struct cmd_session_destroy m = { .cause = STR("destroy") };

	if (session_id(x, &m.id)) {
		cmd_session_destroy_encode(&payload, &m);
		exchange_propose(x, COMMAND_cmd_session_destroy, buf_str(&payload));
	}
}

void handle_session_renew(struct exchange *x)
{
	struct session_renew m = { .token = exchange_token(x) };

	if (session_id(x, &m.id)) {
		EXCHANGE_CALL(x, x->httpd->catalog_write, session_renew, &m, 0,
			exchange_on_leader_result);
	}
}

static void put_session(struct exchange *x, struct str id)
{
	struct buf *out = exchange_body(x);
	struct session_record record;
	struct str value;

	if (kv_get(x->txn, STATE_SESSIONS, id, &value) &&
		!session_record_decode(value, &x->arena, &record)) {
		if (out->n > 1) {
			buf_put_char(out, ',');
		}
		buf_put_str(out, record.json);
	}
}

void handle_session_info(struct exchange *x)
{
	struct uuid id;

	if (!session_id(x, &id)) {
		return;
	}
	/* The name is looked at again when this function has returned. */
	read_thing(x, THING_SESSION, arena_str(&x->arena, str_n(id.b, sizeof(id.b))));
	if (read_held(x)) {
		return;
	}
	buf_put_char(exchange_body(x), '[');
	put_session(x, str_n(id.b, sizeof(id.b)));
	buf_put_char(exchange_body(x), ']');
	answer_json(x, 200);
}

void handle_session_list(struct exchange *x)
{
	struct kv_walk w;

	read_thing(x, THING_SESSIONS, STR(""));
	if (read_held(x)) {
		return;
	}
	buf_put_char(exchange_body(x), '[');
	kv_walk_init(&w, x->txn, STATE_SESSIONS, STR(""));
	while (kv_walk_next(&w)) {
		put_session(x, w.key);
	}
	buf_put_char(exchange_body(x), ']');
	answer_json(x, 200);
}

void handle_session_node(struct exchange *x)
{
	struct str node = exchange_lower(x, x->request.name);
	struct state_key room;
	struct str prefix;
	struct kv_walk w;

	if (!node.n) {
		answer_text(x, 400, STR("Missing node name"));
		return;
	}
	node = str_cut(node, NODE_NAME_MAX + 1); /* longer names do not exist */
	read_thing(x, THING_NODE_SESSIONS, node);
	if (read_held(x)) {
		return;
	}
	buf_put_char(exchange_body(x), '[');
	prefix = state_key2(&room, node, STR(""));
	kv_walk_init(&w, x->txn, STATE_SESSION_NODES, prefix);
	while (kv_walk_next(&w)) {
		put_session(x, str_skip(w.key, prefix.n));
	}
	buf_put_char(exchange_body(x), ']');
	answer_json(x, 200);
}
