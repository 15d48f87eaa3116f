/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The body of a request: taken whole out of the read buffer when it is there already, collected in
 * memory up to its ceiling, or written to a file of the run directory (snapshots).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "common/sys/clock.h"
#include "common/sys/share.h"
#include "httpd/engine.h"

enum { DISCARD_MAX = 256 << 10 };

struct upload {
	int fd;
	size_t size;
	char path[64];
};

static struct upload *upload_new(void)
{
	struct upload *u = xcalloc(1, sizeof(*u));

	snprintf(u->path, sizeof(u->path), "httpd/" UPLOAD_PREFIX "%016llx",
		(unsigned long long)random_u64());
	u->fd = open(u->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	if (u->fd < 0 || share_file(u->path, "httpd/upload", 0640)) {
		log_warning("upload-failed", "path=%s error=%d", u->path, errno);
	}
	return u;
}

void upload_free(struct upload *u)
{
	if (u->fd >= 0) {
		close(u->fd);
	}
	unlink(u->path);
	free(u);
}

static int upload_write(struct upload *u, struct str bytes)
{
	while (bytes.n) {
		ssize_t n = u->fd < 0 ? -1 : write(u->fd, bytes.p, bytes.n);

		if (n < 0) {
			return err_errno("upload %s", u->path);
		}
		u->size += (size_t)n;
		bytes = str_skip(bytes, (size_t)n);
	}
	return 0;
}

static size_t body_ceiling(const struct exchange *x)
{
	const struct conf *conf = x->httpd->conf;
	unsigned flags = x->route ? x->route->flags : 0;

	if (flags & ROUTE_BODY_KV) {
		return (size_t)conf->limits.kv_max_value_size;
	}
	if (flags & ROUTE_BODY_TXN) {
		return (size_t)conf->limits.txn_max_req_len;
	}
	return flags & ROUTE_BODY_FILE ? UPLOAD_MAX : REQUEST_BODY_MAX;
}

/* The answer to a body over its ceiling; the connection ends with it. size: -1 when it was not
 * announced. */
static void refuse_large(struct exchange *x, int64_t size, size_t ceiling)
{
	unsigned flags = x->route ? x->route->flags : 0;
	const char *setting = "";
	char shown[32] = "";

	if (size >= 0) {
		snprintf(shown, sizeof(shown), "(%lld bytes)", (long long)size);
	}
	if (flags & ROUTE_BODY_KV) {
		setting = " See https://www.consul.io/docs/agent/options.html#kv_max_value_size.";
	} else if (flags & ROUTE_BODY_TXN) {
		setting = " See https://www.consul.io/docs/agent/options.html#txn_max_req_len.";
	}
	answer_printf(x, 413, "Request body%s too large, max size: %zu bytes.%s", shown, ceiling,
		setting);
}

/* The exchange goes to its handler, or out with the answer that it has already. */
static void finish(struct conn *c)
{
	struct exchange *x = take(c->exchange);

	c->state = CONN_BUSY;
	loop_timer_stop(&c->timer);
	if (x->is_too_large) {
		refuse_large(x, x->request.content_length, c->body_max);
	} else if (!x->answered) {
		dispatch(x);
	}
	exchange_settle(x);
}

void body_begin(struct conn *c)
{
	struct exchange *x = c->exchange;
	const struct request *r = &x->request;
	struct str go_on = STR("HTTP/1.1 100 Continue\r\n\r\n");

	c->body_left = r->chunked ? -1 : max_of(r->content_length, 0);
	c->body_max = body_ceiling(x);
	if (r->expects_other) {
		c->close_after = true;
		x->answer.bare = true;
		answer_empty(x, 417);
	} else if (c->body_left > (int64_t)c->body_max) {
		/* What is small enough is read and forgotten, so that the connection can go on. */
		x->is_too_large = true;
		c->close_after |= c->body_left > DISCARD_MAX || r->expects_continue;
	}
	if (!c->close_after && x->route && x->route->flags & ROUTE_BODY_FILE) {
		c->upload = upload_new();
		x->upload_path = c->upload->path;
	}
	if (c->close_after || c->body_left == 0) {
		finish(c);
		body_fini(c);
		return;
	}
	if (r->expects_continue && conn_write(c, &go_on, 1) < (ssize_t)go_on.n) {
		conn_fail(c);
		return;
	}
	if (r->chunked) {
		parser_chunks_init(&c->chunks);
	}
	c->state = CONN_BODY;
	conn_timer_in(c, STALL_MS);
}

/* Hands over what has come; false: the exchange is over (too large, or the disk is full). */
static bool collect(struct conn *c, struct str bytes)
{
	struct exchange *x = c->exchange;
	size_t have = c->upload ? c->upload->size : c->body.n, before = c->body.size;

	if (x->is_too_large) {
		return true;
	}
	if (have + bytes.n > c->body_max) {
		c->close_after = true;
		refuse_large(x, -1, c->body_max);
	} else if (!c->upload && c->engine->buffered + bytes.n > BUFFERED_MAX) {
		c->close_after = true;
		answer_text(x, 503, STR("too many request bytes are held"));
	} else if (!c->upload) {
		buf_put_str(&c->body, bytes);
		c->engine->buffered += c->body.size - before;
	} else if (upload_write(c->upload, bytes)) {
		c->close_after = true;
		answer_text(x, 500, STR("failed to write the request body to a file"));
	}
	return !x->answered;
}

static size_t take_chunked(struct conn *c, struct str bytes)
{
	struct buf *decoded = &c->engine->changed;
	size_t used;
	bool done;
	int rc;

	buf_clear(decoded);
	rc = parser_chunks_feed(&c->chunks, bytes, decoded, &used, &done);
	if (rc) {
		c->close_after = true;
		answer_text(c->exchange, 500, STR("invalid byte in chunk length"));
		finish(c);
		body_fini(c);
		return bytes.n;
	}
	if (!collect(c, buf_str(decoded)) || done) {
		c->exchange->request.body = buf_str(&c->body);
		finish(c);
		body_fini(c);
	}
	return used;
}

size_t body_take(struct conn *c, struct str bytes)
{
	struct str part;

	conn_timer_in(c, STALL_MS);
	if (c->body_left < 0) {
		return take_chunked(c, bytes);
	}
	part = str_cut(bytes, (size_t)c->body_left);
	if (!c->upload && !c->body.n && part.n == (size_t)c->body_left) {
		c->exchange->request.body = part; /* all of it is here: borrowed */
		finish(c);
		return part.n;
	}
	c->body_left -= (int64_t)part.n;
	if (!collect(c, part) || c->body_left == 0) {
		c->exchange->request.body = buf_str(&c->body);
		finish(c);
		body_fini(c);
	}
	return part.n;
}

void body_fini(struct conn *c)
{
	c->engine->buffered -= c->body.size;
	buf_fini(&c->body);
	/* An upload stays while its exchange waits for catalogd, which reads the file. */
	if (c->upload && c->state != CONN_BUSY) {
		upload_free(take(c->upload));
	}
}
