/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Joining: by call, by configuration (start_join once, retry_join until it works), again after a
 * restart from what the snapshot remembers, and other servers into the WAN pool.
 */
#include <netinet/in.h>

#include "common/sys/clock.h"
#include "gossipd/gossipd.h"

struct join {
	struct list link;
	struct ipc_call *call; /* NULL: by ourselves */
	struct retry *retry;   /* of a list of addresses, or NULL */
	enum gossip_pool_name pool;
	uint32_t token;
	struct buf host;
};

enum retry_kind { RETRY_ONCE, RETRY_FOREVER, RETRY_REJOIN };

/* A list of addresses that belong together. */
struct retry {
	struct list link;
	struct gossipd *gossipd;
	enum retry_kind kind;
	enum gossip_pool_name pool;
	char **addresses;
	size_t count, at, failures;
	bool joined;
	int64_t attempts, attempts_max, interval_ms;
	struct loop_timer timer;
};

static void answer(struct ipc_call *call, int kind, struct str text)
{
	struct gossip_join_reply reply = { .result = { .kind = (uint8_t)kind, .text = text } };

	IPC_REPLY(call, gossip_join, &reply);
}

static void answer_failure(struct ipc_call *call, const char *format, ...) PRINTF_LIKE(2, 3);
static void answer_failure(struct ipc_call *call, const char *format, ...)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	va_list args;

	buf_put_lit(&text, "1 error occurred:\n\t* ");
	va_start(args, format);
	buf_vprintf(&text, format, args);
	va_end(args);
	buf_put_lit(&text, "\n\n");
	answer(call, RESULT_ERROR, buf_str(&text));
}

/* -------- one address -------- */

static int address_of_text(const struct wire *w, struct str text, struct pool_address *out)
{
	uint16_t port = w->pool.options.address.port;
	struct net_address a;
	struct str rest;

	/* "name/1.2.3.4:8301": the name is for later versions of the protocol. */
	str_split(text, '/', &rest);
	if (net_address_parse(rest.p ? rest : text, port, &a)) {
		return ST_INVALID;
	}
	*out = (struct pool_address) { .n = 0 };
	if (a.sa.ss_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)&a.sa;

		out->n = 4;
		out->port = ntohs(v4->sin_port);
		memcpy(out->bytes, &v4->sin_addr, 4);
	} else if (a.sa.ss_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&a.sa;

		out->n = 16;
		out->port = ntohs(v6->sin6_port);
		memcpy(out->bytes, &v6->sin6_addr, 16);
	}
	return out->n ? 0 : ST_INVALID;
}

static void join_free(struct gossipd *g, struct join *j)
{
	list_del(&j->link);
	g->joins_count--;
	buf_fini(&j->host);
	free(j);
}

/* NULL: too many. */
static struct join *join_begin(struct wire *w, const struct pool_address *address, bool rejoin)
{
	struct gossipd *g = w->gossipd;
	struct pool_event event = { .type = POOL_JOIN, .from = *address, .rejoin = rejoin };
	struct pool_update update;
	struct join *j;

	if (g->joins_count == JOINS_MAX) {
		return NULL;
	}
	j = xcalloc(1, sizeof(*j));
	j->pool = w->name;
	pool_address_render(address, &j->host);
	list_add_tail(&g->joins, &j->link);
	g->joins_count++;
	wire_step(w, &event, &update);
	j->token = update.id;
	return j;
}

void handle_join(struct gossipd *g, struct ipc_call *call, const struct gossip_join *m)
{
	struct wire *w = &g->wires[m->wan ? GOSSIP_WAN : GOSSIP_LAN];
	struct pool_address address;
	struct join *j;

	if (!w->active) {
		answer(call, RESULT_ERROR, STR("Must be a server to join WAN cluster"));
		return;
	}
	if (address_of_text(w, m->address, &address)) {
		answer_failure(call,
			"Failed to resolve " STR_FMT ": lookup " STR_FMT ": no such host",
			STR_ARG(m->address), STR_ARG(m->address));
		return;
	}
	j = join_begin(w, &address, false);
	if (j) {
		j->call = call;
	} else {
		ipc_refuse(call, ST_FULL);
	}
}

