/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See RFC 9112, sections 4 (status line), 5 (fields), 6.3 (length of a body) and 7.1 (chunks).
 */
#include "common/base/response.h"

#include "common/base/err.h"

void response_init(struct response *p, void (*on_body)(void *arg, struct str piece), void *arg)
{
	*p = (struct response) { .on_body = on_body, .arg = arg };
}

void response_fini(struct response *p)
{
	buf_fini(&p->status_line);
	buf_fini(&p->content_type);
	buf_fini(&p->line);
}

void response_reset(struct response *p)
{
	struct response fresh = {
		.status_line = p->status_line,
		.content_type = p->content_type,
		.line = p->line,
		.on_body = p->on_body,
		.on_field = p->on_field,
		.arg = p->arg,
	};

	buf_clear(&fresh.status_line);
	buf_clear(&fresh.content_type);
	buf_clear(&fresh.line);
	*p = fresh;
}

/* ---- the head ---- */

static int field_read(struct response *p, struct str line)
{
	struct str value, name = str_split(line, ':', &value);

	if (!value.p) {
		return ST_INVALID;
	}
	value = str_trim(value);
	if (p->on_field) {
		p->on_field(p->arg, name, value);
	}
	if (str_ieq(name, STR("Content-Length"))) {
		p->has_length = true;
		p->length = 0;
		return str_to_u64(value, &p->length) ? ST_INVALID : 0;
	}
	if (str_ieq(name, STR("Transfer-Encoding"))) {
		p->chunked = true;
		return str_ieq(value, STR("chunked")) ? 0 : ST_INVALID;
	}
	if (str_ieq(name, STR("Connection"))) {
		p->close = p->close || str_ieq(value, STR("close"));
	} else if (str_ieq(name, STR("Location"))) {
		p->redirected = true;
	} else if (str_ieq(name, STR("Content-Type"))) {
		buf_clear(&p->content_type);
		buf_put_str(&p->content_type, value);
	} else if (str_ieq(name, STR("X-Consul-Index")) && str_to_u64(value, &p->index)) {
		return ST_INVALID;
	}
	return 0;
}

static int status_read(struct response *p, struct str line)
{
	uint64_t status;

	if (!str_starts(line, STR("HTTP/1.")) || line.n < 12 || line.p[8] != ' ' ||
		str_to_u64(str_n(line.p + 9, 3), &status) || status < 100) {
		return ST_INVALID;
	}
	p->status = (int)status;
	p->close = line.p[7] == '0';
	buf_clear(&p->status_line);
	buf_put_str(&p->status_line, str_skip(line, 9));
	return 0;
}

/* The empty line behind the head: what follows it? */
static void body_begin(struct response *p)
{
	if (p->status < 200) { /* an interim answer: the real one follows */
		p->status = 0;
		p->chunked = p->has_length = p->redirected = false;
	} else if (p->bodyless || p->status == 204 || p->status == 304) {
		p->state = RESPONSE_DONE;
	} else if (p->chunked) {
		p->state = RESPONSE_CHUNK_LINE;
	} else if (p->has_length) {
		p->left = p->length;
		p->state = p->left ? RESPONSE_LENGTH : RESPONSE_DONE;
	} else {
		p->state = RESPONSE_UNTIL_END;
	}
}

static int head_line(struct response *p, struct str line)
{
	if (p->status == 0) {
		return status_read(p, line);
	}
	if (line.n) {
		return field_read(p, line);
	}
	body_begin(p);
	return 0;
}

/* ---- chunks ---- */

static int hex_read(struct str text, uint64_t *out)
{
	uint64_t n = 0;

	if (text.n == 0 || text.n > 12) {
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
		n = n * 16 + (uint64_t)digit;
	}
	*out = n;
	return 0;
}

static int chunk_line(struct response *p, struct str line)
{
	struct str extensions, size = str_trim(str_split(line, ';', &extensions));

	if (hex_read(size, &p->left)) {
		return ST_INVALID;
	}
	p->state = p->left ? RESPONSE_CHUNK : RESPONSE_TRAILERS;
	return 0;
}

/* ---- the machine ---- */

static int line_read(struct response *p, struct str line)
{
	switch (p->state) {
	case RESPONSE_HEAD:
		return head_line(p, line);
	case RESPONSE_CHUNK_LINE:
		return chunk_line(p, line);
	case RESPONSE_CHUNK_END:
		p->state = RESPONSE_CHUNK_LINE;
		return line.n ? ST_INVALID : 0;
	case RESPONSE_TRAILERS:
		p->state = line.n ? RESPONSE_TRAILERS : RESPONSE_DONE;
		return 0;
	default:
		must(!"a state without lines");
		return 0;
	}
}

/* Gathers a line and reads it when its end has come. */
static int line_feed(struct response *p, struct str bytes, size_t *used_out)
{
	ssize_t end = str_find(bytes, '\n');
	size_t n = end < 0 ? bytes.n : (size_t)end + 1;
	struct str line;
	int r;

	*used_out = n;
	p->head_size += p->state == RESPONSE_HEAD ? n : 0;
	if (p->head_size > RESPONSE_HEAD_MAX ||
		(p->state != RESPONSE_HEAD && p->line.n + n > RESPONSE_CHUNK_LINE_MAX)) {
		return ST_TOO_LARGE;
	}
	buf_put(&p->line, bytes.p, n);
	if (end < 0) {
		return 0;
	}
	line = str_cut(buf_str(&p->line), p->line.n - 1);
	if (str_ends(line, STR("\r"))) {
		line.n--;
	}
	r = line_read(p, line);
	buf_clear(&p->line);
	return r;
}

static size_t body_feed(struct response *p, struct str bytes)
{
	size_t n = p->state == RESPONSE_UNTIL_END ? bytes.n : (size_t)min_of(p->left, bytes.n);

	p->on_body(p->arg, str_cut(bytes, n));
	if (p->state == RESPONSE_UNTIL_END) {
		return n;
	}
	p->left -= n;
	if (p->left == 0) {
		p->state = p->state == RESPONSE_LENGTH ? RESPONSE_DONE : RESPONSE_CHUNK_END;
	}
	return n;
}

int response_feed(struct response *p, struct str bytes, size_t *used_out)
{
	size_t at = 0;

	while (at < bytes.n && p->state != RESPONSE_DONE) {
		struct str left = str_skip(bytes, at);
		size_t used;
		int r = 0;

		if (p->state == RESPONSE_LENGTH || p->state == RESPONSE_UNTIL_END ||
			p->state == RESPONSE_CHUNK) {
			used = body_feed(p, left);
		} else {
			r = line_feed(p, left, &used);
		}
		if (r) {
			return r;
		}
		at += used;
	}
	*used_out = at;
	return p->state == RESPONSE_DONE ? 0 : ST_AGAIN;
}

int response_end(struct response *p)
{
	if (p->state == RESPONSE_UNTIL_END) {
		p->state = RESPONSE_DONE;
	}
	return p->state == RESPONSE_DONE ? 0 : ST_TRUNCATED;
}
