/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PUT /v1/txn: the body's operations as one command. Verbs are not judged here: catalogd knows
 * them, and names those that it does not.
 */
#include "httpd/httpd.h"
#include "httpd/routes.h"
#include "httpd/txn.h"

enum { TXN_OPS_MAX = 64 };

static bool is_in(struct str verb, const char *const *verbs, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (str_is(verb, verbs[i])) {
			return true;
		}
	}
	return false;
}

/* As Consul tells them apart: an unknown verb of a key does not write. */
static bool writes(const struct txn_op *op)
{
	static const char *const kv_writes[] = { "set", "cas", "lock", "unlock", "delete",
		"delete-cas", "delete-tree" };

	return op->kind == TXN_KV ? is_in(op->verb, kv_writes, ARRAY_SIZE(kv_writes))
				  : !str_is(op->verb, "get");
}

static bool check_sizes(struct exchange *x, const struct txn_item *item)
{
	const struct txn_kv_body *kv = item->kv;
	int64_t max = x->httpd->conf->limits.kv_max_value_size;
	OWN_EMBEDDED(buf_fini) struct buf quoted = { 0 };

	if (!kv || (int64_t)kv->value.n <= max) {
		return true;
	}
	json_put_string(&quoted, kv->key);
	answer_printf(x, 413, "Value for key " STR_FMT " is too large (%zu > %lld bytes)",
		STR_ARG(buf_str(&quoted)), kv->value.n, (long long)max);
	return false;
}

/* Read-only transactions show how fresh they are, in headers and at the end of the body. */
static void on_read(struct exchange *x, int status, struct str payload)
{
	struct str more = STR(
		",\"Index\":0,\"LastContact\":0,\"KnownLeader\":true,\"ConsistencyLevel\":\"\"}");
	struct buf *out = exchange_body(x);
	struct result result;

	if (!status) {
		status = result_decode(payload, &x->arena, &result);
	}
	if (status || (result.kind != RESULT_OK && result.kind != RESULT_CONFLICT) ||
		!result.payload.n) {
		answer_result(x, status, &result);
		return;
	}
	buf_put_str(out, str_cut(result.payload, result.payload.n - 1));
	buf_put_str(out, more);
	x->answer.has_leader = x->answer.known_leader = true;
	answer_json(x, result.kind == RESULT_OK ? 200 : 409);
}

/* The operations of the body; false: answered. */
static bool make_command(struct exchange *x, const struct txn_body *body, struct cmd_txn *out)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };

	out->ops.items = arena_array(&x->arena, struct txn_op, body->count + 1);
	for (uint32_t i = 0; i < body->count; i++) {
		int rc;

		if (!check_sizes(x, &body->items[i])) {
			return false;
		}
		rc = txn_op_make(x, &body->items[i], &out->ops.items[out->ops.count], &why);
		if (rc == ST_INVALID) {
			answer_printf(
				x, 400, "Failed to parse body: " STR_FMT, STR_ARG(buf_str(&why)));
			return false;
		}
		out->ops.count += rc == 0;
	}
	return true;
}

void handle_txn(struct exchange *x)
{
	OWN_EMBEDDED(buf_fini) struct buf payload = { 0 };
	struct txn_body body;
	struct cmd_txn m = { 0 };
	enum read_mode mode;
	bool read_only = true;

	if (!txn_body_parse(x, &body)) {
		return;
	}
	if (body.count > TXN_OPS_MAX) {
		answer_printf(x, 413, "Transaction contains too many operations (%u > %d)",
			body.count, TXN_OPS_MAX);
		return;
	}
	if (!make_command(x, &body, &m)) {
		return;
	}
	for (uint32_t i = 0; i < m.ops.count; i++) {
		read_only &= !writes(&m.ops.items[i]);
	}
	if (read_only && !exchange_consistency(x, &mode)) {
		return;
	}
	cmd_txn_encode(&payload, &m);
	exchange_propose_then(
		x, COMMAND_cmd_txn, buf_str(&payload), read_only ? on_read : exchange_on_result);
}
