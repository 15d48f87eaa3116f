/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queries that wait for what a prepared query finds: this node's httpd is asked, which knows where
 * such queries are (on a client: at the servers). Its answer becomes a record of the naming
 * environment, and the client is answered from that.
 */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "common/sys/clock.h"
#include "dnsd/dnsd.h"

/* Resolvers ask again after five seconds. */
enum { EXECUTE_MS = 4500 };

struct execution {
	struct list link;
	struct dnsd *d;
	uint64_t number;
	struct loop_timer late; /* it may wait for its turn to be asked, too */
	struct client client;
	struct rng rng;
	char *query;
	size_t query_n;
	enum tagged_family family; /* of the addresses that are wanted */
	bool wan;
	struct arena arena; /* of the result's texts */
	struct buf record;
	struct dns_executed result;
};

void execution_free(struct execution *e)
{
	if (list_linked(&e->link)) {
		list_del(&e->link);
		e->d->executions_count--;
	}
	loop_timer_stop(&e->late);
	arena_fini(&e->arena);
	buf_fini(&e->record);
	free(e->query);
	free(e);
}

struct str execution_query(const struct execution *e)
{
	return str_n(e->query, e->query_n);
}

const struct dns_executed *execution_result(const struct execution *e)
{
	return &e->result;
}

/* ---- asking ---- */

static void put_encoded(struct buf *out, const char *text)
{
	for (; *text; text++) {
		bool plain = (*text >= 'a' && *text <= 'z') || (*text >= '0' && *text <= '9') ||
			     *text == '-' || *text == '_' || *text == '.';

		if (plain) {
			buf_put_char(out, *text);
		} else {
			buf_printf(out, "%%%02X", (uint8_t)*text);
		}
	}
}

static void path_render(const struct dnsd *d, const struct dns_execute *q, struct buf *out)
{
	const struct conf *c = d->daemon->conf;

	buf_put_lit(out, "/v1/query/");
	put_encoded(out, q->name);
	buf_printf(out, "/execute?limit=%u", q->instances_max);
	if (c->dns.allow_stale) {
		buf_put_lit(out, "&stale&max_stale=");
		duration_render(out, c->dns.max_stale_ns);
	}
	if (q->datacenter[0]) {
		buf_put_lit(out, "&dc=");
		put_encoded(out, q->datacenter);
	}
}

/* For whom it is asked: what the query says about that, else who sent it. */
static void source_render(
	const struct dns_execute *q, const struct sockaddr_storage *sa, struct buf *out)
{
	const void *bytes = q->subnet;
	int family = q->subnet_size == 16 ? AF_INET6 : AF_INET;
	char text[INET6_ADDRSTRLEN];

	if (q->has_subnet && !q->subnet_size) {
		return;
	}
	if (!q->has_subnet) {
		const struct in6_addr *v6 = &((const struct sockaddr_in6 *)sa)->sin6_addr;

		family = sa->ss_family;
		bytes = family == AF_INET6
				? (const void *)v6
				: (const void *)&((const struct sockaddr_in *)sa)->sin_addr;
		if (family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(v6)) {
			family = AF_INET;
			bytes = v6->s6_addr + 12;
		}
	}
	if (inet_ntop(family, bytes, text, sizeof(text))) {
		buf_printf(out, "X-Forwarded-For: %s\r\n", text);
	}
}

static void on_late(void *arg)
{
	struct execution *e = arg;

	(void)api_cancel(e->d->api, e->number);
	on_executed(e->d, e->number, 0, 0, STR(""));
}

