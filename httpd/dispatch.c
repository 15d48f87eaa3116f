/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a parsed request to its handler, in the order of Consul's own pipeline (reference
 * http-api, 1.1): each step may answer instead. Steps that the contract of a route leaves out
 * (ROUTE_BARE, ROUTE_LOCAL) are left out here and nowhere else.
 */
#include "httpd/core/uri.h"
#include "httpd/engine.h"
#include "httpd/forward.h"

/* Finds the row of path and method. Done before the body, which has a ceiling by route. */
void dispatch_route(struct exchange *x)
{
	const struct route_match *m = &x->match;
	struct request *r = &x->request;

	x->match = route_find(&x->httpd->engine->routes, r->path);
	x->route = NULL;
	r->name = m->rows ? m->name : STR("");
	for (uint32_t i = 0; i < m->rows_count; i++) {
		if (m->rows[i].method == r->method || m->rows[i].flags & ROUTE_ANY_METHOD) {
			x->route = &m->rows[i];
			return;
		}
	}
}

static void put_html(struct str s, struct buf *out)
{
	for (size_t i = 0; i < s.n; i++) {
		switch (s.p[i]) {
		case '&':
			buf_put_lit(out, "&amp;");
			break;
		case '<':
			buf_put_lit(out, "&lt;");
			break;
		case '>':
			buf_put_lit(out, "&gt;");
			break;
		case '"':
			buf_put_lit(out, "&#34;");
			break;
		case '\'':
			buf_put_lit(out, "&#39;");
			break;
		default:
			buf_put_char(out, s.p[i]);
			break;
		}
	}
}

static void redirect(struct exchange *x, struct str path, const char *more)
{
	OWN_EMBEDDED(buf_fini) struct buf to = { 0 };

	uri_encode_path(path, &to);
	buf_put_cstr(&to, more);
	if (x->request.raw_query.p) {
		buf_put_char(&to, '?');
		buf_put_str(&to, x->request.raw_query);
	}
	answer_header(x, STR("Location"), buf_str(&to));
	if (x->request.method != METHOD_GET && x->request.method != METHOD_HEAD) {
		answer_empty(x, 301);
		return;
	}
	buf_put_lit(exchange_body(x), "<a href=\"");
	put_html(buf_str(&to), exchange_body(x));
	buf_put_lit(exchange_body(x), "\">Moved Permanently</a>.\n\n");
	answer_raw(x, 301, STR("text/html; charset=utf-8"));
}

/* Steps 1 to 4: what is answered without Consul's wrapper. */
static void check_path(struct exchange *x)
{
	struct request *r = &x->request;
	struct str clean;

	if (r->method == METHOD_OPTIONS && str_is(r->target, "*")) {
		answer_empty(x, 200);
	} else if (!str_starts(r->path, STR("/"))) { /* CONNECT */
		answer_header(x, STR("X-Content-Type-Options"), STR("nosniff"));
		answer_text(x, 404, STR("404 page not found\n"));
	} else if (!x->httpd->conf->disable_http_unprintable_char_filter &&
		   !uri_printable(r->path)) {
		answer_empty(x, 400);
	} else if (clean = uri_clean(r->path, &x->arena), !str_eq(clean, r->path)) {
		redirect(x, clean, "");
	} else if (x->match.add_slash) {
		redirect(x, r->path, "/");
	} else if (!x->match.rows) {
		answer_empty(x, 404);
	}
}

static bool is_blocked(struct exchange *x)
{
	const struct strs *blocked = &x->httpd->conf->http.block_endpoints;

	for (uint32_t i = 0; i < blocked->count; i++) {
		if (str_starts(x->request.path, blocked->items[i])) {
			return true;
		}
	}
	return false;
}

static void answer_methods(struct exchange *x)
{
	OWN_EMBEDDED(buf_fini) struct buf allow = { 0 };

	route_render_allow(&x->match, &allow);
	answer_header(x, STR("Allow"), buf_str(&allow));
	if (x->request.method == METHOD_OPTIONS) {
		answer_empty(x, 200);
	} else {
		answer_printf(
			x, 405, "method " STR_FMT " not allowed", STR_ARG(x->request.method_text));
	}
}

/* Steps 5 to 10, for what has a route. */
static void check_request(struct exchange *x)
{
	struct request *r = &x->request;
	bool writes =
		r->method != METHOD_GET && r->method != METHOD_HEAD && r->method != METHOD_OPTIONS;

	if (r->params_malformed) {
		answer_empty(x, 500);
	} else if (!x->conn->peer && is_blocked(x)) {
		answer_text(x, 403, STR("Endpoint is blocked by agent configuration"));
	} else if (!x->route) {
		answer_methods(x);
	} else if (x->conn->peer && x->route->flags & ROUTE_LOCAL) {
		answer_text(x, 403, STR("This port is for other nodes"));
	} else if (writes && !x->conn->peer && !client_may_write(x->httpd->engine, x->conn)) {
		answer_text(x, 403, STR("Access is restricted"));
	}
}

/* Namespaces: what only clusters that we are not have. */
static void check_scope(struct exchange *x)
{
	if (request_param(&x->request, "ns").n) {
		answer_text(x, 400,
			STR("Bad request: Invalid query parameter: \"ns\" - Namespaces are a "
			    "Consul Enterprise feature"));
	} else if (request_header(&x->request, "x-consul-namespace").n) {
		answer_text(x, 400,
			STR("Bad request: Invalid header: \"X-Consul-Namespace\" - Namespaces are "
			    "a Consul Enterprise feature"));
	}
}

void dispatch(struct exchange *x)
{
	const struct route_match *m = &x->match;

	buf_clear(exchange_body(x));
	x->answer.bare = true;
	check_path(x);
	if (x->answered) {
		return;
	}
	if (m->rows[0].flags & ROUTE_BARE) {
		if (x->route) {
			x->route->handle(x);
		} else {
			m->rows[0].handle(x);
		}
		return;
	}
	x->answer.bare = false;
	check_request(x);
	if (!x->answered) {
		check_scope(x);
	}
	if (x->answered || forward_if_due(x)) {
		return;
	}
	if (x->route->flags & ROUTE_READ) {
		read_run(x);
	} else {
		exchange_cached(x);
		x->route->handle(x);
	}
}
