/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is said to the other node, and which of its words are passed on. Only headers that mean
 * something to an endpoint travel; whatever belongs to one connection, or is added to every answer
 * anyway, does not.
 */
#include "common/sys/clock.h"
#include "httpd/engine.h"
#include "httpd/forward.h"

/* One line, whatever the value holds. */
static void field_put(struct buf *out, const char *name, struct str value)
{
	buf_put_cstr(out, name);
	buf_put_lit(out, ": ");
	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];

		buf_put_char(out, c < ' ' || c == 0x7f ? ' ' : value.p[i]);
	}
	buf_put_lit(out, "\r\n");
}

static void headers_put(const struct exchange *x, struct buf *out)
{
	static const char *const passed[] = { "Accept-Encoding", "Cache-Control", "Content-Type" };

	for (size_t i = 0; i < ARRAY_SIZE(passed); i++) {
		struct str value = request_header(&x->request, passed[i]);

		if (value.n) {
			field_put(out, passed[i], value);
		}
	}
}

/* Whose address counts as the client's (near=_ip). */
static void client_put(const struct exchange *x, struct buf *out)
{
	struct str told = request_header(&x->request, "x-forwarded-for");
	OWN_EMBEDDED(buf_fini) struct buf address = { 0 };

	if (told.n) {
		field_put(out, "X-Forwarded-For", told);
	} else if (x->conn->client && !x->conn->peer) {
		client_render(x->conn->client, &address);
		field_put(out, "X-Forwarded-For", buf_str(&address));
	}
}

/* discovery_max_stale is the setting of the node that is asked first. */
static void target_put(const struct exchange *x, struct buf *out)
{
	const struct request *r = &x->request;
	int64_t stale_ns = x->httpd->conf->discovery_max_stale_ns;

	buf_put_str(out, r->target);
	if (stale_ns <= 0 || x->conn->peer || !(x->route->flags & ROUTE_SHOWS_CONSISTENCY) ||
		x->route->flags & ROUTE_AS_ASKED || request_has(r, "consistent") ||
		request_has(r, "leader") || request_has(r, "stale")) {
		return;
	}
	buf_put_cstr(out, r->raw_query.p ? "&stale" : "?stale");
	if (!request_has(r, "max_stale")) {
		buf_printf(out, "&max_stale=%lldns", (long long)stale_ns);
	}
}

static void token_put(struct exchange *x, struct buf *out)
{
	struct str token = exchange_token(x);

	if (token.n && !request_has(&x->request, "token")) { /* that one stands in the target */
		field_put(out, "X-Consul-Token", token);
	}
}

/* Whose view of addresses counts; "": nobody's. */
static struct str viewer(const struct exchange *x)
{
	const struct conf *conf = x->httpd->conf;
	struct str told = request_header(&x->request, "x-muster-translate");

	return told.n ? told : conf->translate_wan_addrs ? conf->datacenter : STR("");
}

bool exchange_shows_wan(const struct exchange *x)
{
	struct str datacenter = viewer(x);

	return datacenter.n && !str_eq(datacenter, STR(".")) &&
	       !str_eq(datacenter, x->httpd->conf->datacenter);
}

static void ours_put(const struct forward *f, bool reads, struct buf *out)
{
	char id[UUID_TEXT_SIZE + 1];
	struct uuid request;

	buf_printf(out, "X-Muster-Hops: %u\r\n", exchange_hops(f->x) + 1);
	if (!reads) { /* which are repeated as they are */
		request = exchange_request_id(f->x);
		uuid_text(&request, id);
		buf_printf(out, "X-Muster-Request: %s\r\n", id);
	}
	field_put(out, "X-Muster-Node", exchange_node(f->x));
	if (viewer(f->x).n) {
		field_put(out, "X-Muster-Translate", viewer(f->x));
	}
	if (f->now || exchange_is_urgent(f->x)) {
		buf_put_lit(out, "X-Muster-Now: 1\r\n");
	}
}

void forward_render(struct forward *f, const struct peer_question *q)
{
	struct exchange *x = f->x;
	struct buf *out = &f->request;
	struct str method = q ? q->method : x->request.method_text;
	struct str body = q ? q->body : x->request.body;

	buf_clear(out);
	buf_put_str(out, method);
	buf_put_char(out, ' ');
	if (q) {
		buf_put_str(out, q->target);
	} else {
		target_put(x, out);
	}
	buf_put_lit(out, " HTTP/1.1\r\nHost: muster\r\n");
	token_put(x, out);
	ours_put(f, str_is(method, "GET"), out);
	client_put(x, out);
	if (!q) {
		headers_put(x, out);
	}
	if (f->upload >= 0 || body.n || !str_is(method, "GET")) {
		buf_printf(out, "Content-Length: %llu\r\n",
			(unsigned long long)(f->upload >= 0 ? f->upload_size : body.n));
	}
	buf_put_lit(out, "\r\n");
	buf_put_str(out, body);
}

/* Fields of a connection, and those that this node puts into each of its answers. */
static bool is_passed(struct str name)
{
	static const char *const stay[] = { "Connection", "Keep-Alive", "Transfer-Encoding",
		"Content-Length", "Date", "Vary" };

	for (size_t i = 0; i < ARRAY_SIZE(stay); i++) {
		if (str_ieq(name, str_of(stay[i]))) {
			return false;
		}
	}
	return true;
}

void forward_on_field(void *arg, struct str name, struct str value)
{
	const struct line *l = arg;
	struct buf *fields = &l->forward->fields;

	if (is_passed(name)) {
		buf_put_str(fields, name);
		buf_put_lit(fields, ": ");
		buf_put_str(fields, value);
		buf_put_lit(fields, "\r\n");
	}
}

/* Of requests that other nodes sent; a client's own words do not count. */
static struct str peer_header(const struct exchange *x, const char *name)
{
	return x->conn->peer ? request_header(&x->request, name) : STR_NONE;
}

unsigned exchange_hops(const struct exchange *x)
{
	uint64_t hops;

	if (!x->conn->peer) {
		return 0;
	}
	return str_to_u64(peer_header(x, "x-muster-hops"), &hops) || hops > HOPS_MAX
		       ? HOPS_MAX
		       : (unsigned)hops;
}

struct str exchange_node(const struct exchange *x)
{
	struct str node = peer_header(x, "x-muster-node");

	return node.n ? node : x->httpd->conf->node_name;
}

struct uuid exchange_request_id(struct exchange *x)
{
	if (uuid_is_zero(&x->id) && uuid_parse(peer_header(x, "x-muster-request"), &x->id)) {
		x->id = random_uuid();
	}
	return x->id;
}

bool exchange_is_urgent(const struct exchange *x)
{
	return peer_header(x, "x-muster-now").n;
}
