/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows that bind the operations of a transaction, and their way into struct txn_op. Services and
 * checks have the same shape as in catalog/register.
 */
#include "httpd/catalog_body.h"
#include "httpd/txn.h"

struct txn_object_body {
	struct str verb, node_name;
	const struct json *object;
};

struct node_body {
	struct node_def node;
	uint64_t ignored;
};

#define KV_AT(field) offsetof(struct txn_kv_body, field)

static const struct bind_field kv_fields[] = {
	{ "Verb", BIND_STR, KV_AT(verb) },
	{ "Key", BIND_STR, KV_AT(key) },
	{ "Value", BIND_BASE64, KV_AT(value) },
	{ "Flags", BIND_U64, KV_AT(flags) },
	{ "Index", BIND_U64, KV_AT(index) },
	{ "Session", BIND_STR, KV_AT(session) },
	{ "Namespace", BIND_STR, KV_AT(ns) },
};

static const struct bind_object kv_rows = {
	.go_name = "KVTxnOp.KV",
	.size = sizeof(struct txn_kv_body),
	BIND_FIELDS(kv_fields),
};

#define OBJECT_AT(field) offsetof(struct txn_object_body, field)

static const struct bind_field node_op_fields[] = {
	{ "Verb", BIND_STR, OBJECT_AT(verb) },
	{ "Node", BIND_JSON, OBJECT_AT(object) },
};

static const struct bind_object node_op_rows = {
	.go_name = "NodeTxnOp.Node",
	.size = sizeof(struct txn_object_body),
	BIND_FIELDS(node_op_fields),
};

static const struct bind_field service_op_fields[] = {
	{ "Verb", BIND_STR, OBJECT_AT(verb) },
	{ "Node", BIND_STR, OBJECT_AT(node_name) },
	{ "Service", BIND_JSON, OBJECT_AT(object) },
};

static const struct bind_object service_op_rows = {
	.go_name = "ServiceTxnOp.Service",
	.size = sizeof(struct txn_object_body),
	BIND_FIELDS(service_op_fields),
};

static const struct bind_field check_op_fields[] = {
	{ "Verb", BIND_STR, OBJECT_AT(verb) },
	{ "Check", BIND_JSON, OBJECT_AT(object) },
};

static const struct bind_object check_op_rows = {
	.go_name = "CheckTxnOp.Check",
	.size = sizeof(struct txn_object_body),
	BIND_FIELDS(check_op_fields),
};

static const struct bind_field item_fields[] = {
	{ "KV", BIND_POINTER, offsetof(struct txn_item, kv), &kv_rows, "api.KVTxnOp" },
	{ "Node", BIND_POINTER, offsetof(struct txn_item, node), &node_op_rows, "api.NodeTxnOp" },
	{ "Service", BIND_POINTER, offsetof(struct txn_item, service), &service_op_rows,
		"api.ServiceTxnOp" },
	{ "Check", BIND_POINTER, offsetof(struct txn_item, check), &check_op_rows,
		"api.CheckTxnOp" },
};

static const struct bind_object item_rows = {
	.go_name = "TxnOp",
	.size = sizeof(struct txn_item),
	BIND_FIELDS(item_fields),
};

static const struct bind_field node_fields[] = {
	{ "ID", BIND_STR, offsetof(struct node_body, node.id) },
	{ "Node", BIND_STR, offsetof(struct node_body, node.node) },
	{ "Address", BIND_STR, offsetof(struct node_body, node.address) },
	{ "Datacenter", BIND_STR, offsetof(struct node_body, node.datacenter) },
	{ "TaggedAddresses", BIND_PAIRS, offsetof(struct node_body, node.tagged_addresses) },
	{ "Meta", BIND_PAIRS, offsetof(struct node_body, node.meta) },
	{ "CreateIndex", BIND_U64, offsetof(struct node_body, ignored) },
	{ "ModifyIndex", BIND_U64, offsetof(struct node_body, ignored) },
};

static const struct bind_object node_rows = {
	.go_name = "Node.Node.Node",
	.size = sizeof(struct node_body),
	BIND_FIELDS(node_fields),
};

static bool refuse(struct exchange *x, const struct buf *why)
{
	answer_printf(x, 400, "Failed to parse body: " STR_FMT, STR_ARG(buf_str(why)));
	return false;
}

