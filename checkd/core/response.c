/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See RFC 9112, sections 4 (status line), 5 (fields), 6.3 (length of a body) and 7.1 (chunks).
 */
#include "checkd/core/response.h"

#include "common/base/err.h"

void response_init(struct response *p)
{
	*p = (struct response) { 0 };
}

void response_fini(struct response *p)
{
	buf_fini(&p->chunks);
	response_init(p);
}

static int length_parse(struct str text, size_t *out)
{
	uint64_t n;

	if (str_to_u64(text, &n) || n > RESPONSE_BODY_MAX) {
		return ST_INVALID;
	}
	*out = n;
	return 0;
}

static int field_read(struct response *p, struct str line)
{
	struct str value, name = str_split(line, ':', &value);

	if (!value.p) {
		return ST_INVALID;
	}
	value = str_trim(value);
	if (str_ieq(name, STR("Content-Length"))) {
		return length_parse(value, &p->length);
	}
	if (str_ieq(name, STR("Transfer-Encoding"))) {
		p->chunked = true;
		return str_ieq(value, STR("chunked")) ? 0 : ST_INVALID;
	}
	if (str_ieq(name, STR("Connection"))) {
		p->close = p->close || str_ieq(value, STR("close"));
	}
	if (str_ieq(name, STR("X-Consul-Index")) && str_to_u64(value, &p->index)) {
		return ST_INVALID;
	}
	return 0;
}

static int status_read(struct response *p, struct str line)
{
	uint64_t status;

	if (!str_starts(line, STR("HTTP/1.")) || line.n < 12 || line.p[8] != ' ') {
		return ST_INVALID;
	}
	if (str_to_u64(str_n(line.p + 9, 3), &status) || status < 200) {
		return ST_INVALID;
	}
	p->status = (int)status;
	return 0;
}

static int head_read(struct response *p, struct str input)
{
	ssize_t end = str_find_str(str_cut(input, RESPONSE_HEAD_MAX), STR("\r\n\r\n"));
	struct str head, line, rest;

	if (end < 0) {
		return input.n >= RESPONSE_HEAD_MAX ? ST_INVALID : ST_AGAIN;
	}
	head = str_cut(input, (size_t)end);
	line = str_split(head, '\n', &rest);
	if (status_read(p, line)) {
		return ST_INVALID;
	}
	while (rest.n) {
		line = str_split(rest, '\n', &rest);
		if (field_read(p, str_trim(line))) {
			return ST_INVALID;
		}
	}
	p->head_size = p->at = (size_t)end + 4;
	return 0;
}

static int hex_read(struct str text, size_t *out)
{
	size_t n = 0;

	if (text.n == 0 || text.n > 8) {
		return ST_INVALID;
	}
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		int digit = c >= '0' && c <= '9'   ? c - '0'
			    : c >= 'a' && c <= 'f' ? c - 'a' + 10
			    : c >= 'A' && c <= 'F' ? c - 'A' + 10
						   : -1;

		if (digit < 0) {
			return ST_INVALID;
		}
		n = n * 16 + (size_t)digit;
	}
	*out = n;
	return 0;
}

/* Takes whole chunks only; trailers are not sent by our httpd. */
static int chunks_read(struct response *p, struct str input)
{
	for (;;) {
		struct str left = str_skip(input, p->at);
		ssize_t line_end = str_find_str(str_cut(left, 64), STR("\r\n"));
		size_t size, head;

		if (line_end < 0) {
			return left.n >= 64 ? ST_INVALID : ST_AGAIN;
		}
		if (hex_read(str_cut(left, (size_t)line_end), &size) ||
			p->chunks.n + size > RESPONSE_BODY_MAX) {
			return ST_INVALID;
		}
		head = (size_t)line_end + 2;
		if (left.n < head + size + 2) {
			return ST_AGAIN;
		}
		if (!str_starts(str_skip(left, head + size), STR("\r\n"))) {
			return ST_INVALID;
		}
		buf_put(&p->chunks, left.p + head, size);
		p->at += head + size + 2;
		if (size == 0) {
			p->body = buf_str(&p->chunks);
			p->used = p->at;
			return 0;
		}
	}
}

int response_feed(struct response *p, struct str input)
{
	int r = p->head_size ? 0 : head_read(p, input);

	if (r) {
		return r;
	}
	if (p->chunked) {
		return chunks_read(p, input);
	}
	if (input.n - p->head_size < p->length) {
		return ST_AGAIN;
	}
	p->body = str_n(input.p + p->head_size, p->length);
	p->used = p->head_size + p->length;
	return 0;
}
