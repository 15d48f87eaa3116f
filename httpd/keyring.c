/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /v1/operator/keyring: the keys of gossip, in the WAN pool, then in this data centre's LAN pool,
 * then in those of all others, whose servers are asked over the port for other nodes; there only
 * the LAN pool counts. Every member of each is asked; the answer is put together from all. A data
 * centre that cannot be reached fails the whole, as in Consul: keys that are not everywhere cut
 * nodes off.
 */
#include "httpd/forward.h"
#include "httpd/routes.h"

enum { KEYRING_MS = 60000, KEY_LIST = 0, KEY_INSTALL = 1, KEY_USE = 2, KEY_REMOVE = 3 };

struct keyring_ask {
	uint8_t operation;
	struct str key; /* raw */
	uint8_t relay_factor;
	bool local;
	int first, pools_done;			/* first: 1 where only the LAN pool is meant */
	struct gossip_keyring_reply replies[2]; /* WAN, LAN */
	struct strs datacenters;		/* the others */
	uint32_t datacenters_done;
	struct str body;
	struct str more, more_errors; /* what they said: pools, lines of errors */
	uint32_t more_errors_count;
};

static void put_counts(struct jsonw *w, const char *key, const struct pairs *counts, bool text)
{
	jsonw_key(w, str_of(key));
	jsonw_open(w, '{');
	for (uint32_t i = 0; i < counts->count; i++) {
		jsonw_key(w, counts->items[i].key);
		if (text) {
			jsonw_str(w, counts->items[i].value);
		} else {
			jsonw_raw(w, counts->items[i].value);
		}
	}
	jsonw_close(w, '}');
}

static void put_pool(
	struct exchange *x, struct jsonw *w, const struct gossip_keyring_reply *r, bool wan)
{
	jsonw_open(w, '{');
	jsonw_put_bool(w, "WAN", wan);
	jsonw_put_str(w, "Datacenter", x->httpd->conf->datacenter);
	jsonw_put_cstr(w, "Segment", "");
	if (r->messages.count) {
		put_counts(w, "Messages", &r->messages, true);
	}
	put_counts(w, "Keys", &r->keys, false);
	put_counts(w, "PrimaryKeys", &r->primary_keys, false);
	jsonw_put_u64(w, "NumNodes", r->nodes);
	jsonw_close(w, '}');
}

/* Consul's list of errors: per pool what it says, then what its members say. */
static uint32_t errors_put(
	struct exchange *x, const struct gossip_keyring_reply *r, int pool, struct buf *out)
{
	struct str name = pool ? arena_printf(&x->arena, STR_FMT " (LAN)",
					 STR_ARG(x->httpd->conf->datacenter))
			       : STR("WAN");

	if (r->result.kind == RESULT_OK) {
		return 0;
	}
	buf_printf(out, "\t* " STR_FMT " error: " STR_FMT "\n", STR_ARG(name),
		STR_ARG(r->result.text));
	for (uint32_t i = 0; i < r->messages.count; i++) {
		buf_printf(out, "\t* " STR_FMT ": " STR_FMT "\n", STR_ARG(r->messages.items[i].key),
			STR_ARG(r->messages.items[i].value));
	}
	return 1 + r->messages.count;
}

static void answer_errors(struct exchange *x, uint32_t count, const struct buf *lines)
{
	answer_text(x, 500,
		arena_printf(&x->arena, "%u error%s occurred:\n" STR_FMT "\n", count,
			count == 1 ? "" : "s", STR_ARG(buf_str(lines))));
}

static void finish(struct exchange *x, const struct keyring_ask *ask)
{
	OWN_EMBEDDED(buf_fini) struct buf lines = { 0 };
	struct jsonw w = jsonw_of(exchange_body(x));
	uint32_t count = 0;

	for (int i = ask->first; i < 2; i++) {
		count += errors_put(x, &ask->replies[i], i, &lines);
	}
	buf_put_str(&lines, ask->more_errors);
	count += ask->more_errors_count;
	if (count && ask->first) { /* for the server that asked */
		answer_text(x, 500, buf_str(&lines));
	} else if (count) {
		answer_errors(x, count, &lines);
	} else if (ask->operation == KEY_LIST) {
		jsonw_open(&w, '[');
		for (int i = ask->first; i < 2; i++) {
			put_pool(x, &w, &ask->replies[i], i == 0);
		}
		if (ask->more.n) {
			jsonw_raw(&w, ask->more);
		}
		jsonw_close(&w, ']');
		answer_json(x, 200);
	} else {
		answer_empty(x, 200);
	}
}

/* ---- other data centres ---- */

static uint32_t lines_count(struct str text)
{
	uint32_t count = 0;

	for (size_t i = 0; i < text.n; i++) {
		count += text.p[i] == '\n';
	}
	return count;
}

static void ask_datacenter(struct exchange *x);

static void on_datacenter(struct exchange *x, const struct peer_answer *answer)
{
	struct keyring_ask *ask = x->state;

	if (answer->unreachable) {
		answer_text(x, 500, answer->body);
		return;
	}
	if (answer->status != 200) {
		ask->more_errors = arena_printf(&x->arena, STR_FMT STR_FMT,
			STR_ARG(ask->more_errors), STR_ARG(answer->body));
		ask->more_errors_count += lines_count(answer->body);
	} else if (answer->body.n > 2) { /* "[...]" */
		ask->more = arena_printf(&x->arena, STR_FMT "%s" STR_FMT, STR_ARG(ask->more),
			ask->more.n ? "," : "", (int)answer->body.n - 2, answer->body.p + 1);
	}
	ask->datacenters_done++;
	ask_datacenter(x);
}

