/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PUT and DELETE /v1/kv/<key>. What Consul's HTTP layer checks is checked here, everything else by
 * catalogd.
 */
#include "httpd/core/uri.h"
#include "httpd/httpd.h"
#include "httpd/routes.h"

static int param_order(const void *a, const void *b)
{
	return str_cmp(((const struct param *)a)->name, ((const struct param *)b)->name);
}

/* Two conditions at once; the answer shows the query encoded again, sorted by name. */
static void answer_conflict(struct exchange *x)
{
	const struct request *r = &x->request;
	struct param *sorted = arena_array(&x->arena, struct param, r->params_count);
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };

	memcpy(sorted, r->params, r->params_count * sizeof(*sorted));
	qsort(sorted, r->params_count, sizeof(*sorted), param_order);
	buf_put_lit(&text, "Conflicting flags: ");
	for (uint32_t i = 0; i < r->params_count; i++) {
		if (i) {
			buf_put_char(&text, '&');
		}
		uri_encode_query(sorted[i].name, &text);
		buf_put_char(&text, '=');
		uri_encode_query(sorted[i].value, &text);
	}
	answer_text(x, 400, buf_str(&text));
}

static bool is_conflicting(struct exchange *x, const char *const *names, size_t count)
{
	size_t found = 0;

	for (size_t i = 0; i < count; i++) {
		found += request_has(&x->request, names[i]);
	}
	if (found > 1) {
		answer_conflict(x);
	}
	return found > 1;
}

/* An unsigned parameter; 0 when absent. false: answered. */
static bool number(struct exchange *x, const char *name, uint64_t *out)
{
	struct str text = request_param(&x->request, name);
	OWN_EMBEDDED(buf_fini) struct buf quoted = { 0 };
	int rc;

	*out = 0;
	if (!text.p) {
		return true;
	}
	rc = str_to_u64(text, out);
	if (rc) {
		json_put_string(&quoted, text);
		answer_printf(x, 500, "strconv.ParseUint: parsing " STR_FMT ": %s",
			STR_ARG(buf_str(&quoted)),
			rc == ST_TOO_LARGE ? "value out of range" : "invalid syntax");
	}
	return rc == 0;
}

static void propose(struct exchange *x, const struct cmd_kv *m)
{
	OWN_EMBEDDED(buf_fini) struct buf payload = { 0 };

	cmd_kv_encode(&payload, m);
	exchange_propose(x, COMMAND_cmd_kv, buf_str(&payload));
}

void handle_kv_put(struct exchange *x)
{
	static const char *const conditions[] = { "cas", "acquire", "release" };
	const struct request *r = &x->request;
	struct cmd_kv m = { .op = KV_SET, .key = r->name, .value = r->body, .session = STR("") };

	if (!m.key.n) {
		answer_text(x, 400, STR("Missing key name"));
		return;
	}
	if (is_conflicting(x, conditions, ARRAY_SIZE(conditions)) ||
		!number(x, "flags", &m.flags) || !number(x, "cas", &m.index)) {
		return;
	}
	if (request_has(r, "cas")) {
		m.op = KV_CAS;
	} else if (request_has(r, "acquire")) {
		m.op = KV_LOCK;
		m.session = request_param(r, "acquire");
	} else if (request_has(r, "release")) {
		m.op = KV_UNLOCK;
		m.session = request_param(r, "release");
	}
	propose(x, &m);
}

void handle_kv_delete(struct exchange *x)
{
	static const char *const conditions[] = { "recurse", "cas" };
	const struct request *r = &x->request;
	struct cmd_kv m = { .op = KV_DELETE, .key = r->name, .value = STR(""), .session = STR("") };

	if (is_conflicting(x, conditions, ARRAY_SIZE(conditions))) {
		return;
	}
	if (request_has(r, "recurse")) {
		m.op = KV_DELETE_TREE;
	} else if (!m.key.n) {
		answer_text(x, 400, STR("Missing key name"));
		return;
	} else if (request_has(r, "cas")) {
		m.op = KV_DELETE_CAS;
		if (!number(x, "cas", &m.index)) {
			return;
		}
	}
	propose(x, &m);
}
