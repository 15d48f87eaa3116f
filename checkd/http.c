/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP checks: 2xx passes, 429 warns, everything else is critical.
 * gRPC checks: the call grpc.health.v1.Health/Check over plain HTTP/2 or TLS; SERVING passes.
 */
#include "checkd/core/request.h"
#include "checkd/plain.h"
#include "checkd/run.h"
#include "common/base/json.h"
#include "common/sys/clock.h"
#include "common/sys/fetch.h"

/* One of plain and fetch is under way. */
struct http {
	struct run *run;
	struct mono deadline;
	struct plain *plain;
	struct fetch *fetch;
};

static void http_stop(struct run *run)
{
	struct http *h = take(run->impl);

	run->stop = NULL;
	if (h->plain) {
		plain_cancel(h->plain);
	}
	if (h->fetch) {
		fetch_cancel(h->fetch);
	}
	free(h);
}

static void http_end(struct http *h, enum check_status status, struct buf *text)
{
	struct run *run = h->run;

	run_done(run, status, buf_str(text));
	run->impl = NULL;
	run->stop = NULL; /* what brought the answer frees itself behind its callback */
	free(h);
}

static void tls_fill(const struct run *run, struct fetch_request *q)
{
	const struct conf *conf = run_conf(run);

	q->tls_skip_verify = run->def->tls_skip_verify;
	q->tls_server_name = run->def->tls_server_name;
	if (conf->enable_agent_tls_for_checks) {
		if (!q->tls_server_name.n) {
			q->tls_server_name =
				conf->server_name.n ? conf->server_name : conf->node_name;
		}
		q->ca_file = conf->ca_file;
		q->ca_path = conf->ca_path;
		q->cert_file = conf->cert_file;
		q->key_file = conf->key_file;
	}
}

static struct http *http_new(struct run *run)
{
	struct http *h = xcalloc(1, sizeof(*h));

	h->run = run;
	h->deadline = mono_add_ms(clock_mono(), run->timeout_ms);
	run->impl = h;
	run->stop = http_stop;
	return h;
}

/* ---- http ---- */

static struct str method_of(const struct check_def *def)
{
	return def->method.n ? def->method : STR("GET");
}

static void on_http(void *arg, const struct fetch_result *r)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	struct http *h = arg;
	const struct check_def *def = h->run->def;
	struct str method = method_of(def);

	if (r->status == 0) {
		request_render(&text, method, def->http);
		buf_put_str(&text, r->error);
		http_end(h, CHECK_CRITICAL, &text);
		return;
	}
	buf_printf(&text, "HTTP " STR_FMT " " STR_FMT ": " STR_FMT " Output: ", STR_ARG(method),
		STR_ARG(def->http), STR_ARG(r->status_line));
	buf_put_str(&text, r->body);
	http_end(h,
		r->status >= 200 && r->status < 300 ? CHECK_PASSING
		: r->status == 429		    ? CHECK_WARNING
						    : CHECK_CRITICAL,
		&text);
}

/* header_json is an object of lists of strings, checked when it was decoded. */
static const struct json *headers_of(const struct check_def *def, struct arena *arena)
{
	struct json *headers;

	if (!def->header_json.n || json_parse(arena, def->header_json, &headers, NULL)) {
		headers = arena_new(arena, struct json);
	}
	return headers;
}

static void headers_fill(const struct check_def *def, struct arena *arena, struct strs *out)
{
	const struct json *list, *item;
	bool agent = false, accept = false;
	uint32_t count = 3;
	const struct json *headers = headers_of(def, arena);

	json_for_each (list, headers) {
		count += list->count;
	}
	*out = (struct strs) { arena_array(arena, struct str, count), 0, true };
	json_for_each (list, headers) {
		agent = agent || str_ieq(list->key, STR("User-Agent"));
		accept = accept || str_ieq(list->key, STR("Accept"));
		json_for_each (item, list) {
			out->items[out->count++] = arena_printf(arena, STR_FMT ": " STR_FMT,
				STR_ARG(list->key), STR_ARG(item->text));
		}
	}
	out->items[out->count++] = STR("Connection: close");
	if (!agent) {
		out->items[out->count++] = STR("User-Agent: Consul Health Check");
	}
	if (!accept) {
		out->items[out->count++] = STR("Accept: text/plain, text/*, */*");
	}
}

static void http_fill(const struct run *run, struct arena *arena, struct fetch_request *q)
{
	const struct check_def *def = run->def;

	*q = (struct fetch_request) { .method = method_of(def),
		.url = def->http,
		.body = def->body,
		.follow = !def->disable_redirects,
		.timeout_ms = run->timeout_ms,
		.body_max = run->output_max };
	tls_fill(run, q);
	headers_fill(def, arena, &q->headers);
}

