/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /v1/health/: checks of a node, of a service, by state; instances of a service with their checks.
 * The elements stand ready in the state; without parameters an answer is their concatenation.
 */
#include "common/base/err.h"
#include "httpd/list.h"
#include "httpd/routes.h"

static bool name_missing(struct exchange *x, const char *text)
{
	if (x->request.name.n) {
		return false;
	}
	answer_text(x, 400, str_of(text));
	return true;
}

/* The node's Meta decides about ?node-meta; decoded only when that is asked for. */
static bool node_wanted(struct list_query *l, struct str node)
{
	struct node_record record;
	struct str value;

	if (!l->has_meta) {
		return true;
	}
	return kv_get(l->x->txn, STATE_NODES, node, &value) &&
	       node_record_decode(value, &l->x->arena, &record) == 0 &&
	       list_wants_meta(l, &record.def.meta);
}

/* key: lower(node) 0 lower(check id), as in CHECKS */
static struct str node_of_key(struct str key)
{
	struct str rest;

	return str_split(key, '\0', &rest);
}

static void check_add(struct list_query *l, struct str key, struct str value)
{
	struct cursor c = cursor_of(value);
	struct str json = wire_get_STR(&c, NULL), node = node_of_key(key);

	if (node_wanted(l, node)) {
		list_add(l, json, node);
	}
}

void handle_health_node(struct exchange *x)
{
	struct str node = exchange_lower(x, x->request.name);
	struct state_key room;
	struct list_query l;
	struct kv_walk w;

	if (name_missing(x, "Missing node name") || !list_begin(&l, x, FILTER_HEALTH_CHECK)) {
		return;
	}
	read_thing(x, THING_NODE_CHECKS, node);
	if (list_held(&l)) {
		return;
	}
	/* ?near and ?node-meta mean nothing about one node */
	l.near = l.has_meta = false;
	kv_walk_init(&w, x->txn, STATE_CHECKS, state_key2(&room, node, STR("")));
	while (kv_walk_next(&w)) {
		check_add(&l, w.key, w.value);
	}
	list_end(&l);
}

/* SERVICE_CHECKS and CHECK_STATES name rows of CHECKS. */
static void checks_add_named(struct list_query *l, enum state_table table, struct str prefix)
{
	struct state_key room;
	struct kv_walk w;

	kv_walk_init(&w, l->x->txn, table, state_key2(&room, prefix, STR("")));
	while (kv_walk_next(&w)) {
		struct str value;

		if (kv_get(l->x->txn, STATE_CHECKS, w.value, &value)) {
			check_add(l, w.value, value);
		}
	}
}

void handle_health_checks(struct exchange *x)
{
	struct str service = exchange_lower(x, x->request.name);
	struct list_query l;

	if (name_missing(x, "Missing service name") || !list_begin(&l, x, FILTER_HEALTH_CHECK)) {
		return;
	}
	read_thing(x, THING_SERVICE_CHECKS, service);
	if (list_held(&l)) {
		return;
	}
	checks_add_named(&l, STATE_SERVICE_CHECKS, service);
	list_end(&l);
}

void handle_health_state(struct exchange *x)
{
	struct str state = x->request.name;
	bool any = str_is(state, "any");
	struct list_query l;
	struct kv_walk w;

	if (name_missing(x, "Missing check state") || !list_begin(&l, x, FILTER_HEALTH_CHECK)) {
		return;
	}
	read_thing(x, any ? THING_CHECKS : THING_CHECK_STATE, any ? STR("") : state);
	if (list_held(&l)) {
		return;
	}
	if (!any) {
		checks_add_named(&l, STATE_CHECK_STATES, state);
		list_end(&l);
		return;
	}
	kv_walk_init(&w, x->txn, STATE_CHECKS, STR(""));
	while (kv_walk_next(&w)) {
		check_add(&l, w.key, w.value);
	}
	list_end(&l);
}

/* ?passing, ?passing=true: instances all of whose checks pass. false: answered. */
static bool passing_parse(struct exchange *x, bool *out)
{
	struct str text = request_param(&x->request, "passing");

	*out = text.p != NULL;
	if (text.n && str_to_bool(text, out)) {
		answer_text(x, 400, STR("Invalid value for ?passing"));
		return false;
	}
	return true;
}

static bool instance_wanted(struct list_query *l, struct str value)
{
	struct health_record record;

	if (!l->has_meta && !l->has_tags) {
		return true;
	}
	return health_record_decode(value, &l->x->arena, &record) == 0 &&
	       list_wants_meta(l, &record.node_meta) && list_wants_tags(l, &record.tags);
}

/* key: lower(service) 0 lower(node) 0 lower(id) */
static struct str node_of_instance(struct str key)
{
	struct str rest;

	str_split(key, '\0', &rest);
	return node_of_key(rest);
}

/* The hot path: status and json stand first, the rest of the record is not looked at. */
static void instance_add(struct list_query *l, struct str key, struct str value)
{
	struct cursor c = cursor_of(value);
	uint8_t status = cursor_u8(&c);
	struct str json = wire_get_STR(&c, NULL), node = l->near ? node_of_instance(key) : STR_NONE;

	if (!instance_wanted(l, value)) {
		return;
	}
	if (l->weeds && status != HEALTH_PASSING) {
		list_add_out(l, json, node);
	} else {
		list_add(l, json, node);
	}
}

void handle_health_service(struct exchange *x)
{
	struct str service = exchange_lower(x, x->request.name);
	struct state_key room;
	struct list_query l;
	struct kv_walk w;
	bool passing;

	if (name_missing(x, "Missing service name") || !passing_parse(x, &passing) ||
		!list_begin(&l, x, FILTER_CHECK_SERVICE_NODE)) {
		return;
	}
	l.narrowed |= passing;
	l.weeds = passing;
	read_thing(x, THING_SERVICE_HEALTH, service);
	if (list_held(&l)) {
		return;
	}
	kv_walk_init(&w, x->txn, STATE_HEALTH, state_key2(&room, service, STR("")));
	while (kv_walk_next(&w)) {
		instance_add(&l, w.key, w.value);
	}
	list_end(&l);
}
