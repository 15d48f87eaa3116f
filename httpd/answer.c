/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What handlers use to answer. Nothing is sent here: the answer is noted in the exchange and goes
 * out when the handler has returned.
 */
#include <stdarg.h>

#include "httpd/engine.h"

struct buf *exchange_body(struct exchange *x)
{
	return &x->httpd->engine->body;
}

static void answered(struct exchange *x, int status, struct str content_type)
{
	must(!x->answered && !x->call);
	x->answered = true;
	x->answer.status = status;
	x->answer.content_type = content_type;
}

/* Error texts go out without Consul's meta headers. */
static void forget_meta(struct exchange *x)
{
	x->answer.has_leader = false;
	x->answer.index = 0;
	x->answer.consistency = NULL;
}

void answer_json(struct exchange *x, int status)
{
	answered(x, status, STR("application/json"));
	x->is_json = true;
}

void answer_raw(struct exchange *x, int status, struct str content_type)
{
	answered(x, status, content_type);
}

void answer_text(struct exchange *x, int status, struct str text)
{
	forget_meta(x);
	buf_clear(exchange_body(x));
	buf_put_str(exchange_body(x), text);
	answered(x, status, text.n ? STR("text/plain; charset=utf-8") : STR(""));
}

void answer_printf(struct exchange *x, int status, const char *format, ...)
{
	va_list args;

	forget_meta(x);
	buf_clear(exchange_body(x));
	va_start(args, format);
	buf_vprintf(exchange_body(x), format, args);
	va_end(args);
	answered(x, status, STR("text/plain; charset=utf-8"));
}

void answer_empty(struct exchange *x, int status)
{
	buf_clear(exchange_body(x));
	answered(x, status, STR(""));
}

void read_failed(struct exchange *x, int status, struct str text)
{
	answer_text(x, status, text);
	if (x->route->flags & ROUTE_FAILS_BARE) {
		return;
	}
	x->answer.index = 1;
	x->answer.has_leader = true;
	x->answer.known_leader = false;
	x->answer.last_contact_ms = 0;
}

static const uint16_t result_statuses[] = {
	[RESULT_OK] = 200,
	[RESULT_ERROR] = 500,
	[RESULT_BAD] = 400,
	[RESULT_DENIED] = 403,
	[RESULT_NOT_FOUND] = 404,
	[RESULT_CONFLICT] = 409,
	[RESULT_TOO_LARGE] = 413,
};

/* The daemon did not do it: what ipc gave instead of a reply. */
static void answer_refusal(struct exchange *x, int status)
{
	switch (status) {
	case ST_NOT_LEADER:
	case ST_NOT_READY:
	case ST_TIMEOUT:
	case ST_CLOSED:
		answer_text(x, 500, STR("No cluster leader"));
		break;
	case ST_FULL:
		answer_empty(x, 429);
		break;
	case ST_STORAGE:
		answer_text(x, 500, STR("The log cannot be written: the disk is full or fails"));
		break;
	case ST_DENIED:
		answer_text(x, 403, STR("Permission denied"));
		break;
	default:
		answer_printf(x, 500, "internal call failed: %s", status_name(status));
		break;
	}
}

void answer_result(struct exchange *x, int status, const struct result *result)
{
	if (status) {
		answer_refusal(x, status);
	} else if (result->kind >= ARRAY_SIZE(result_statuses)) {
		answer_refusal(x, ST_UNSUPPORTED);
	} else if (result->kind != RESULT_OK && result->kind != RESULT_CONFLICT) {
		answer_text(x, result_statuses[result->kind], result->text);
	} else if (!result->payload.n) {
		answer_empty(x, result_statuses[result->kind]);
	} else {
		buf_put_str(exchange_body(x), result->payload);
		answer_json(x, result_statuses[result->kind]);
	}
}

void answer_header(struct exchange *x, struct str name, struct str value)
{
	struct answer *a = &x->answer;
	char *text = arena_alloc(&x->arena, value.n + 1);

	must(a->headers_count < ANSWER_HEADERS_MAX);
	for (size_t i = 0; i < value.n; i++) { /* never a line of its own */
		text[i] = value.p[i] == '\r' || value.p[i] == '\n' ? ' ' : value.p[i];
	}
	a->headers[a->headers_count++] = (struct answer_header) { name, str_n(text, value.n) };
}

void answer_index(struct exchange *x, uint64_t index)
{
	x->answer.index = max_of(index, 1);
}

void answer_stream(struct exchange *x, int status, const struct stream *stream)
{
	struct stream *kept = arena_new(&x->arena, struct stream);

	*kept = *stream;
	answered(x, status, stream->content_type);
	x->stream = kept;
}
