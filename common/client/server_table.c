/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A list, since data centres have few servers: each question walks it once.
 */
#include "common/client/server_table.h"

enum { MEMBER_ALIVE = 1, MEMBER_LEAVING = 2, MEMBER_FAILED = 4 };

struct server_entry {
	struct list link;
	struct server shown;
	char *text; /* what shown's strings lie in */
	bool wan;   /* the pool that it is known from */
	bool alive, seen;
	struct mono benched_until;
	int64_t bench_ms; /* of the last failure; 0: none since it did well */
};

void server_table_init(
	struct server_table *t, const struct uuid *self, struct str datacenter, uint64_t seed)
{
	*t = (struct server_table) { .self = *self, .datacenter = datacenter };
	list_init(&t->servers);
	rng_init(&t->rng, seed);
}

static void entry_free(struct server_table *t, struct server_entry *e)
{
	list_del(&e->link);
	t->count--;
	free(e->text);
	free(e);
}

void server_table_fini(struct server_table *t)
{
	struct server_entry *e, *following;

	list_for_each_safe (e, following, &t->servers, link) {
		entry_free(t, e);
	}
}

/* ---- what the pools say ---- */

static uint16_t port_of(const struct member *m, struct str tag, uint16_t otherwise)
{
	struct str text = pairs_find(&m->tags, tag);
	uint64_t port;

	if (!text.p) {
		return otherwise;
	}
	return str_to_u64(text, &port) || port > UINT16_MAX ? 0 : (uint16_t)port;
}

/* "web1" of "web1.dc2" in the WAN pool */
static struct str name_of(const struct member *m, struct str datacenter)
{
	size_t n = m->name.n - min_of(m->name.n, datacenter.n + 1);

	return str_ends(m->name, datacenter) && n && m->name.p[n] == '.' ? str_cut(m->name, n)
									 : m->name;
}

/* What a member is as a server; false: it is none that counts for this pool. */
static bool server_of(
	const struct server_table *t, const struct member *m, bool wan, struct server *out)
{
	struct str datacenter = pairs_find(&m->tags, STR("dc"));

	if (!str_is(pairs_find(&m->tags, STR("role")), "consul") || !datacenter.n ||
		str_eq(datacenter, t->datacenter) == wan ||
		uuid_parse(pairs_find(&m->tags, STR("id")), &out->uuid)) {
		return false;
	}
	out->datacenter = datacenter;
	out->name = wan ? name_of(m, datacenter) : m->name;
	out->ip = m->addr;
	out->http_port = port_of(m, STR("http_port"), SERVER_HTTP_PORT);
	out->dns_port = port_of(m, STR("dns_port"), SERVER_DNS_PORT);
	return m->status == MEMBER_ALIVE || m->status == MEMBER_LEAVING ||
	       m->status == MEMBER_FAILED;
}

static struct server_entry *entry_find(const struct server_table *t, const struct uuid *uuid)
{
	struct server_entry *e;

	list_for_each (e, &t->servers, link) {
		if (uuid_eq(&e->shown.uuid, uuid)) {
			return e;
		}
	}
	return NULL;
}

static bool is_same_place(const struct server *a, const struct server *b)
{
	return str_eq(a->ip, b->ip) && a->http_port == b->http_port && a->dns_port == b->dns_port;
}

static struct str text_put(char **at, struct str s)
{
	struct str kept = { *at, s.n };

	memcpy(*at, s.p, s.n);
	*at += s.n;
	return kept;
}

static void entry_describe(struct server_entry *e, const struct server *s)
{
	char *text = xmalloc(s->name.n + s->datacenter.n + s->ip.n + 1), *at = text;

	e->shown = *s;
	e->shown.name = text_put(&at, s->name);
	e->shown.datacenter = text_put(&at, s->datacenter);
	e->shown.ip = text_put(&at, s->ip);
	free(e->text);
	e->text = text;
}

static void member_put(struct server_table *t, const struct member *m, bool wan)
{
	bool alive = m->status == MEMBER_ALIVE;
	struct server_entry *e;
	struct server s;

	if (!server_of(t, m, wan, &s)) {
		return;
	}
	e = entry_find(t, &s.uuid);
	if (!e && t->count == SERVERS_MAX) {
		return;
	}
	if (!e) {
		e = xcalloc(1, sizeof(*e));
		list_add_tail(&t->servers, &e->link);
		t->count++;
	} else if ((alive && !e->alive) || !is_same_place(&e->shown, &s)) {
		e->bench_ms = 0; /* it has come back */
		e->benched_until = (struct mono) { 0 };
	}
	entry_describe(e, &s);
	e->wan = wan;
	e->alive = alive;
	e->seen = true;
}