static void ask_datacenter(struct exchange *x)
{
	struct keyring_ask *ask = x->state;
	struct peer_question question = { .method = x->request.method_text,
		.target = x->request.target,
		.body = ask->body,
		.repeatable = true };

	for (; ask->datacenters_done < ask->datacenters.count; ask->datacenters_done++) {
		question.datacenter = ask->datacenters.items[ask->datacenters_done];
		if (!str_eq(question.datacenter, x->httpd->conf->datacenter)) {
			exchange_ask_datacenter(x, &question, on_datacenter);
			return;
		}
	}
	finish(x, ask);
}

/* ---- this one ---- */

static void ask_pool(struct exchange *x);

static void on_keys(struct exchange *x, int status, struct str payload)
{
	struct keyring_ask *ask = x->state;
	struct gossip_keyring_reply *r = &ask->replies[ask->pools_done];

	if (status || gossip_keyring_reply_decode(arena_str(&x->arena, payload), &x->arena, r)) {
		answer_result(x, status ? status : ST_INVALID, NULL);
		return;
	}
	if (++ask->pools_done < 2) {
		ask_pool(x);
	} else {
		ask_datacenter(x);
	}
}

static void ask_pool(struct exchange *x)
{
	const struct keyring_ask *ask = x->state;
	struct gossip_keyring m = {
		.token = exchange_token(x),
		.wan = ask->pools_done == 0,
		.operation = ask->operation,
		.key = ask->key,
		.relay_factor = ask->relay_factor,
		.local = ask->local,
	};

	EXCHANGE_CALL(x, x->httpd->gossip_write, gossip_keyring, &m, KEYRING_MS, on_keys);
}

/* The parameters. NULL: answered. */
static struct keyring_ask *ask_new(struct exchange *x, uint8_t operation)
{
	struct str relay = request_param(&x->request, "relay-factor");
	struct str local = request_param(&x->request, "local-only");
	struct keyring_ask *ask = arena_new(&x->arena, struct keyring_ask);
	int64_t factor = 0;

	ask->operation = operation;
	if (relay.n && str_to_i64(relay, &factor)) {
		answer_printf(x, 400,
			"Bad request: Error parsing relay factor: strconv.Atoi: parsing \"" STR_FMT
			"\": invalid syntax",
			STR_ARG(relay));
		return NULL;
	}
	if (factor < 0 || factor > 5) {
		answer_text(x, 400,
			STR("Bad request: Invalid relay-factor: Relay factor must be in range: [0, "
			    "5]"));
		return NULL;
	}
	if (local.n && str_to_bool(local, &ask->local)) {
		answer_printf(x, 400,
			"Bad request: Error parsing local-only: strconv.ParseBool: parsing "
			"\"" STR_FMT "\": invalid syntax",
			STR_ARG(local));
		return NULL;
	}
	if (ask->local && operation != KEY_LIST) {
		answer_text(x, 400,
			STR("Bad request: Invalid use of local-only: local-only can only be set "
			    "for list requests"));
		return NULL;
	}
	if (!x->httpd->conf->server) {
		answer_text(x, 500, STR("keyring operations must run against a server node"));
		return NULL;
	}
	ask->relay_factor = (uint8_t)factor;
	ask->body = arena_str(&x->arena, x->request.body);
	ask->first = ask->pools_done = exchange_hops(x) > 0;
	if (!ask->first && !ask->local) {
		servers_datacenters(x->httpd->forwards->servers, &x->arena, &ask->datacenters);
	}
	x->state = ask;
	return ask;
}

void handle_keyring_list(struct exchange *x)
{
	if (ask_new(x, KEY_LIST)) {
		ask_pool(x);
	}
}

struct key_body {
	struct str key;
};

static const struct bind_field key_fields[] = {
	{ "Key", BIND_STR, offsetof(struct key_body, key) },
};

static const struct bind_object key_rows = {
	.go_name = "keyringArgs",
	.go_value = "agent.keyringArgs",
	.size = sizeof(struct key_body),
	BIND_FIELDS(key_fields),
};

static void change(struct exchange *x, uint8_t operation)
{
	OWN_EMBEDDED(buf_fini) struct buf key = { 0 }, lines = { 0 };
	struct keyring_ask *ask = ask_new(x, operation);
	struct key_body body = { 0 };
	size_t bad_at = 0;

	if (!ask || !exchange_bind(x, &key_rows, &body)) {
		return;
	}
	if (base64_parse(body.key, &key, &bad_at)) {
		buf_printf(&lines,
			"\t* WAN error: illegal base64 data at input byte %zu\n\t* " STR_FMT
			" (LAN) error: illegal base64 data at input byte %zu\n",
			bad_at, STR_ARG(x->httpd->conf->datacenter), bad_at);
		answer_errors(x, 2, &lines);
		return;
	}
	ask->key = arena_str(&x->arena, buf_str(&key));
	ask_pool(x);
}

void handle_keyring_install(struct exchange *x)
{
	change(x, KEY_INSTALL);
}

void handle_keyring_use(struct exchange *x)
{
	change(x, KEY_USE);
}

void handle_keyring_remove(struct exchange *x)
{
	change(x, KEY_REMOVE);
}
