/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions that another server has to answer (dnsd/core/peer.c says which, and how they are put).
 * One server is asked, by chance; when it is silent for a moment, refuses or cannot say, another
 * one, while what was asked before may still be answered. Where nobody says anything in time, the
 * client gets the last good answer if that is young enough, else what Consul says then.
 *
 * What came from another node has to be answered before that one gives up.
 */
#include "common/base/err.h"
#include "common/sys/clock.h"
#include "dnsd/dnsd.h"

enum {
	TRIES_MAX = 4,
	WAIT_MS = 50,	     /* while it is not known whom to ask */
	SILENCE_MS = 400,    /* and nothing heard: the server counts as failed */
	LAST_ANSWERS_S = 60, /* how long they are good where cache_max_age says nothing */
	CACHED_S = 1,	     /* the same for use_cache */
};

/* When to ask somebody else, and when to give up. prompt: silence says something about who was
 * asked. */
struct pace {
	int64_t again_ms, give_up_ms, give_up_peer_ms;
	bool prompt;
};
static const struct pace pace_near = { 200, 950, 750, true };
static const struct pace pace_far = { 300, 950, 750, true };
static const struct pace pace_relayed = { 300, 950, 750, false }; /* that one has to ask, too */
static const struct pace pace_fresh = { 500, 4000, 3500, false }; /* it may be electing */

struct question {
	struct list link; /* in d->questions */
	struct dnsd *d;
	struct client client;
	const struct pace *pace;
	struct mono began, give_up;
	struct loop_timer timer;
	struct asked tries[TRIES_MAX];
	struct uuid servers[TRIES_MAX];
	unsigned tries_count, asked_count;
	struct exchange *exchange; /* the same over TCP */
	struct net_address over_tcp;
	enum dns_kind kind;
	bool leader;  /* is who has to say */
	bool relayed; /* those who are asked ask another data centre */
	char datacenter[DNS_LABEL_MAX + 1];
	char ask[DNS_PEER_QUERY_MAX];
	size_t ask_n, query_n;
	char query[];
};

static struct str ask_of(const struct question *q)
{
	return str_n(q->ask, q->ask_n);
}

static struct str query_of(const struct question *q)
{
	return str_n(q->query, q->query_n);
}

/* ---- the end ---- */

static void question_free(struct question *q)
{
	for (unsigned i = 0; i < q->tries_count; i++) {
		asked_end(&q->tries[i]);
	}
	if (q->exchange) {
		exchange_free(take(q->exchange));
	}
	loop_timer_stop(&q->timer);
	list_del(&q->link);
	q->d->questions_count--;
	free(q);
}

static void question_finish(struct question *q, struct str message)
{
	struct dnsd *d = q->d;
	struct client client = q->client;

	if (!client.peer) {
		query_count(d, q->kind, false,
			(double)mono_diff_ns(clock_mono(), q->began) / NS_PER_MS);
	}
	question_free(q);
	client_answer(&client, message);
	drain_check(d);
}

static bool cached(struct dnsd *d, struct str ask, struct str query, int64_t age_max_ns)
{
	bool found = dns_cache_get(&d->cache, ask, query, clock_mono(), age_max_ns, &d->reply);

	if (found) { /* it is kept as the server gave it */
		dns_peer_finish(d->core, query, d->reply.bytes);
	}
	return found;
}

