/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Joining: by call, by configuration (start_join once, retry_join until it works), again after a
 * restart from what the snapshot remembers, and other servers into the WAN pool. A name is looked
 * up for each attempt, and all its addresses are joined.
 */
#include "common/sys/clock.h"
#include "common/sys/dial.h"
#include "gossipd/gossipd.h"

enum { RETRY_FIRST_MS = 250 };

/* One text that says where to join. */
struct join {
	struct list link;
	struct wire *wire;
	struct ipc_call *call; /* NULL: by ourselves */
	struct retry *retry;   /* of a list of addresses, or NULL */
	bool rejoin, own;  /* own: this node is among the addresses of a list, which is no news */
	struct dial *dial; /* it is being looked up */
	struct pool_address addresses[DIAL_ADDRESSES_MAX];
	size_t count, at, joined, failed;
	uint32_t token; /* of the address before `at` */
	struct loop_timer next;
	struct buf text, errors; /* errors: a line for each */
};

enum retry_kind { RETRY_ONCE, RETRY_FOREVER, RETRY_REJOIN };

/* A list of addresses that belong together. */
struct retry {
	struct list link;
	struct gossipd *gossipd;
	enum retry_kind kind;
	enum gossip_pool_name pool;
	char **addresses;
	size_t count, at, own;
	bool joined;
	int64_t attempts, attempts_max, interval_ms, pause_ms;
	struct loop_timer timer;
};

static void retry_next(struct retry *r);

/* -------- one text -------- */

static void join_free(struct join *j)
{
	struct gossipd *g = j->wire->gossipd;

	if (j->dial) {
		dial_free(j->dial);
	}
	loop_timer_stop(&j->next);
	list_del(&j->link);
	g->joins_count--;
	buf_fini(&j->text);
	buf_fini(&j->errors);
	free(j);
}

static void join_error(struct join *j, struct str what)
{
	buf_put_lit(&j->errors, "\n\t* ");
	buf_put_str(&j->errors, what);
	j->failed++;
}

/* In go-multierror's form, as Consul's agent answers. */
static void join_answer(struct join *j)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	struct gossip_join_reply reply = { .result = { .kind = RESULT_OK } };

	if (!j->joined) {
		buf_printf(&text, "%zu error%s occurred:" STR_FMT "\n\n", j->failed,
			j->failed == 1 ? "" : "s", STR_ARG(buf_str(&j->errors)));
		reply.result = (struct result) { .kind = RESULT_ERROR, .text = buf_str(&text) };
	}
	IPC_REPLY(j->call, gossip_join, &reply);
}

/* One line for a text, whatever became of its addresses. */
static void join_log(struct join *j)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct str rest = buf_str(&j->errors);

	if (j->joined) {
		log_notice("joined", "pool=%s address=\"%s\" members=%zu",
			j->wire->name == GOSSIP_WAN ? "wan" : "lan", buf_cstr(&j->text), j->joined);
		return;
	}
	while (rest.n) {
		struct str line = str_split(rest, '\n', &rest);

		if (line.n > 3) { /* "\t* " */
			buf_printf(
				&why, "%s" STR_FMT, why.n ? "; " : "", STR_ARG(str_skip(line, 3)));
		}
	}
	log_info("not-joined", "address=\"%s\" reason=\"%s\"", buf_cstr(&j->text), buf_cstr(&why));
}

static void join_end(struct join *j)
{
	struct retry *r = j->retry;

	if (j->call) {
		join_answer(j);
	} else if (j->count || j->failed) {
		join_log(j);
	}
	if (r) {
		r->joined |= j->joined > 0;
		r->own += j->own && !j->count;
	}
	join_free(j);
	if (r) {
		retry_next(r);
	}
}

/* Later than what it follows: that was the middle of a step, or of a caller who does not know of
 * this join yet. */
static void on_next(void *arg)
{
	struct join *j = arg;
	struct pool_event event = { .type = POOL_JOIN, .rejoin = j->rejoin };
	struct pool_update update;

	if (j->at < j->count && j->wire->pool.leave) {
		join_error(j, STR("Serf can't Join after Leave or Shutdown"));
		j->count = j->at;
	}
	if (j->at == j->count) {
		join_end(j);
		return;
	}
	event.from = j->addresses[j->at++];
	wire_step(j->wire, &event, &update);
	j->token = update.id;
}

static void address_add(struct join *j, const struct net_address *a)
{
	struct pool_address *to = &j->addresses[j->count];

	if (pool_address_of(a, to)) {
		return;
	}
	if (j->retry && pool_address_eq(to, &j->wire->pool.options.address)) {
		j->own = true;
	} else {
		j->count++;
	}
}

static void on_addresses(
	void *arg, const struct net_address *addresses, size_t count, const char *error)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct join *j = arg;

	for (size_t i = 0; i < count; i++) {
		address_add(j, &addresses[i]);
	}
	if (!j->count && !j->own) {
		buf_printf(
			&why, "Failed to resolve %s: %s", buf_cstr(&j->text), error ? error : "");
		join_error(j, buf_str(&why));
	}
	dial_free(take(j->dial));
	loop_timer_in(&j->next, 0);
}

/* "10.0.0.1", "host:8301", "[::1]", "name/10.0.0.1:8301": the name is for later versions of the
 * protocol. */
