/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What only the leader can do is handed to its httpd, over the port that is for servers
 * (ports.peer_http), and its answer passed on as it is. Who leads is read from raftd's page anew
 * for each attempt; while nobody does, and when the one that was asked does not any more, it is
 * tried again until performance.rpc_hold_timeout is over. A request that may have been executed is
 * repeated only where that does no harm (ROUTE_REPEATABLE). What came over that port itself is
 * never handed on.
 *
 * One request per connection at a time; some that are idle are kept.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/response.h"
#include "common/sys/clock.h"
#include "common/sys/net.h"
#include "httpd/engine.h"

enum { IDLE_MAX = 8, FORWARDS_MAX = 1024, AGAIN_MS = 50, LOOK_MS = 100, BODY_MAX = 8 << 20 };

struct line {
	struct list link; /* in peers.idle */
	struct peers *peers;
	char leader[80]; /* whose: address and port */
	int fd;
	struct loop_io io;
	struct forward *forward; /* NULL: idle */
	struct response response;
	struct buf body;
	bool used, spoken; /* used: not for the first time. spoken: the answer has begun */
};

struct forward {
	struct list link;
	struct peers *peers;
	struct exchange *x;
	struct line *line; /* NULL between attempts */
	struct loop_timer timer;
	struct buf request;
	size_t sent;
};

struct peers {
	struct httpd *httpd;
	struct list idle, forwards;
	size_t idle_count, forwards_count;
};

/* ---- connections ---- */

static void line_free(struct line *l)
{
	loop_io_set(&l->io, 0);
	close(l->fd);
	if (list_linked(&l->link)) {
		l->peers->idle_count--;
	}
	list_del(&l->link);
	response_fini(&l->response);
	buf_fini(&l->body);
	free(l);
}

static void line_idle(struct line *l)
{
	response_fini(&l->response);
	buf_trim(&l->body, 0);
	l->forward = NULL;
	l->used = true;
	l->spoken = false;
	if (l->peers->idle_count == IDLE_MAX) {
		line_free(list_first(&l->peers->idle, struct line, link));
	}
	list_add_tail(&l->peers->idle, &l->link);
	l->peers->idle_count++;
	loop_io_set(&l->io, LOOP_READ); /* to notice its end */
}

static void on_io(void *arg, int events);

static struct line *line_get(struct peers *p, const char *leader)
{
	struct line *l, *following;
	struct net_address address;
	int fd;

	list_for_each_safe (l, following, &p->idle, link) {
		if (strcmp(l->leader, leader) == 0) {
			list_del(&l->link);
			p->idle_count--;
			return l;
		}
		line_free(l); /* of a leader before */
	}
	if (net_address_parse(str_of(leader), -1, &address)) {
		return NULL;
	}
	fd = net_connect(&address, SOCK_STREAM);
	if (fd < 0) {
		return NULL;
	}
	l = xcalloc(1, sizeof(*l));
	l->peers = p;
	l->fd = fd;
	memcpy(l->leader, leader, strlen(leader));
	loop_io_init(&l->io, p->httpd->loop, fd, on_io, l);
	return l;
}

/* ---- requests ---- */

static void forward_free(struct forward *f)
{
	list_del(&f->link);
	f->peers->forwards_count--;
	loop_timer_stop(&f->timer);
	if (f->line) {
		line_free(f->line);
	}
	buf_fini(&f->request);
	free(f);
}

static void on_gone(void *arg)
{
	forward_free(arg);
}

static void answer_failed(struct exchange *x, void *arg)
{
	answer_text(x, 500, str_of(arg));
}

static void forward_fail(struct forward *f, const char *text)
{
	struct exchange *x = f->x;

	forward_free(f);
	exchange_continue(x, answer_failed, (void *)text);
}

static void answer_pass(struct exchange *x, void *arg)
{
	struct line *l = arg;

	buf_put_str(exchange_body(x), buf_str(&l->body));
	answer_raw(x, l->response.status, arena_str(&x->arena, buf_str(&l->response.content_type)));
}

static void answer_here(struct exchange *x, void *arg)
{
	x->route->handle(x);
}

static bool is_late(const struct forward *f)
{
	return !mono_before(clock_mono(), f->x->give_up);
}

static void forward_again(struct forward *f, int64_t ms)
{
	if (f->line) {
		line_free(take(f->line));
	}
	loop_timer_in(&f->timer, ms);
}

/* The leader, or its daemon, or the way to it went: had it been asked already? */
static void line_lost(struct line *l)
{
	struct forward *f = l->forward;
	bool harmless;

	if (!f) {
		line_free(l);
		return;
	}
	harmless = !f->sent || f->x->route->flags & ROUTE_REPEATABLE;
	if (harmless) {
		forward_again(f, l->used && !is_late(f) ? 0 : AGAIN_MS);
	} else {
		forward_fail(f, "rpc error making call: EOF");
	}
}

/* It does not lead any more, and has not done it. */
static bool says_no_leader(const struct line *l)
{
	return l->response.status == 500 &&
	       str_eq(buf_str((struct buf *)&l->body), STR("No cluster leader"));
}

static void line_answered(struct line *l)
{
	struct forward *f = l->forward;
	struct exchange *x = f->x;
	bool close = l->response.close;

	if (says_no_leader(l)) {
		forward_again(f, AGAIN_MS);
		return;
	}
	f->line = NULL;
	forward_free(f);
	exchange_continue(x, answer_pass, l);
	if (close) {
		line_free(l);
	} else {
		line_idle(l);
	}
}

static void on_body(void *arg, struct str piece)
{
	struct line *l = arg;

	if (l->body.n + piece.n <= BODY_MAX) {
		buf_put_str(&l->body, piece);
	}
}

