/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http-parser behind parser.h. A head is parsed only when all of it is there, so every string is
 * one run of bytes.
 */
#include "httpd/core/parser.h"

#include <http_parser.h>
#include <limits.h>

enum { HEADERS_FIRST = 16, METHOD_SIZE_MAX = 32 };

_Static_assert(
	sizeof(http_parser) <= sizeof(struct parser_chunks), "room for the library's struct");

size_t parser_head_end(struct str bytes, size_t *scanned)
{
	size_t at = *scanned;

	while (at < bytes.n) {
		const char *newline = memchr(bytes.p + at, '\n', bytes.n - at);
		size_t next;

		if (!newline) {
			break;
		}
		next = (size_t)(newline - bytes.p) + 1;
		if (next < bytes.n && bytes.p[next] == '\n') {
			return next + 1;
		}
		if (next + 1 < bytes.n && bytes.p[next] == '\r' && bytes.p[next + 1] == '\n') {
			return next + 2;
		}
		if (next + 1 >= bytes.n) { /* undecided: look at this line's end again */
			*scanned = next - 1;
			return 0;
		}
		at = next;
	}
	*scanned = bytes.n;
	return 0;
}

struct head_state {
	struct arena *arena;
	struct request *request;
	struct header *headers;
	uint32_t room;
	const char *name_end; /* of the newest header's name */
	bool in_value, folded, bad_name, too_many, complete;
};

static int on_url(http_parser *p, const char *at, size_t n)
{
	struct head_state *s = p->data;

	s->request->target = str_n(at, n);
	return 0;
}

static int on_field(http_parser *p, const char *at, size_t n)
{
	struct head_state *s = p->data;
	struct request *r = s->request;

	s->too_many = r->headers_count == REQUEST_HEADERS_MAX;
	s->bad_name = memchr(at, ' ', n); /* the library lets it pass */
	if (s->too_many || s->bad_name) {
		return 1;
	}
	if (r->headers_count == s->room) {
		uint32_t room = s->room ? s->room * 2 : HEADERS_FIRST;
		struct header *bigger = arena_array(s->arena, struct header, room);

		if (s->room) {
			memcpy(bigger, s->headers, s->room * sizeof(*bigger));
		}
		s->headers = bigger;
		s->room = room;
	}
	s->name_end = at + n;
	s->headers[r->headers_count++] = (struct header) { str_n(at, n), STR("") };
	s->in_value = false;
	return 0;
}

static int on_value(http_parser *p, const char *at, size_t n)
{
	struct head_state *s = p->data;

	if (s->in_value) { /* a folded line (RFC 7230, 3.2.4: obsolete, may be refused) */
		s->folded = true;
		return 1;
	}
	s->headers[s->request->headers_count - 1].value = str_trim(str_n(at, n));
	s->in_value = true;
	return 0;
}

static int on_headers(http_parser *p)
{
	struct head_state *s = p->data;
	struct request *r = s->request;

	s->complete = true;
	r->http_1_0 = p->http_major == 1 && p->http_minor == 0;
	r->keep_alive = http_should_keep_alive(p);
	r->chunked = p->flags & F_CHUNKED;
	r->content_length = -1;
	if (!r->chunked && p->content_length != ULLONG_MAX) {
		r->content_length = (int64_t)min_of(p->content_length, (uint64_t)INT64_MAX);
	}
	return 1; /* no body here: the connection takes it */
}

static enum method method_of(unsigned method)
{
	switch (method) {
	case HTTP_GET:
		return METHOD_GET;
	case HTTP_POST:
		return METHOD_POST;
	case HTTP_PUT:
		return METHOD_PUT;
	case HTTP_DELETE:
		return METHOD_DELETE;
	case HTTP_OPTIONS:
		return METHOD_OPTIONS;
	case HTTP_HEAD:
		return METHOD_HEAD;
	default:
		return METHOD_OTHER;
	}
}

/* at: the byte that the library stopped at. */
static struct str reason_of(const http_parser *p, const struct head_state *s, struct str at)
{
	enum http_errno error = HTTP_PARSER_ERRNO(p);

	if (s->folded) {
		return STR("folded header");
	}
	if (s->bad_name) {
		return STR("invalid header name");
	}
	if (error == HPE_INVALID_VERSION) {
		return STR("malformed HTTP version");
	}
	if (error != HPE_INVALID_HEADER_TOKEN || (at.n && (at.p[0] == '\r' || at.p[0] == '\n'))) {
		return STR(""); /* a line without a colon among them */
	}
	return s->name_end && !s->in_value ? STR("invalid header value")
					   : STR("invalid header name");
}