static void on_plain(void *arg, const struct fetch_result *r, bool redirected)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct http *h = arg;
	struct fetch_request q;

	h->plain = NULL;
	if (!redirected || h->run->def->disable_redirects) {
		on_http(h, r);
		return;
	}
	http_fill(h->run, &arena, &q);
	/* What is left of the time, which is for all of it. */
	q.timeout_ms = max_of(mono_diff_ms(h->deadline, clock_mono()), (int64_t)1);
	h->fetch = fetch_start(run_fetcher(h->run), &q, on_http, h);
}

void http_start(struct run *run)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	const struct check_def *def = run->def;
	struct fetch_request q;
	struct http *h;

	if (request_check(method_of(def), def->http, headers_of(def, &arena), &why)) {
		run_done(run, CHECK_CRITICAL, buf_str(&why));
		return;
	}
	h = http_new(run);
	http_fill(run, &arena, &q);
	if (plain_can(&q)) {
		h->plain = plain_start(run->loop, &q, on_plain, h);
	} else {
		h->fetch = fetch_start(run_fetcher(run), &q, on_http, h);
	}
}

/* ---- grpc (the wire: grpc.io's PROTOCOL-HTTP2) ---- */

enum { GRPC_FRAME_HEAD = 5, GRPC_SERVING = 1, GRPC_SERVICE_MAX = 120 };

static const char *grpc_code(struct str number)
{
	static const char *const names[] = { "OK", "Canceled", "Unknown", "InvalidArgument",
		"DeadlineExceeded", "NotFound", "AlreadyExists", "PermissionDenied",
		"ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented",
		"Internal", "Unavailable", "DataLoss", "Unauthenticated" };
	uint64_t n;

	return str_to_u64(number, &n) || n >= ARRAY_SIZE(names) ? "Unknown" : names[n];
}

/* HealthCheckResponse: field 1, varint, the status. */
static bool grpc_is_serving(struct str body)
{
	struct str message = str_skip(body, GRPC_FRAME_HEAD);

	return message.n >= 2 && message.p[0] == 0x08 && message.p[1] == GRPC_SERVING;
}

static void on_grpc(void *arg, const struct fetch_result *r)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	struct http *h = arg;
	struct str target = h->run->def->grpc;

	if (r->status == 0) {
		buf_printf(&text,
			"rpc error: code = Unavailable desc = connection error: desc = "
			"\"transport: Error while dialing " STR_FMT "\"",
			STR_ARG(r->error));
	} else if (r->headers[0].n && !str_is(r->headers[0], "0")) {
		buf_printf(&text, "rpc error: code = %s desc = " STR_FMT, grpc_code(r->headers[0]),
			STR_ARG(r->headers[1]));
	} else if (r->status != 200) {
		buf_printf(&text, "rpc error: code = Unknown desc = HTTP status " STR_FMT,
			STR_ARG(r->status_line));
	} else if (!grpc_is_serving(r->body)) {
		buf_put_lit(&text, "gRPC application didn't report service healthy");
	} else {
		buf_printf(&text, "gRPC check " STR_FMT ": success", STR_ARG(target));
		http_end(h, CHECK_PASSING, &text);
		return;
	}
	http_end(h, CHECK_CRITICAL, &text);
}

void grpc_start(struct run *run)
{
	OWN_EMBEDDED(buf_fini) struct buf body = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf url = { 0 };
	struct str headers[] = { STR("Content-Type: application/grpc"), STR("TE: trailers") };
	struct http *h = http_new(run);
	struct str service, target = str_split(run->def->grpc, '/', &service);
	struct fetch_request q = { .method = STR("POST"),
		.http2 = true,
		.headers = { headers, ARRAY_SIZE(headers), true },
		.headers_wanted = { "grpc-status", "grpc-message" } };

	service = str_cut(service, GRPC_SERVICE_MAX); /* keeps the lengths below in one byte */
	buf_printf(&url, "%s://" STR_FMT "/grpc.health.v1.Health/Check",
		run->def->grpc_use_tls ? "https" : "http", STR_ARG(target));
	buf_put_u8(&body, 0); /* not compressed */
	buf_put_u32be(&body, service.n ? (uint32_t)service.n + 2 : 0);
	if (service.n) { /* HealthCheckRequest: field 1, the service's name */
		buf_put_u8(&body, 0x0a);
		buf_put_u8(&body, (uint8_t)service.n);
		buf_put_str(&body, service);
	}
	q.url = buf_str(&url);
	q.body = buf_str(&body);
	q.timeout_ms = run->timeout_ms;
	q.body_max = run->output_max;
	tls_fill(run, &q);
	h->fetch = fetch_start(run_fetcher(run), &q, on_grpc, h);
}