/* -------- a list of addresses -------- */

static void retry_free(struct retry *r)
{
	for (size_t i = 0; i < r->count; i++) {
		free(r->addresses[i]);
	}
	loop_timer_stop(&r->timer);
	list_del(&r->link);
	free(r->addresses);
	free(r);
}

/* The next address; rejoining stops at the first that works, joining tries them all. */
static void retry_next(struct retry *r)
{
	struct gossipd *g = r->gossipd;
	struct wire *w = &g->wires[r->pool];

	while (r->at < r->count && !(r->kind == RETRY_REJOIN && r->joined)) {
		const char *text = r->addresses[r->at++];
		struct pool_address address;
		struct join *j = NULL;

		if (address_of_text(w, str_of(text), &address)) {
			log_warning("join-address", "address=\"%s\" reason=\"not an IP address\"",
				text);
		} else {
			j = join_begin(w, &address, r->kind == RETRY_REJOIN);
		}
		if (j) {
			j->retry = r;
			return;
		}
	}
	r->attempts++;
	if (r->joined || r->kind != RETRY_FOREVER) {
		if (!r->joined) {
			log_warning("join-failed", "addresses=%zu", r->count);
		}
		retry_free(r);
	} else if (r->attempts_max && r->attempts >= r->attempts_max) {
		log_error("join-given-up", "attempts=%lld reason=\"max join retry exhausted\"",
			(long long)r->attempts);
		retry_free(r);
	} else {
		log_warning("join-failed", "addresses=%zu action=\"again in %lld ms\"", r->count,
			(long long)r->interval_ms);
		r->at = 0;
		loop_timer_in(&r->timer, r->interval_ms);
	}
}

static void on_retry(void *arg)
{
	retry_next(arg);
}

static struct retry *retry_new(struct wire *w, enum retry_kind kind, size_t room)
{
	struct retry *r = xcalloc(1, sizeof(*r));

	*r = (struct retry) { .gossipd = w->gossipd, .kind = kind, .pool = w->name };
	r->addresses = xcalloc(room + 1, sizeof(char *));
	loop_timer_init(&r->timer, w->gossipd->daemon->loop, on_retry, r);
	list_add_tail(&w->gossipd->retries, &r->link);
	return r;
}

void joins_on_note(struct wire *w, uint32_t token, struct str why)
{
	struct gossipd *g = w->gossipd;
	struct join *j, *next;

	list_for_each_safe (j, next, &g->joins, link) {
		struct retry *r = j->retry;

		if (j->pool != w->name || j->token != token) {
			continue;
		}
		if (j->call && why.n) {
			answer_failure(j->call, "Failed to join %s: " STR_FMT, buf_cstr(&j->host),
				STR_ARG(why));
		} else if (j->call) {
			answer(j->call, RESULT_OK, STR_NONE);
		} else if (why.n) {
			log_info("not-joined", "address=%s reason=\"" STR_FMT "\"",
				buf_cstr(&j->host), STR_ARG(why));
		} else {
			log_notice("joined", "pool=%s address=%s",
				w->name == GOSSIP_WAN ? "wan" : "lan", buf_cstr(&j->host));
		}
		join_free(g, j);
		if (r) {
			r->joined |= !why.n;
			/* Later: this is the middle of a step. */
			loop_timer_in(&r->timer, 0);
		}
		return;
	}
}

/* -------- by configuration -------- */