struct str execute_start(struct dnsd *d, struct str query, const struct client *client,
	const struct rng *before, const struct dns_reply *reply)
{
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf headers = { 0 };
	struct api_request request = { .timeout_ms = EXECUTE_MS };
	struct sockaddr_storage peer = client->address;
	struct execution *e;

	if (d->executions_count == EXECUTIONS_MAX) {
		metrics_add(d->daemon->metrics, METRIC_REFUSED_BUSY, 1);
		return str_n(d->reply.bytes, dns_servfail(query, d->reply.bytes));
	}
	e = xcalloc(1, sizeof(*e));
	e->d = d;
	e->number = ++d->executions_number;
	e->client = *client;
	e->rng = *before;
	e->query_n = query.n;
	e->query = xmalloc(query.n);
	memcpy(e->query, query.p, query.n);
	e->family = reply->execute.family;
	e->wan = reply->execute.wan;
	list_add_tail(&d->executions, &e->link);
	d->executions_count++;
	loop_timer_init(&e->late, d->daemon->loop, on_late, e);
	loop_timer_in(&e->late, EXECUTE_MS);
	if (client->connection) {
		connection_hold(client->connection);
		connection_address(client->connection, &peer);
	}
	path_render(d, &reply->execute, &path);
	buf_put_lit(&headers, "X-Muster-Translate: .\r\n"); /* that is done here */
	source_render(&reply->execute, &peer, &headers);
	request.number = e->number;
	request.path = buf_str(&path);
	request.headers = buf_str(&headers);
	api_send(d->api, &request);
	return STR_NONE;
}

/* ---- what was found ---- */

static int64_t number_of(const struct json *object, const char *key, int64_t otherwise)
{
	const struct json *v = json_find(object, key);
	int64_t number;

	return v && v->type == JSON_NUMBER && !str_to_i64(v->text, &number) ? number : otherwise;
}

static struct str text_of(const struct json *object, const char *key)
{
	struct str text = json_find_text(object, key);

	return text.p ? text : STR("");
}

static bool is_maintenance(struct str check)
{
	return str_eq(check, STR("_node_maintenance")) ||
	       str_starts(check, STR("_service_maintenance:"));
}

/* As Consul weighs an instance: a check that the query overlooks counts here. */
static int64_t weight_of(const struct json *service, const struct json *checks)
{
	const struct json *weights = json_find(service, "Weights"), *check;
	enum health worst = HEALTH_PASSING;

	for (check = checks ? checks->first : NULL; check; check = check->next) {
		enum health health = health_of(text_of(check, "Status"));

		if (is_maintenance(text_of(check, "CheckID"))) {
			return 0;
		}
		if (health == HEALTH_OTHER) {
			return 1;
		}
		worst = max_of(worst, health);
	}
	if (worst == HEALTH_CRITICAL) {
		return 0;
	}
	return number_of(weights, worst == HEALTH_WARNING ? "Warning" : "Passing", 1);
}

static struct pairs pairs_of(struct arena *arena, const struct json *object)
{
	struct pairs pairs = { .present = true };
	const struct json *item;

	if (!object || object->type != JSON_OBJECT) {
		return pairs;
	}
	pairs.items = arena_array(arena, struct pair, object->count);
	json_for_each (item, object) {
		pairs.items[pairs.count++] = (struct pair) { item->key, item->text };
	}
	return pairs;
}

/* All of them pass: whom the query lets through is httpd's word. */
static struct naming_instance instance_of(
	struct arena *arena, const struct json *v, enum naming_face face)
{
	const struct json *node = json_find(v, "Node"), *service = json_find(v, "Service");
	struct naming_faced faced;

	tagged_of_json(&faced.node_tagged, json_find(node, "TaggedAddresses"));
	tagged_of_json(&faced.tagged, json_find(service, "TaggedAddresses"));
	faced.plain = (struct naming_instance) {
		.node = text_of(node, "Node"),
		.node_address = text_of(node, "Address"),
		.node_meta = pairs_of(arena, json_find(node, "Meta")),
		.service_id = text_of(service, "ID"),
		.address = text_of(service, "Address"),
		.port = number_of(service, "Port", 0),
		.weight_passing = weight_of(service, json_find(v, "Checks")),
		.status = HEALTH_PASSING,
	};
	return naming_face_instance(&faced, face);
}

