/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The questions that Serf's agents put to each other: about the keys of the pool (list, install,
 * use, remove), and about who owns a name. Section numbers: the notes on the protocol.
 */
#include "gossipd/core/pool_private.h"

static const struct {
	struct str name;
	int (*change)(struct keyring *k, struct str key, struct buf *why);
} operations[] = {
	[POOL_KEY_LIST] = { { "_serf_list-keys", 15 }, NULL },
	[POOL_KEY_INSTALL] = { { "_serf_install-key", 17 }, keyring_install },
	[POOL_KEY_USE] = { { "_serf_use-key", 13 }, keyring_use },
	[POOL_KEY_REMOVE] = { { "_serf_remove-key", 16 }, keyring_remove },
};

/* -------- answering (5.8) -------- */

static void respond(struct pool *p, const struct serf_query *q, const struct serf_key_response *m)
{
	OWN_EMBEDDED(buf_fini) struct buf bytes = { 0 };

	serf_put(&bytes, SERF_KEY_RESPONSE, &serf_key_response_schema, m);
	query_respond(p, q, 0, buf_str(&bytes));
}

static void key_text(const struct pool *p, uint32_t i, struct buf *out)
{
	struct str key = keyring_at(&p->keyring, i);

	base64_render(out, key.p, key.n);
}

/* As many as fit in an answer. */
static void respond_list(struct pool *p, const struct serf_query *q)
{
	enum { KEYS_ROOM = POOL_RESPONSE_MAX - 256 };
	OWN_EMBEDDED(buf_fini) struct buf list = { 0 }, primary = { 0 }, text = { 0 };
	struct serf_key_response m = { .result = true };
	uint32_t shown = p->keyring.count;

	do {
		buf_clear(&list);
		pack_array(&list, shown);
		for (uint32_t i = 0; i < shown; i++) {
			OWN_EMBEDDED(buf_fini) struct buf key = { 0 };

			key_text(p, i, &key);
			pack_str(&list, buf_str(&key));
		}
	} while (list.n > KEYS_ROOM && shown-- > 0);
	if (shown < p->keyring.count) {
		buf_printf(&text, "truncated key list response, showing first %u of %u keys", shown,
			p->keyring.count);
	}
	key_text(p, 0, &primary);
	m.keys = buf_str(&list);
	m.primary_key = buf_str(&primary);
	m.message = buf_str(&text);
	respond(p, q, &m);
}

static void respond_change(struct pool *p, const struct serf_query *q,
	enum pool_key_operation operation, struct str key)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	uint32_t before = p->keyring.version;
	struct serf_key_response m = {
		.result = operations[operation].change(&p->keyring, key, &why) == 0,
		.message = buf_str(&why),
	};

	m.message = buf_str(&why);
	p->update->keyring_changed |= p->keyring.version != before;
	respond(p, q, &m);
}

bool keys_answer(struct pool *p, const struct serf_query *q)
{
	struct serf_key_response none = { .result = false };
	struct serf_key_request request = { .key = STR_NONE };
	size_t i = 0;

	while (i < ARRAY_SIZE(operations) && !str_eq(q->name, operations[i].name)) {
		i++;
	}
	if (i == ARRAY_SIZE(operations)) {
		return false;
	}
	if (!q->payload.n || q->payload.p[0] != SERF_KEY_REQUEST ||
		swim_get(str_skip(q->payload, 1), &serf_key_request_schema, &request)) {
		return true;
	}
	if (!p->keyring.count) {
		none.message = i == POOL_KEY_LIST
				       ? STR("Keyring is empty (encryption not enabled)")
				       : STR("No keyring to modify (encryption not enabled)");
		respond(p, q, &none);
	} else if (i == POOL_KEY_LIST) {
		respond_list(p, q);
	} else {
		respond_change(p, q, (enum pool_key_operation)i, request.key);
	}
	return true;
}

/* -------- asking -------- */