/* Nobody answers, or there is nobody, or nothing to be said. Returns as answer_later. */
static struct str unanswered(struct dnsd *d, struct str ask, struct str query,
	const struct client *client, enum dns_asked why)
{
	/* What a prepared query found led here; it is not executed again. */
	static const struct dns_executed failed = { .outcome = DNS_EXECUTED_FAILED };
	const struct conf *c = d->daemon->conf;
	int64_t age_ns = c->dns.cache_max_age_ns;
	struct dns_request request = {
		.query = query,
		.executed = &failed,
		.tcp = client->connection,
		.peer = client->peer,
		.rng = &d->rng,
		.now_s = clock_wall().ns / NS_PER_S,
		.asked = why,
	};
	struct rng before = d->rng;
	enum dns_outcome outcome;

	if (why == DNS_UNANSWERED && !client->peer && c->dns.allow_stale &&
		cached(d, ask, query, age_ns > 0 ? age_ns : LAST_ANSWERS_S * NS_PER_S)) {
		metrics_add(d->daemon->metrics, METRIC_CACHE_LAST, 1);
		return str_n(d->reply.bytes, d->reply.size);
	}
	if (why == DNS_UNANSWERED) {
		metrics_add(d->daemon->metrics, METRIC_PEER_UNANSWERED, 1);
	}
	outcome = dns_answer(d->core, &request, &d->reply);
	if (outcome == DNS_RELAY) { /* a reverse name: the recursors may know it */
		return forward_start(d, outcome, query, client, &before, &d->reply);
	}
	return outcome == DNS_REPLY ? str_n(d->reply.bytes, d->reply.size) : STR_NONE;
}

static void question_give_up(struct question *q, enum dns_asked why)
{
	struct str message = unanswered(q->d, ask_of(q), query_of(q), &q->client, why);

	question_finish(q, message);
}

/* What a server said is the client's answer. */
static void question_answer(struct question *q, struct str message)
{
	struct dnsd *d = q->d;
	size_t size = message.n;

	if (!q->client.peer && dns_answer_keeps(message)) {
		dns_cache_put(&d->cache, ask_of(q), message, clock_mono());
	}
	memcpy(d->reply.bytes, message.p, size);
	dns_peer_finish(d->core, query_of(q), d->reply.bytes);
	size = answer_fit(&q->client, d->reply.bytes, size);
	question_finish(q, str_n(d->reply.bytes, size));
}

/* ---- asking ---- */

static bool leader_find(struct dnsd *d, struct server *out)
{
	struct raft_page page;
	struct str ip, address;
	ssize_t colon;

	if (!d->state || !state_raft_page(d->state, &page) || page.is_leader ||
		!page.leader_known) {
		return false;
	}
	address = str_of(page.leader_address);
	colon = str_rfind(address, ':');
	ip = str_cut(address, colon < 0 ? 0 : (size_t)colon);
	if (ip.n > 2 && ip.p[0] == '[') {
		ip = str_n(ip.p + 1, ip.n - 2);
	}
	return servers_find(d->servers, ip, page.leader_http_port, out);
}

/* Somebody new; when all have been asked, anybody once more: a datagram may have got lost. */
static bool server_pick(struct question *q, bool again, struct server *out)
{
	struct dnsd *d = q->d;
	const struct conf *c = d->daemon->conf;
	struct str dc = c->server && q->datacenter[0] ? str_of(q->datacenter) : c->datacenter;

	if (q->leader) {
		return again && leader_find(d, out);
	}
	return servers_pick(d->servers, dc, q->servers, q->tries_count, out) ||
	       (again && servers_pick(d->servers, dc, NULL, 0, out));
}

/* again: also who has been asked already. false: nobody was asked. */
static bool question_try(struct question *q, bool again)
{
	struct server server;

	for (int i = 0; i < TRIES_MAX && server_pick(q, again, &server); i++) {
		unsigned at = q->asked_count++ % TRIES_MAX;

		asked_end(&q->tries[at]); /* the oldest makes room */
		q->tries_count = min_of(q->asked_count, (unsigned)TRIES_MAX);
		q->servers[at] = server.uuid;
		q->tries[at] = (struct asked) { .question = q };
		if (link_ask(q->d->links, &server, ask_of(q), &q->tries[at]) == 0) {
			metrics_add(q->d->daemon->metrics, METRIC_PEER_ASKED, 1);
			return true;
		}
		servers_failed(q->d->servers, &server.uuid); /* there is no way to it */
	}
	return false;
}

/* Those that should have said something by now. */
static void silence_note(struct question *q)
{
	struct mono late = mono_add_ms(clock_mono(), -SILENCE_MS);

	for (unsigned i = 0; q->pace->prompt && i < q->tries_count; i++) {
		const struct asked *a = &q->tries[i];

		if (a->link && !mono_before(late, a->since) && !asked_heard(a)) {
			servers_failed(q->d->servers, &q->servers[i]);
		}
	}
}