static bool line_write(struct line *l)
{
	struct forward *f = l->forward;

	while (f->sent < f->request.n) {
		ssize_t n =
			send(l->fd, f->request.p + f->sent, f->request.n - f->sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0 && errno == EAGAIN) {
			loop_io_set(&l->io, LOOP_READ | LOOP_WRITE);
			return true;
		}
		if (n < 0) {
			return false;
		}
		f->sent += (size_t)n;
	}
	loop_io_set(&l->io, LOOP_READ);
	return true;
}

static void line_read(struct line *l)
{
	char bytes[16 << 10];
	ssize_t n = recv(l->fd, bytes, sizeof(bytes), 0);
	size_t used = 0;
	int r;

	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		return;
	}
	if (n <= 0 || !l->forward) {
		line_lost(l); /* ended, or spoke without being asked */
		return;
	}
	l->spoken = true;
	r = response_feed(&l->response, str_n(bytes, (size_t)n), &used);
	if (r == ST_AGAIN) {
		return;
	}
	if (r || used != (size_t)n) {
		line_lost(l);
	} else {
		line_answered(l);
	}
}

static void on_io(void *arg, int events)
{
	struct line *l = arg;

	if (events & LOOP_WRITE && l->forward && !line_write(l)) {
		line_lost(l);
		return;
	}
	if (events & LOOP_READ) {
		line_read(l);
	}
}

/* "10.0.0.1:8310" from raftd's "10.0.0.1:8300". */
static bool leader_find(struct peers *p, char out[80], bool *here_out)
{
	struct raft_page page;
	char *colon;

	*here_out = false;
	if (!state_raft_page(p->httpd->reader, &page)) {
		return false;
	}
	*here_out = page.is_leader && page.lease_until_ns > clock_mono().ns;
	colon = strrchr(page.leader_address, ':');
	if (*here_out || page.is_leader || !page.leader_known || !page.leader_http_port || !colon) {
		return false;
	}
	snprintf(out, 80, "%.*s:%u", (int)(colon - page.leader_address), page.leader_address,
		page.leader_http_port);
	return true;
}

static void forward_try(struct forward *f)
{
	struct exchange *x = f->x;
	char leader[80];
	bool here;

	if (is_late(f)) {
		forward_fail(f, "No cluster leader");
		return;
	}
	if (!leader_find(f->peers, leader, &here)) {
		if (here) {
			forward_free(f);
			exchange_continue(x, answer_here, NULL);
		} else {
			forward_again(f, AGAIN_MS);
		}
		return;
	}
	f->line = line_get(f->peers, leader);
	f->sent = 0;
	if (!f->line) {
		forward_again(f, AGAIN_MS);
		return;
	}
	f->line->forward = f;
	response_init(&f->line->response, on_body, f->line);
	loop_timer_in(&f->timer, LOOK_MS);
	if (!line_write(f->line)) {
		line_lost(f->line);
	}
}

/* While it waits for an answer: is the one that was asked still the one to ask? */
static void on_timer(void *arg)
{
	struct forward *f = arg;
	char leader[80];
	bool here, other;

	if (!f->line) {
		forward_try(f);
		return;
	}
	other = (leader_find(f->peers, leader, &here) && strcmp(leader, f->line->leader) != 0) ||
		here;
	if (is_late(f)) {
		forward_fail(f, "No cluster leader");
	} else if (other && !f->line->spoken &&
		   (!f->sent || f->x->route->flags & ROUTE_REPEATABLE)) {
		forward_again(f, 0);
	} else {
		loop_timer_in(&f->timer, LOOK_MS);
	}
}

static void request_render(const struct exchange *x, struct buf *out)
{
	struct str token = exchange_token((struct exchange *)x);

	buf_put_str(out, x->request.method_text);
	buf_put_char(out, ' ');
	buf_put_str(out, x->request.target);
	buf_put_lit(out, " HTTP/1.1\r\nHost: leader\r\n");
	if (token.n) {
		buf_put_lit(out, "X-Consul-Token: ");
		buf_put_str(out, token);
		buf_put_lit(out, "\r\n");
	}
	if (x->request.method != METHOD_GET) {
		buf_put_lit(out, "Content-Length: 0\r\n");
	}
	buf_put_lit(out, "\r\n");
}

void exchange_to_leader(struct exchange *x)
{
	struct peers *p = x->httpd->peers;
	struct forward *f;

	must(x->route->flags & ROUTE_LEADER);
	if (!x->give_up.ns) {
		x->give_up =
			mono_add_ns(clock_mono(), x->httpd->conf->performance.rpc_hold_timeout_ns);
	}
	if (x->conn->peer || p->forwards_count >= FORWARDS_MAX) {
		answer_text(x, 500, STR("No cluster leader"));
		return;
	}
	f = xcalloc(1, sizeof(*f));
	f->peers = p;
	f->x = x;
	request_render(x, &f->request);
	list_add_tail(&p->forwards, &f->link);
	p->forwards_count++;
	loop_timer_init(&f->timer, p->httpd->loop, on_timer, f);
	loop_timer_in(&f->timer, 0); /* not from inside of the handler */
	exchange_suspend(x, on_gone, f);
}

void peers_open(struct httpd *h)
{
	h->peers = xcalloc(1, sizeof(*h->peers));
	h->peers->httpd = h;
	list_init(&h->peers->idle);
	list_init(&h->peers->forwards);
}

void peers_free(struct peers *p)
{
	struct line *l;

	must(list_empty(&p->forwards)); /* exchanges end before */
	while ((l = list_first(&p->idle, struct line, link))) {
		line_free(l);
	}
	free(p);
}