/* Where they are decides under which addresses they are shown. */
static enum naming_face face_of(const struct execution *e, struct str datacenter)
{
	const struct conf *c = e->d->daemon->conf;
	bool foreign = !str_eq(datacenter, c->datacenter);

	return naming_face(e->family, e->wan || (foreign && c->translate_wan_addrs));
}

static void ttl_take(struct execution *e, struct str text)
{
	int64_t ns;

	if (text.n && !duration_parse(text, &ns, NULL)) {
		e->result.has_ttl = true;
		e->result.ttl = (uint32_t)min_of(ns / NS_PER_S, (int64_t)INT32_MAX);
	}
}

static int result_take(struct execution *e, struct str body)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	const struct json *nodes, *item;
	struct naming_instance *instances;
	enum naming_face face;
	uint32_t count = 0;
	struct json *v;
	struct str service;
	char *lower;

	if (json_parse(&arena, body, &v, NULL)) {
		return ST_INVALID;
	}
	nodes = json_find(v, "Nodes");
	if (!nodes || nodes->type != JSON_ARRAY) {
		return ST_INVALID;
	}
	instances = arena_array(&arena, struct naming_instance, nodes->count);
	face = face_of(e, text_of(v, "Datacenter"));
	json_for_each (item, nodes) {
		instances[count++] = instance_of(&arena, item, face);
	}
	naming_service_encode(&e->record, instances, count);
	service = text_of(v, "Service");
	lower = arena_alloc(&e->arena, service.n + 1);
	str_lower_into(service, lower);
	e->result.record = buf_str(&e->record);
	e->result.service = str_n(lower, service.n);
	e->result.datacenter = arena_str(&e->arena, text_of(v, "Datacenter"));
	ttl_take(e, text_of(json_find(v, "DNS"), "TTL"));
	return 0;
}

static void result_of(struct execution *e, int status, struct str body)
{
	bool nothing =
		status == 404 || (status == 500 && str_eq(body, STR("No path to datacenter")));

	if (status == 200 && !result_take(e, body)) {
		e->result.outcome = DNS_EXECUTED;
	} else {
		e->result.outcome = nothing ? DNS_EXECUTED_NOTHING : DNS_EXECUTED_FAILED;
	}
}

/* ---- answering ---- */

static void answer(struct execution *e)
{
	struct dnsd *d = e->d;
	struct client client = e->client;
	struct rng before = e->rng;
	struct str query = execution_query(e), message = STR_NONE;
	struct naming naming;
	struct dns_request request;
	enum dns_outcome outcome;

	naming_begin(d, &naming);
	request = request_of(d, &naming, query);
	request.tcp = client.connection;
	request.peer = client.peer;
	request.rng = &e->rng;
	request.executed = &e->result;
	outcome = dns_answer(d->core, &request, &d->reply);
	naming_end(&naming);
	if (outcome == DNS_CHASE) {
		forward_executed(d, &client, &before, &d->reply, e);
		return;
	}
	if (outcome == DNS_REPLY) {
		message = str_n(d->reply.bytes, answer_fit(&client, d->reply.bytes, d->reply.size));
	} else if (outcome == DNS_ASK) { /* it leads to a name that only servers know */
		message = peer_ask(d, query, &client, &d->reply);
	}
	client_answer(&client, message); /* nothing: peer_ask holds its connection by itself */
	execution_free(e);
}

void on_executed(void *arg, uint64_t number, int status, uint64_t index UNUSED, struct str body)
{
	struct dnsd *d = arg;
	struct execution *e;

	list_for_each (e, &d->executions, link) {
		if (e->number == number) {
			list_del(&e->link);
			d->executions_count--;
			loop_timer_stop(&e->late);
			result_of(e, status, body);
			answer(e);
			drain_check(d);
			return;
		}
	}
}

void executions_end(struct dnsd *d)
{
	struct execution *e, *following;

	list_for_each_safe (e, following, &d->executions, link) {
		if (e->client.connection) {
			connection_answer(e->client.connection, STR_NONE);
		}
		execution_free(e);
	}
}