/* This server may lead meanwhile, and so know it itself. true: it is over. */
static bool answered_here(struct question *q)
{
	struct dnsd *d = q->d;
	struct rng before = d->rng;
	struct naming naming;
	struct dns_request request;
	enum dns_outcome outcome;
	struct str message = STR_NONE;

	naming_begin(d, &naming);
	request = request_of(d, &naming, query_of(q));
	request.tcp = q->client.connection;
	request.peer = q->client.peer;
	outcome = dns_answer(d->core, &request, &d->reply);
	naming_end(&naming);
	if (outcome == DNS_ASK) {
		return false;
	}
	if (outcome == DNS_REPLY) {
		size_t size = answer_fit(&q->client, d->reply.bytes, d->reply.size);

		message = str_n(d->reply.bytes, size);
	} else if (outcome != DNS_DROP) {
		message = answer_later(d, outcome, query_of(q), &q->client, &before, &d->reply);
	}
	question_finish(q, message);
	return true;
}

/* A data centre of which nobody has ever been heard. */
static bool path_exists(const struct dnsd *d, const char *datacenter)
{
	return !*datacenter || !d->daemon->conf->server || !servers_ready(d->servers) ||
	       servers_knows(d->servers, str_of(datacenter));
}

static void time_set(struct question *q)
{
	int64_t ms = q->asked_count ? q->pace->again_ms : WAIT_MS;

	loop_timer_at(&q->timer, mono_min(q->give_up, mono_add_ms(clock_mono(), ms)));
}

static void on_time(void *arg)
{
	struct question *q = arg;

	silence_note(q);
	if (!path_exists(q->d, q->datacenter)) {
		question_give_up(q, DNS_NO_PATH);
		return;
	}
	if (!mono_before(clock_mono(), q->give_up)) {
		question_give_up(q, DNS_UNANSWERED);
		return;
	}
	if (q->leader && answered_here(q)) {
		return;
	}
	if (!q->exchange) {
		(void)question_try(q, true);
	}
	time_set(q);
}

/* ---- what comes back ---- */

static void on_tcp(void *arg, struct str message)
{
	struct question *q = arg;

	q->exchange = NULL;
	if (message.n) {
		question_answer(q, message);
	}
}

static void over_tcp(struct question *q, const struct asked *a)
{
	struct exchange_options o = {
		.query = ask_of(q),
		.to = &q->over_tcp,
		.to_count = 1,
		.timeout_ms = mono_diff_ms(q->give_up, clock_mono()) + 1,
		.tcp = true,
		.any_rcode = true,
		.on_done = on_tcp,
		.arg = q,
	};

	if (!q->exchange) {
		q->over_tcp = *asked_address(a);
		q->exchange = exchange_new(q->d, &o);
	}
}

static void server_good(const struct asked *a)
{
	struct question *q = a->question;

	servers_good(q->d->servers, &q->servers[a - q->tries]);
}

/*
 * Somebody else is asked at once, a few times. Where there is nobody else, or all of them refuse,
 * the clock asks again: with more servers than are remembered they would follow each other in a
 * ring without end (who refuses may do so from inside of sending).
 */
static void server_failed(struct asked *a)
{
	struct question *q = a->question;

	servers_failed(q->d->servers, &q->servers[a - q->tries]);
	asked_end(a);
	if (q->asked_count < TRIES_MAX) {
		(void)question_try(q, false);
	}
}

void question_refused(struct asked *a)
{
	server_failed(a);
}