static void host_port_make(const struct wire *w, struct str text, struct buf *out)
{
	struct net_address a;
	struct str rest;

	str_split(text, '/', &rest);
	text = rest.p ? rest : text;
	if (net_address_parse(text, w->pool.options.address.port, &a) == 0) {
		net_address_render(&a, out);
		return;
	}
	buf_put_str(out, text);
	if (str_rfind(text, ':') < 0) {
		buf_printf(out, ":%u", w->pool.options.address.port);
	}
}

/* NULL: too many. */
static struct join *join_new(struct wire *w, struct str text)
{
	struct gossipd *g = w->gossipd;
	struct join *j;

	if (g->joins_count == JOINS_MAX) {
		return NULL;
	}
	j = xcalloc(1, sizeof(*j));
	j->wire = w;
	buf_put_str(&j->text, text);
	loop_timer_init(&j->next, g->daemon->loop, on_next, j);
	list_add_tail(&g->joins, &j->link);
	g->joins_count++;
	return j;
}

/* NULL: too many. */
static struct join *join_begin(struct wire *w, struct str text)
{
	OWN_EMBEDDED(buf_fini) struct buf host_port = { 0 };
	struct join *j = join_new(w, text);

	if (j) {
		host_port_make(w, text, &host_port);
		j->dial = dial_new(w->gossipd->daemon->loop, buf_str(&host_port), on_addresses, j);
	}
	return j;
}

void joins_on_note(struct wire *w, uint32_t token, struct str why)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	struct join *j;

	list_for_each (j, &w->gossipd->joins, link) {
		if (j->wire != w || !j->at || j->token != token) {
			continue;
		}
		if (why.n) {
			buf_put_lit(&text, "Failed to join ");
			pool_address_render(&j->addresses[j->at - 1], &text);
			buf_printf(&text, ": " STR_FMT, STR_ARG(why));
			join_error(j, buf_str(&text));
		} else {
			j->joined++;
		}
		loop_timer_in(&j->next, 0);
		return;
	}
}

void handle_join(struct gossipd *g, struct ipc_call *call, const struct gossip_join *m)
{
	struct wire *w = &g->wires[m->wan ? GOSSIP_WAN : GOSSIP_LAN];
	struct gossip_join_reply refused = { .result = { .kind = RESULT_ERROR,
						     .text = STR("Must be a server to join WAN "
								 "cluster") } };
	struct join *j;

	if (!w->active) {
		IPC_REPLY(call, gossip_join, &refused);
		return;
	}
	j = join_begin(w, m->address);
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

/* Soon at first, for nodes that start together; these attempts do not count. */
static void retry_again(struct retry *r)
{
	int64_t pause_ms = min_of(r->pause_ms, r->interval_ms);

	r->attempts += pause_ms == r->interval_ms;
	if (r->attempts_max && r->attempts >= r->attempts_max) {
		log_error("join-given-up", "attempts=%lld reason=\"max join retry exhausted\"",
			(long long)r->attempts);
		daemon_give_up(r->gossipd->daemon);
		return;
	}
	log_warning("join-failed", "addresses=%zu action=\"again in %lld ms\"", r->count,
		(long long)pause_ms);
	r->pause_ms = pause_ms * 2;
	r->at = r->own = 0;
	loop_timer_in(&r->timer, pause_ms);
}

/* All have been tried. A list that names this node alone is done: there is nobody to wait for. As
 * with Consul, a start_join without any success is the end of the agent. */
static void retry_over(struct retry *r)
{
	if (r->joined || r->kind == RETRY_REJOIN || r->own == r->count) {
		retry_free(r);
	} else if (r->kind == RETRY_FOREVER) {
		retry_again(r);
	} else {
		log_error("join-given-up", "addresses=%zu reason=\"start_join failed\"", r->count);
		daemon_give_up(r->gossipd->daemon);
	}
}

/* The next address; rejoining stops at the first that works, joining tries them all. */
static void retry_next(struct retry *r)
{
	struct join *j;

	if (r->gossipd->wires[r->pool].pool.leave) {
		retry_free(r);
		return;
	}
	if (r->at == r->count || (r->kind == RETRY_REJOIN && r->joined)) {
		retry_over(r);
		return;
	}
	j = join_begin(&r->gossipd->wires[r->pool], str_of(r->addresses[r->at]));
	if (!j) { /* when there is room again */
		loop_timer_in(&r->timer, RETRY_FIRST_MS);
		return;
	}
	r->at++;
	j->retry = r;
	j->rejoin = r->kind == RETRY_REJOIN;
}

static void on_retry(void *arg)
{
	retry_next(arg);
}

static struct retry *retry_new(struct wire *w, enum retry_kind kind, size_t room)
{
	struct retry *r = xcalloc(1, sizeof(*r));

	*r = (struct retry) {
		.gossipd = w->gossipd, .kind = kind, .pool = w->name, .pause_ms = RETRY_FIRST_MS
	};
	r->addresses = xcalloc(room + 1, sizeof(char *));
	loop_timer_init(&r->timer, w->gossipd->daemon->loop, on_retry, r);
	list_add_tail(&w->gossipd->retries, &r->link);
	return r;
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

static void flood_to(struct wire *wan, struct str name, const struct pool_address *address)
{
	struct join *j = join_new(wan, name);

	if (j) {
		j->addresses[j->count++] = *address;
		loop_timer_in(&j->next, 0);
	}
}

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
		flood_to(wan, n->name, &address);
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
		join_free(list_first(&g->joins, struct join, link));
	}
	while (!list_empty(&g->retries)) {
		retry_free(list_first(&g->retries, struct retry, link));
	}
	loop_timer_stop(&g->flood_timer);
}
