/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head of an answer, rendered from prepared pieces.
 */
#include "httpd/core/answer.h"

struct status_row {
	int status;
	struct str line;
};

#define STATUS(code, text)                                                    \
	{                                                                     \
		code,                                                         \
		{                                                             \
			"HTTP/1.1 " #code " " text "\r\n",                    \
				sizeof("HTTP/1.1 " #code " " text "\r\n") - 1 \
		}                                                             \
	}

/* 413 as Go's server words it. */
static const struct status_row statuses[] = {
	STATUS(200, "OK"),
	STATUS(301, "Moved Permanently"),
	STATUS(400, "Bad Request"),
	STATUS(401, "Unauthorized"),
	STATUS(403, "Forbidden"),
	STATUS(404, "Not Found"),
	STATUS(405, "Method Not Allowed"),
	STATUS(408, "Request Timeout"),
	STATUS(409, "Conflict"),
	STATUS(413, "Request Entity Too Large"),
	STATUS(415, "Unsupported Media Type"),
	STATUS(417, "Expectation Failed"),
	STATUS(429, "Too Many Requests"),
	STATUS(431, "Request Header Fields Too Large"),
	STATUS(500, "Internal Server Error"),
	STATUS(501, "Not Implemented"),
	STATUS(503, "Service Unavailable"),
};

static struct str status_line(int status)
{
	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		if (statuses[i].status == status) {
			return statuses[i].line;
		}
	}
	return STR_NONE;
}

struct str answer_status_text(int status)
{
	struct str line = status_line(status);

	return line.n ? str_n(line.p + 13, line.n - 15) : STR("");
}

static void put_status(const struct answer *a, struct buf *out)
{
	struct str line = status_line(a->status);
	size_t at = out->n;

	if (line.n) {
		buf_put_str(out, line);
	} else {
		buf_printf(out, "HTTP/1.1 %03d status code %d\r\n", a->status, a->status);
	}
	if (a->http_1_0) {
		out->p[at + 7] = '0';
	}
}

static void put_line(struct buf *out, struct str name, struct str value)
{
	buf_put_str(out, name);
	buf_put_lit(out, ": ");
	buf_put_str(out, value);
	buf_put_lit(out, "\r\n");
}

static void put_meta(const struct answer *a, struct buf *out)
{
	if (a->consistency) {
		put_line(out, STR("X-Consul-Effective-Consistency"), str_of(a->consistency));
	}
	if (a->index) {
		buf_put_lit(out, "X-Consul-Index: ");
		buf_put_dec(out, a->index);
		buf_put_lit(out, "\r\n");
	}
	if (a->has_leader) {
		if (a->known_leader) {
			buf_put_lit(out, "X-Consul-Knownleader: true\r\nX-Consul-Lastcontact: ");
		} else {
			buf_put_lit(out, "X-Consul-Knownleader: false\r\nX-Consul-Lastcontact: ");
		}
		buf_put_dec(out, a->last_contact_ms);
		buf_put_lit(out, "\r\n");
	}
}

static void put_end(const struct answer *a, struct buf *out)
{
	if (a->chunked) {
		buf_put_lit(out, "Transfer-Encoding: chunked\r\n");
	} else {
		buf_put_lit(out, "Content-Length: ");
		buf_put_dec(out, a->content_length);
		buf_put_lit(out, "\r\n");
	}
	if (a->connection == CONNECTION_CLOSE) {
		buf_put_lit(out, "Connection: close\r\n");
	} else if (a->connection == CONNECTION_KEEP_ALIVE) {
		buf_put_lit(out, "Connection: keep-alive\r\n");
	}
	buf_put_lit(out, "\r\n");
}

void answer_render(const struct answer *a, struct str configured, struct str date, struct buf *out)
{
	put_status(a, out);
	if (a->content_type.n) {
		put_line(out, STR("Content-Type"), a->content_type);
	}
	if (a->gzip) {
		buf_put_lit(out, "Content-Encoding: gzip\r\n");
	}
	for (uint32_t i = 0; i < a->headers_count; i++) {
		put_line(out, a->headers[i].name, a->headers[i].value);
	}
	buf_put_str(out, a->lines);
	if (!a->bare) {
		buf_put_str(out, configured);
		buf_put_lit(out, "Vary: Accept-Encoding\r\n");
	}
	put_meta(a, out);
	buf_put_str(out, date);
	put_end(a, out);
}