static void result_clear(struct pool *p)
{
	counts_fini(&p->keys.messages);
	counts_fini(&p->keys.keys);
	counts_fini(&p->keys.primary);
	p->keys.nodes = p->keys.responses = p->keys.errors = 0;
}

void keys_start(struct pool *p, const struct pool_event *e)
{
	OWN_EMBEDDED(buf_fini) struct buf payload = { 0 };
	struct serf_key_request m = { .key = e->payload.p ? e->payload : STR("") };
	const struct pool_query *q;

	list_for_each (q, &p->queries, link) {
		if (q->kind == QUERY_KEYS) {
			p->update->status = ST_FULL;
			return;
		}
	}
	result_clear(p);
	serf_put(&payload, SERF_KEY_REQUEST, &serf_key_request_schema, &m);
	p->update->status = query_send(
		p, QUERY_KEYS, operations[e->key_operation].name, buf_str(&payload), &e->query);
}

/* Of what others say there are only so many, and no longer ones than keys can be. */
static void key_count(struct map *counts, struct str key)
{
	enum { KEY_TEXT_MAX = 44 };

	if (key.n && key.n <= KEY_TEXT_MAX &&
		(counts->count < POOL_KEYS_SEEN_MAX || map_find_node(counts, key))) {
		count_add(counts, key, STR(""));
	}
}

void keys_on_response(struct pool *p, struct pool_query *q, const struct serf_response *m)
{
	struct pool_keys_result *result = &p->keys;
	struct serf_key_response r;
	struct cursor keys;
	uint32_t count;

	(void)q;
	result->responses++;
	if (!m->payload.n || m->payload.p[0] != SERF_KEY_RESPONSE ||
		swim_get(str_skip(m->payload, 1), &serf_key_response_schema, &r)) {
		result->errors++;
		count_add(&result->messages, m->from, STR("Invalid key query response type"));
		return;
	}
	result->errors += !r.result;
	if (!r.result || r.message.n) {
		count_add(&result->messages, m->from, r.message.p ? r.message : STR(""));
	}
	keys = cursor_of(r.keys);
	count = r.keys.n ? unpack_array(&keys) : 0;
	for (uint32_t i = 0; i < count && !keys.bad; i++) {
		struct str key = unpack_str(&keys);

		if (!keys.bad) {
			key_count(&result->keys, key);
		}
	}
	key_count(&result->primary, r.primary_key);
}

void keys_done(struct pool *p, struct pool_query *q)
{
	p->keys.nodes = (uint32_t)pool_count(p, MEMBER_ALIVE);
	note_add(p, POOL_NOTE_KEYS_DONE, STR(""), STR(""));
	note_last(p)->id = q->id;
}

/* -------- who owns a name -------- */

void conflict_answer(struct pool *p, const struct serf_query *q)
{
	OWN_EMBEDDED(buf_fini) struct buf bytes = { 0 };
	const struct pool_node *n = node_find(p, q->payload);
	struct serf_conflict m;

	if (str_eq(q->payload, p->options.name)) {
		return;
	}
	if (!n || n->status == MEMBER_NONE) {
		buf_put_u8(&bytes, SERF_CONFLICT);
		pack_nil(&bytes);
	} else {
		m = (struct serf_conflict) {
			.name = n->name,
			.addr = address_str(&n->address),
			.port = n->address.port,
			.status = n->status,
			.tags = n->meta.n && (uint8_t)n->meta.p[0] == 0xff ? str_skip(n->meta, 1)
									   : STR("\x80"),
			.protocol_min = n->versions[0],
			.protocol_max = n->versions[1],
			.protocol_cur = n->versions[2],
			.delegate_min = n->versions[3],
			.delegate_max = n->versions[4],
			.delegate_cur = n->versions[5],
		};
		serf_put(&bytes, SERF_CONFLICT, &serf_conflict_schema, &m);
	}
	query_respond(p, q, 0, buf_str(&bytes));
}
