/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queries that wait for recursors: relayed ones, whose answer is passed on as it is, and those of
 * ours that lead to somebody else's host names, which are answered again with what was found out.
 */
#include "dnsd/dnsd.h"

#include "common/sys/clock.h"

/* Other nodes do not wait long. */
enum { PEER_RECURSORS_MAX = 2, PEER_RECURSOR_MS = 300 };

struct slot {
	struct forward *f;
	struct exchange *exchange; /* NULL: over, or none was to be had */
	struct buf records;
};

struct forward {
	struct list link;
	struct dnsd *d;
	enum dns_outcome kind;
	struct execution *execution; /* NULL: no prepared query */
	struct client client;
	struct rng rng; /* so that the second answer picks what the first one picked */
	char *query;
	size_t query_n, slots_count, open;
	struct slot slots[DNS_WANTED_MAX];
	struct dns_found found[DNS_WANTED_MAX];
};

static void forward_free(struct forward *f)
{
	for (size_t i = 0; i < f->slots_count; i++) {
		if (f->slots[i].exchange) {
			exchange_free(f->slots[i].exchange);
		}
		buf_fini(&f->slots[i].records);
	}
	if (f->execution) {
		execution_free(f->execution);
	}
	list_del(&f->link);
	f->d->forwards_count--;
	free(f->query);
	free(f);
}

static void forward_finish(struct forward *f, struct str message)
{
	struct dnsd *d = f->d;
	struct client client = f->client;

	client_answer(&client, message);
	forward_free(f);
	drain_check(d);
}

static struct str servfail(struct dnsd *d, struct str query)
{
	return str_n(d->reply.bytes, dns_servfail(query, d->reply.bytes));
}

static void on_relayed(void *arg, struct str message)
{
	struct slot *slot = arg;
	struct forward *f = slot->f;
	struct dnsd *d = f->d;

	slot->exchange = NULL;
	if (!message.n) {
		forward_finish(f, servfail(d, str_n(f->query, f->query_n)));
		return;
	}
	memcpy(d->reply.bytes, message.p, message.n);
	memcpy(d->reply.bytes, f->query, 2); /* the client's id */
	forward_finish(f, str_n(d->reply.bytes, message.n));
}

static void answer_again(struct forward *f)
{
	struct dnsd *d = f->d;
	struct naming naming;
	struct dns_request request;
	struct str message;

	naming_begin(d, &naming);
	request = request_of(d, &naming, str_n(f->query, f->query_n));
	request.tcp = f->client.connection;
	request.peer = f->client.peer;
	request.rng = &f->rng;
	request.chased = true;
	request.found = f->found;
	request.found_count = f->slots_count;
	request.executed = f->execution ? execution_result(f->execution) : NULL;
	for (size_t i = 0; i < f->slots_count; i++) {
		f->found[i].records = buf_str(&f->slots[i].records);
	}
	if (dns_answer(d->core, &request, &d->reply) == DNS_REPLY) {
		message = str_n(
			d->reply.bytes, answer_fit(&f->client, d->reply.bytes, d->reply.size));
	} else { /* the names went away meanwhile */
		message = servfail(d, request.query);
	}
	naming_end(&naming);
	forward_finish(f, message);
}

static void on_found(void *arg, struct str message)
{
	struct slot *slot = arg;

	slot->exchange = NULL;
	if (message.n) {
		(void)dns_found_parse(message, &slot->records);
	}
	if (--slot->f->open == 0) {
		answer_again(slot->f);
	}
}

static void slot_start(struct forward *f, size_t i, struct str query)
{
	struct dnsd *d = f->d;
	bool relay = f->kind == DNS_RELAY, peer = f->client.peer;
	struct exchange_options o = {
		.query = query,
		.to = d->recursors,
		.to_count = peer ? min_of(d->recursors_count, (size_t)PEER_RECURSORS_MAX)
				 : d->recursors_count,
		.timeout_ms = peer ? min_of(d->recursor_timeout_ms, (int64_t)PEER_RECURSOR_MS)
				   : d->recursor_timeout_ms,
		.tcp = relay && f->client.connection,
		.any_rcode = !relay,
		.on_done = relay ? on_relayed : on_found,
		.arg = &f->slots[i],
	};

	f->slots[i].f = f;
	f->slots[i].exchange = exchange_new(f->d, &o);
	f->open += f->slots[i].exchange != NULL;
}

static struct forward *forward_new(
	struct dnsd *d, enum dns_outcome kind, struct str query, const struct client *client)
{
	struct forward *f = xcalloc(1, sizeof(*f));

	f->d = d;
	f->kind = kind;
	f->client = *client;
	f->query_n = query.n;
	f->query = xmalloc(query.n);
	memcpy(f->query, query.p, query.n);
	list_add_tail(&d->forwards, &f->link);
	d->forwards_count++;
	return f;
}

static void slots_start(struct forward *f, const struct dns_reply *reply)
{
	f->slots_count = reply->wanted_count;
	for (size_t i = 0; i < f->slots_count; i++) {
		uint8_t message[512];

		f->found[i].name = reply->wanted[i];
		slot_start(f, i, str_n(message, dns_wanted_query(&reply->wanted[i], 0, message)));
	}
}

void forward_executed(struct dnsd *d, const struct client *client, const struct rng *before,
	const struct dns_reply *reply, struct execution *e)
{
	struct str query = execution_query(e);
	struct forward *f;

	if (d->forwards_count == FORWARDS_MAX) {
		metrics_add(d->daemon->metrics, METRIC_REFUSED_BUSY, 1);
		client_answer(client, servfail(d, query));
		execution_free(e);
		return;
	}
	f = forward_new(d, DNS_CHASE, query, client);
	f->execution = e;
	f->rng = *before;
	slots_start(f, reply);
	if (f->open == 0) { /* too many are under way */
		answer_again(f);
	}
}

struct str forward_start(struct dnsd *d, enum dns_outcome outcome, struct str query,
	const struct client *client, const struct rng *before, const struct dns_reply *reply)
{
	struct forward *f;

	if (d->forwards_count == FORWARDS_MAX) {
		metrics_add(d->daemon->metrics, METRIC_REFUSED_BUSY, 1);
		return servfail(d, query);
	}
	metrics_add(d->daemon->metrics, METRIC_FORWARDED, 1);
	f = forward_new(d, outcome, query, client);
	f->rng = *before;
	if (outcome == DNS_RELAY) {
		f->slots_count = 1;
		slot_start(f, 0, query);
	} else {
		slots_start(f, reply);
	}
	if (f->open == 0) { /* too many are under way */
		forward_free(f);
		return servfail(d, query);
	}
	if (client->connection) {
		connection_hold(client->connection);
	}
	return STR_NONE;
}

void forwards_end(struct dnsd *d)
{
	struct forward *f, *following;

	list_for_each_safe (f, following, &d->forwards, link) {
		if (f->client.connection) {
			connection_answer(f->client.connection, STR_NONE);
		}
		forward_free(f);
	}
}