void server_table_update(
	struct server_table *t, const struct member *members, uint32_t count, bool wan)
{
	struct server_entry *e, *following;

	list_for_each (e, &t->servers, link) {
		e->seen = e->wan != wan;
	}
	for (uint32_t i = 0; i < count; i++) {
		member_put(t, &members[i], wan);
	}
	list_for_each_safe (e, following, &t->servers, link) {
		if (!e->seen) {
			entry_free(t, e);
		}
	}
}

/* ---- whom to ask ---- */

static bool is_in(const struct uuid *list, size_t count, const struct uuid *uuid)
{
	for (size_t i = 0; i < count; i++) {
		if (uuid_eq(&list[i], uuid)) {
			return true;
		}
	}
	return false;
}

bool server_table_pick(struct server_table *t, struct str datacenter, const struct uuid *tried,
	size_t tried_count, struct mono now, struct server *out)
{
	const struct server_entry *e, *best = NULL, *soonest = NULL;
	uint64_t count = 0;

	list_for_each (e, &t->servers, link) {
		if (!e->alive || !str_eq(e->shown.datacenter, datacenter) ||
			uuid_eq(&e->shown.uuid, &t->self) ||
			is_in(tried, tried_count, &e->shown.uuid)) {
			continue;
		}
		if (mono_before(now, e->benched_until)) {
			if (!soonest || mono_before(e->benched_until, soonest->benched_until)) {
				soonest = e;
			}
		} else if (rng_below(&t->rng, ++count) == 0) { /* each is as likely as the others */
			best = e;
		}
	}
	best = best ? best : soonest;
	if (best) {
		*out = best->shown;
	}
	return best;
}

void server_table_failed(struct server_table *t, const struct uuid *server, struct mono now)
{
	struct server_entry *e = entry_find(t, server);

	/* Of many requests that fail together only the first counts. */
	if (!e || mono_before(now, e->benched_until)) {
		return;
	}
	e->bench_ms = e->bench_ms ? min_of(2 * e->bench_ms, (int64_t)SERVER_BENCH_MAX_MS)
				  : SERVER_BENCH_FIRST_MS;
	e->benched_until = mono_add_ms(now, e->bench_ms);
}

void server_table_good(struct server_table *t, const struct uuid *server)
{
	struct server_entry *e = entry_find(t, server);

	if (e) {
		e->bench_ms = 0;
		e->benched_until = (struct mono) { 0 };
	}
}

bool server_table_find(
	const struct server_table *t, struct str ip, uint16_t http_port, struct server *out)
{
	const struct server_entry *e;

	list_for_each (e, &t->servers, link) {
		if (str_eq(e->shown.datacenter, t->datacenter) && str_eq(e->shown.ip, ip) &&
			e->shown.http_port == http_port && !uuid_eq(&e->shown.uuid, &t->self)) {
			*out = e->shown;
			return true;
		}
	}
	return false;
}

/* ---- what is known ---- */

size_t server_table_count(const struct server_table *t, struct str datacenter)
{
	const struct server_entry *e;
	size_t count = 0;

	list_for_each (e, &t->servers, link) {
		count += str_eq(e->shown.datacenter, datacenter);
	}
	return count;
}

bool server_table_knows(const struct server_table *t, struct str datacenter)
{
	return server_table_count(t, datacenter) > 0;
}

bool server_table_is_alive(const struct server_table *t, const struct uuid *server)
{
	const struct server_entry *e = entry_find(t, server);

	return e && e->alive;
}

size_t server_table_alive(const struct server_table *t, struct str datacenter)
{
	const struct server_entry *e;
	size_t count = 0;

	list_for_each (e, &t->servers, link) {
		count += e->alive && str_eq(e->shown.datacenter, datacenter) &&
			 !uuid_eq(&e->shown.uuid, &t->self);
	}
	return count;
}

static int name_cmp(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

void server_table_datacenters(const struct server_table *t, struct arena *arena, struct strs *out)
{
	const struct server_entry *e;
	uint32_t unique = 1;

	*out = (struct strs) { .items = arena_array(arena, struct str, t->count + 1),
		.present = true };
	out->items[out->count++] = arena_str(arena, t->datacenter);
	list_for_each (e, &t->servers, link) {
		out->items[out->count++] = arena_str(arena, e->shown.datacenter);
	}
	qsort(out->items, out->count, sizeof(out->items[0]), name_cmp);
	for (uint32_t i = 1; i < out->count; i++) {
		if (!str_eq(out->items[i], out->items[unique - 1])) {
			out->items[unique++] = out->items[i];
		}
	}
	out->count = unique;
}
