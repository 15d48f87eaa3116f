/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A prepared query that finds nobody here goes to other data centres: the nearest ones, then those
 * that it lists. Each gets the query as it is by now (a template is filled in), because it does not
 * know it, and executes it without going further. One that does not answer in time is passed over.
 */
#include "common/base/err.h"
#include "httpd/core/uri.h"
#include "httpd/datacenters.h"
#include "httpd/forward.h"
#include "httpd/query.h"
#include "httpd/query_body.h"
#include "httpd/routes.h"

/* With two that hang, a DNS client still gets its answer in time. */
enum { COORDINATES_MS = 1000, DATACENTER_MS = 2000 };

struct failover {
	struct query_def query;
	int64_t limit;
	struct strs datacenters; /* to be tried */
	uint32_t next;
	struct str datacenter; /* the last one that answered */
};

static void answer_nothing(struct exchange *x, const struct failover *f)
{
	const struct query_hits none = { 0 };

	query_answer(x, &f->query, &none, f->datacenter, f->next);
}

/* ---- asking ---- */

static void target_render(struct exchange *x, const struct failover *f, struct buf *out)
{
	OWN_EMBEDDED(buf_fini) struct buf json = { 0 };
	const char *mode = x->answer.consistency;

	buf_printf(out, "/v1/internal/query?limit=%lld&failovers=%u", (long long)f->limit, f->next);
	if (!str_eq(str_of(mode), STR("leader"))) {
		buf_printf(out, "&%s", mode);
	}
	buf_put_lit(out, "&query=");
	query_json(&json, &f->query, 0, 0);
	uri_encode_query(buf_str(&json), out);
}

static void ask_next(struct exchange *x);

static void on_datacenter(struct exchange *x, const struct peer_answer *answer)
{
	struct failover *f = x->state;

	if (!answer->unreachable && answer->status == 200) {
		f->datacenter = f->datacenters.items[f->next - 1];
		if (!str_eq(answer->body, STR("null"))) {
			buf_put_str(exchange_body(x), answer->body);
			answer_index(x, 1);
			answer_json(x, 200);
			return;
		}
	}
	ask_next(x);
}

static void ask_next(struct exchange *x)
{
	OWN_EMBEDDED(buf_fini) struct buf target = { 0 };
	struct failover *f = x->state;
	struct peer_question question = {
		.method = STR("GET"), .repeatable = true, .timeout_ms = DATACENTER_MS
	};

	if (f->next == f->datacenters.count) {
		answer_nothing(x, f);
		return;
	}
	question.datacenter = f->datacenters.items[f->next++];
	target_render(x, f, &target);
	question.target = buf_str(&target);
	exchange_ask_datacenter(x, &question, on_datacenter);
}

/* ---- whom ---- */

/* known: nearest first. Unknown ones are passed over, and none is tried twice. */
static struct strs choose(struct exchange *x, const struct query_def *q, const struct strs *known)
{
	struct strs chosen = { arena_array(&x->arena, struct str, known->count), 0, true };
	struct str own = x->httpd->conf->datacenter;

	for (uint32_t i = 0; i < known->count && (int64_t)chosen.count < q->nearest_n; i++) {
		if (!str_eq(known->items[i], own)) {
			chosen.items[chosen.count++] = known->items[i];
		}
	}
	for (uint32_t i = 0; i < q->datacenters.count; i++) {
		struct str dc = q->datacenters.items[i];

		if (!str_eq(dc, own) && strs_has(known, dc) && !strs_has(&chosen, dc)) {
			chosen.items[chosen.count++] = dc;
		}
	}
	return chosen;
}

static void on_coordinates(struct exchange *x, int status, struct str payload)
{
	struct failover *f = x->state;
	struct strs known;

	datacenters_by_distance(x, status, payload, &known);
	f->datacenters = choose(x, &f->query, &known);
	ask_next(x);
}

void query_failover(struct exchange *x, const struct query_def *q, int64_t limit)
{
	OWN_EMBEDDED(buf_fini) struct buf bytes = { 0 };
	struct failover *f = arena_new(&x->arena, struct failover);
	struct gossip_coordinates m = { .wan = true };

	query_def_encode(&bytes, q); /* it lies in the transaction, which ends */
	must(!query_def_decode(arena_str(&x->arena, buf_str(&bytes)), &x->arena, &f->query));
	f->limit = limit;
	f->datacenter = x->httpd->conf->datacenter;
	x->state = f;
	if (q->nearest_n <= 0 && !q->datacenters.count) {
		answer_nothing(x, f);
	} else if (ipc_client_connected(x->httpd->gossip_read)) {
		EXCHANGE_CALL(x, x->httpd->gossip_read, gossip_coordinates, &m, COORDINATES_MS,
			on_coordinates);
	} else {
		on_coordinates(x, ST_CLOSED, STR_NONE);
	}
}

/* ---- the other side ---- */

void handle_query_remote(struct exchange *x)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct str text = request_param(&x->request, "query"), id;
	struct str count = request_param(&x->request, "failovers");
	struct query_def query;
	uint64_t failovers = 0;
	struct json *v;

	if (!exchange_hops(x)) { /* not for clients */
		answer_empty(x, 404);
	} else if (json_parse(&x->arena, text, &v, &why) ||
		   query_body(&x->arena, v, &query, &id, &why) || query_check(&query, &why) ||
		   str_to_u64(count, &failovers)) {
		answer_printf(x, 400, "malformed query: " STR_FMT, STR_ARG(buf_str(&why)));
	} else {
		query_execute_for_other(x, &query, failovers);
	}
}