/* The method at the front, when it is none that the library knows: STR_NONE otherwise. */
static struct str unknown_method(const http_parser *p, struct str head)
{
	struct str rest, method = str_split(head, ' ', &rest);

	if (HTTP_PARSER_ERRNO(p) != HPE_INVALID_METHOD || !rest.p || !method.n ||
		method.n > METHOD_SIZE_MAX) {
		return STR_NONE;
	}
	for (size_t i = 0; i < method.n; i++) {
		if (method.p[i] < 'A' || method.p[i] > 'Z') {
			return STR_NONE;
		}
	}
	return method;
}

/* Returns what was not parsed. */
static struct str run(http_parser *p, struct head_state *s, struct str method, struct str rest)
{
	static const http_parser_settings settings = {
		.on_url = on_url,
		.on_header_field = on_field,
		.on_header_value = on_value,
		.on_headers_complete = on_headers,
	};

	http_parser_init(p, HTTP_REQUEST);
	p->data = s;
	if (method.n) {
		http_parser_execute(p, &settings, method.p, method.n);
	}
	return str_skip(rest, http_parser_execute(p, &settings, rest.p, rest.n));
}

int parser_head(struct str head, struct arena *arena, struct request *out, struct str *why_out)
{
	struct head_state state = { .arena = arena, .request = out };
	http_parser parser;
	struct str method, rest;

	if (head.p[0] == '\r' || head.p[0] == '\n') {
		return ST_INVALID; /* RFC 7230, 3.5 would skip it; Go's server does not */
	}
	http_parser_set_max_header_size(REQUEST_HEAD_MAX + 1);
	rest = run(&parser, &state, STR(""), head);
	method = unknown_method(&parser, head);
	if (method.n) { /* parsed as if it were one that no route has */
		rest = run(&parser, &state, STR("PATCH"), str_skip(head, method.n));
	}
	if (!state.complete) {
		*why_out = reason_of(&parser, &state, rest);
		return state.too_many ? ST_TOO_LARGE : ST_INVALID;
	}
	if (parser.http_major !=
		1) { /* 0.9 is what the library takes a line without a version for */
		*why_out = parser.http_major ? STR("unsupported protocol version") : STR("");
		return ST_INVALID;
	}
	if (head.p[out->target.p - head.p - 1] != ' ' ||
		head.p[out->target.p - head.p - 2] == ' ') {
		return ST_INVALID; /* exactly one space, which the library does not insist on */
	}
	out->headers = state.headers;
	out->method = method_of(parser.method);
	out->method_text = method.n ? method : str_of(http_method_str(parser.method));
	return 0;
}

struct chunks_state {
	struct buf *out;
	bool done;
};

static int on_body(http_parser *p, const char *at, size_t n)
{
	struct chunks_state *s = p->data;

	if (s) {
		buf_put(s->out, at, n);
	}
	return 0;
}

static int on_complete(http_parser *p)
{
	struct chunks_state *s = p->data;

	if (s) {
		s->done = true;
		http_parser_pause(p, 1);
	}
	return 0;
}

static const http_parser_settings chunks_settings = { .on_body = on_body,
	.on_message_complete = on_complete };

void parser_chunks_init(struct parser_chunks *c)
{
	static const char head[] = "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
	http_parser *parser = (http_parser *)c->parser;

	http_parser_init(parser, HTTP_REQUEST);
	parser->data = NULL;
	must(http_parser_execute(parser, &chunks_settings, head, sizeof(head) - 1) ==
		sizeof(head) - 1);
}

int parser_chunks_feed(struct parser_chunks *c, struct str bytes, struct buf *out, size_t *used_out,
	bool *done_out)
{
	http_parser *parser = (http_parser *)c->parser;
	struct chunks_state state = { .out = out };

	parser->data = &state;
	*used_out = http_parser_execute(parser, &chunks_settings, bytes.p, bytes.n);
	parser->data = NULL;
	*done_out = state.done;
	if (state.done) { /* paused there: that is no error */
		return 0;
	}
	return HTTP_PARSER_ERRNO(parser) == HPE_OK ? 0 : ST_INVALID;
}