bool txn_body_parse(struct exchange *x, struct txn_body *out)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct json *tree, *item;

	*out = (struct txn_body) { 0 };
	if (!exchange_json(x, "Failed to parse body: ", &tree)) {
		return false;
	}
	if (tree->type == JSON_NULL) {
		return true;
	}
	if (tree->type != JSON_ARRAY) {
		buf_printf(&why, "json: cannot unmarshal %s into Go value of type api.TxnOps",
			json_go_type(tree));
		return refuse(x, &why);
	}
	out->items = arena_array(&x->arena, struct txn_item, tree->count + 1);
	json_for_each (item, tree) {
		if (item->type != JSON_OBJECT && item->type != JSON_NULL) {
			buf_printf(&why,
				"json: cannot unmarshal %s into Go value of type api.TxnOp",
				json_go_type(item));
			return refuse(x, &why);
		}
		if (bind_object(&item_rows, item, &x->arena, &out->items[out->count], &why)) {
			return refuse(x, &why);
		}
		out->count++;
	}
	return true;
}

/* The ModifyIndex inside the object, for cas and delete-cas. */
static uint64_t modify_index(const struct json *object)
{
	const struct json *v = object ? json_find_fold(object, "ModifyIndex") : NULL;
	uint64_t index = 0;

	if (v && v->type == JSON_NUMBER && str_to_u64(v->text, &index)) {
		return 0;
	}
	return index;
}

static void make_kv(const struct txn_kv_body *body, struct buf *object, struct txn_op *out)
{
	struct cmd_kv m = {
		.key = body->key,
		.value = body->value,
		.flags = body->flags,
		.index = body->index,
		.session = body->session,
	};

	cmd_kv_encode(object, &m);
	out->kind = TXN_KV;
	out->verb = body->verb;
	out->index = body->index;
}

static int make_node(
	struct exchange *x, const struct txn_object_body *body, struct buf *object, struct buf *why)
{
	struct node_body node = { 0 };

	if (body->object && bind_object(&node_rows, body->object, &x->arena, &node, why)) {
		return ST_INVALID;
	}
	if (!node.node.datacenter.n) {
		node.node.datacenter = x->httpd->conf->datacenter;
	}
	node_def_encode(object, &node.node);
	return 0;
}

static int make_service(
	struct exchange *x, const struct txn_object_body *body, struct buf *object, struct buf *why)
{
	struct json nothing = { .type = JSON_NULL };
	struct txn_service m = { .node = body->node_name };

	if (catalog_body_service(
		    &x->arena, body->object ? body->object : &nothing, &m.service, why)) {
		return ST_INVALID;
	}
	txn_service_encode(object, &m);
	return 0;
}

static int make_check(
	struct exchange *x, const struct txn_object_body *body, struct buf *object, struct buf *why)
{
	struct json nothing = { .type = JSON_NULL };
	struct health_check m = { 0 };

	if (catalog_body_check(&x->arena, body->object ? body->object : &nothing, &m, why)) {
		return ST_INVALID;
	}
	/* Here a definition says nothing about the type. */
	m.type = body->object ? json_find_text(body->object, "Type") : STR("");
	health_check_encode(object, &m);
	return 0;
}

int txn_op_make(
	struct exchange *x, const struct txn_item *item, struct txn_op *out, struct buf *why)
{
	OWN_EMBEDDED(buf_fini) struct buf object = { 0 };
	const struct txn_object_body *body = item->node	     ? item->node
					     : item->service ? item->service
							     : item->check;
	int rc = 0;

	*out = (struct txn_op) { 0 };
	if (item->kv) {
		make_kv(item->kv, &object, out);
	} else if (!body) {
		return ST_NOT_FOUND;
	} else {
		out->kind = item->node ? TXN_NODE : item->service ? TXN_SERVICE : TXN_CHECK;
		out->verb = body->verb;
		out->index = modify_index(body->object);
		if (item->node) {
			rc = make_node(x, body, &object, why);
		} else if (item->service) {
			rc = make_service(x, body, &object, why);
		} else {
			rc = make_check(x, body, &object, why);
		}
	}
	out->object = arena_str(&x->arena, buf_str(&object));
	return rc;
}