void question_told(struct asked *a, struct str message)
{
	struct question *q = a->question;
	enum dns_said said;

	memcpy(q->ask, &a->id, sizeof(a->id));
	said = dns_peer_said(q->d->core, ask_of(q), message);
	if (said == DNS_SAID_STRANGER) {
		metrics_add(q->d->daemon->metrics, METRIC_DROPPED, 1);
		return;
	}
	if (said == DNS_SAID_UNABLE && !q->relayed) {
		server_failed(a);
		return;
	}
	server_good(a);
	if (said == DNS_SAID_LONGER) {
		over_tcp(q, a);
	} else if (said == DNS_SAID_NOBODY && !q->client.peer) {
		dns_cache_del(&q->d->cache, ask_of(q));
		question_give_up(q, DNS_NOBODY);
	} else if (said == DNS_SAID_UNABLE) {
		question_give_up(q, DNS_UNANSWERED);
	} else {
		question_answer(q, message);
	}
}

/* ---- the beginning ---- */

static struct question *question_new(struct dnsd *d, struct str query, const struct client *client,
	const struct dns_reply *reply)
{
	struct question *q = xcalloc(1, sizeof(*q) + query.n);
	const struct conf *c = d->daemon->conf;
	bool far = reply->datacenter[0];

	q->d = d;
	q->client = *client;
	q->kind = reply->kind;
	q->leader = reply->leader;
	memcpy(q->datacenter, reply->datacenter, sizeof(q->datacenter));
	q->relayed = far && !c->server;
	q->pace = q->relayed			     ? &pace_relayed
		  : far				     ? &pace_far
		  : q->leader || !c->dns.allow_stale ? &pace_fresh
						     : &pace_near;
	memcpy(q->ask, reply->bytes, reply->size);
	q->ask_n = reply->size;
	memcpy(q->query, query.p, query.n);
	q->query_n = query.n;
	q->began = clock_mono();
	q->give_up = mono_add_ms(
		q->began, client->peer ? q->pace->give_up_peer_ms : q->pace->give_up_ms);
	loop_timer_init(&q->timer, d->daemon->loop, on_time, q);
	list_add_tail(&d->questions, &q->link);
	d->questions_count++;
	return q;
}

/* dns_config.use_cache */
static bool cached_will_do(struct dnsd *d, struct str ask, struct str query)
{
	const struct conf *c = d->daemon->conf;
	int64_t age_ns = c->dns.cache_max_age_ns;

	return c->dns.use_cache && cached(d, ask, query, age_ns > 0 ? age_ns : CACHED_S * NS_PER_S);
}

/* false: nobody is there to be asked. */
static bool question_begin(struct dnsd *d, struct str query, const struct client *client,
	const struct dns_reply *reply)
{
	struct question *q;

	if (d->questions_count == QUESTIONS_MAX) {
		metrics_add(d->daemon->metrics, METRIC_REFUSED_BUSY, 1);
		return false;
	}
	q = question_new(d, query, client, reply);
	/* Who leads, or who is there at all, may be known in a moment. */
	if (!question_try(q, true) && !q->leader && servers_ready(d->servers)) {
		question_free(q);
		return false;
	}
	time_set(q);
	if (client->connection) {
		connection_hold(client->connection);
	}
	return true;
}

struct str peer_ask(struct dnsd *d, struct str query, const struct client *client,
	const struct dns_reply *reply)
{
	char room[DNS_PEER_QUERY_MAX];
	struct str ask = str_n(room, reply->size), message;
	enum dns_kind kind = reply->kind;

	memcpy(room, reply->bytes, reply->size); /* reply may be the one that is written next */
	if (!client->peer && cached_will_do(d, ask, query)) {
		metrics_add(d->daemon->metrics, METRIC_CACHE_HIT, 1);
		message = str_n(d->reply.bytes, d->reply.size);
	} else if (!path_exists(d, reply->datacenter)) {
		message = unanswered(d, ask, query, client, DNS_NO_PATH);
	} else if (question_begin(d, query, client, reply)) {
		return STR_NONE;
	} else {
		message = unanswered(d, ask, query, client, DNS_UNANSWERED);
	}
	if (!client->peer) {
		query_count(d, kind, false, 0);
	}
	return message;
}

void questions_end(struct dnsd *d)
{
	struct question *q, *following;

	list_for_each_safe (q, following, &d->questions, link) {
		if (q->client.connection) {
			connection_answer(q->client.connection, STR_NONE);
		}
		question_free(q);
	}
}