static void list_start(struct wire *w, enum retry_kind kind, const char *key)
{
	const struct json *list, *item;
	bool wan = w->name == GOSSIP_WAN;
	const struct conf *c;
	struct retry *r;

	if (!w->active) {
		return;
	}
	c = w->gossipd->daemon->conf;
	list = json_find(c->merged, key);
	if (!list || list->type != JSON_ARRAY || !list->count) {
		return;
	}
	r = retry_new(w, kind, list->count);
	json_for_each (item, list) {
		r->addresses[r->count++] = str_dup(item->text);
	}
	r->interval_ms = conf_ms(c, NULL, wan ? "retry_interval_wan" : "retry_interval", 30000);
	r->attempts_max = conf_number(c, NULL, wan ? "retry_max_wan" : "retry_max", 0);
	loop_timer_in(&r->timer, 0);
}

void joins_start(struct gossipd *g)
{
	list_start(&g->wires[GOSSIP_LAN], RETRY_ONCE, "start_join");
	list_start(&g->wires[GOSSIP_LAN], RETRY_FOREVER, "retry_join");
	list_start(&g->wires[GOSSIP_WAN], RETRY_ONCE, "start_join_wan");
	list_start(&g->wires[GOSSIP_WAN], RETRY_FOREVER, "retry_join_wan");
	loop_timer_in(&g->flood_timer, FLOOD_MS);
}

/* The members of the last life in random order. */
void joins_rejoin(struct wire *w, const struct snapshot *s)
{
	const struct conf *c = w->gossipd->daemon->conf;
	struct retry *r;

	if ((s->left && !c->rejoin_after_leave) || !s->members_count) {
		return;
	}
	r = retry_new(w, RETRY_REJOIN, s->members_count);
	for (uint32_t i = 0; i < s->members_count; i++) {
		size_t place = random_u64() % (r->count + 1);

		if (str_eq(s->members[i].name, w->pool.options.name)) {
			continue;
		}
		r->addresses[r->count] = r->addresses[place];
		r->addresses[place] = str_dup(s->members[i].address);
		r->count++;
	}
	if (r->count) {
		loop_timer_in(&r->timer, 0);
	} else {
		retry_free(r);
	}
}

/* -------- servers of the LAN into the WAN -------- */

static void flood_one(struct gossipd *g, const struct pool_node *n)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct wire *wan = &g->wires[GOSSIP_WAN];
	struct pool_address address = n->address;
	const struct pool_node *known;
	struct member m;
	int64_t port;

	member_of(n, &arena, &m);
	if (!str_is(pairs_find(&m.tags, STR("role")), "consul") ||
		str_to_i64(pairs_find(&m.tags, STR("wan_join_port")), &port) || port <= 0 ||
		port > UINT16_MAX) {
		return;
	}
	known = pool_find(&wan->pool, arena_printf(&arena, STR_FMT "." STR_FMT, STR_ARG(n->name),
					      STR_ARG(g->daemon->conf->datacenter)));
	if (!known || known->status != MEMBER_ALIVE) {
		address.port = (uint16_t)port;
		join_begin(wan, &address, false);
	}
}

void joins_flood(struct gossipd *g)
{
	struct wire *lan = &g->wires[GOSSIP_LAN];
	struct pool_node *n, *next;

	loop_timer_in(&g->flood_timer, FLOOD_MS);
	if (!g->wires[GOSSIP_WAN].active || g->wires[GOSSIP_WAN].pool.leave) {
		return;
	}
	pool_for_each(n, next, &lan->pool)
	{
		if (n->status == MEMBER_ALIVE && n != lan->pool.self) {
			flood_one(g, n);
		}
	}
}

static void on_flood(void *arg)
{
	joins_flood(arg);
}

/* -------- life -------- */

void joins_init(struct gossipd *g)
{
	list_init(&g->joins);
	list_init(&g->retries);
	loop_timer_init(&g->flood_timer, g->daemon->loop, on_flood, g);
}

void joins_fini(struct gossipd *g)
{
	while (!list_empty(&g->joins)) {
		join_free(g, list_first(&g->joins, struct join, link));
	}
	while (!list_empty(&g->retries)) {
		retry_free(list_first(&g->retries, struct retry, link));
	}
	loop_timer_stop(&g->flood_timer);
}
