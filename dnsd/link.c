/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UDP to other nodes: one connected socket per server, shared by all questions to it, so that the
 * kernel takes answers from nowhere else and tells when nobody listens. A socket, and with it its
 * port, is used for LINK_MS or LINK_ASKS_MAX questions, then for nothing but the answers that are
 * still on their way; ids are random. What one turn of the loop has for a server leaves with one
 * system call.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/sys/clock.h"
#include "dnsd/dnsd.h"

enum {
	LINKS_MAX = 128,
	LINK_MS = 30000,
	LINK_ASKS_MAX = 16384,
	BUCKETS = 256,
	BATCHES_PER_TURN = 8,
	ANSWER_ROOM = DNS_PEER_UDP_MAX + 1,
	IP_TEXT_MAX = 64,
};

struct link {
	struct list link; /* in links->all */
	struct links *links;
	struct uuid server;
	char ip[IP_TEXT_MAX];
	uint16_t port;
	struct net_address to;
	int fd;
	struct loop_io io;
	struct loop_timer life;
	struct list waiting[BUCKETS]; /* of struct asked, by id */
	size_t waiting_count, asks;
	bool retired; /* takes no more questions */
	bool refused; /* those who wait are to be told */
	bool busy;    /* is gone through; must stay */
	struct mono heard;
	struct asked *queue[BATCH_MAX];
	unsigned queued;
};

struct links {
	struct dnsd *d;
	struct list all;
	size_t count;
	bool walking; /* through all: none of them may go */
	struct loop_flush flush;
	struct mmsghdr out[BATCH_MAX], in[BATCH_MAX];
	struct iovec out_parts[BATCH_MAX][2], in_parts[BATCH_MAX];
	uint8_t answers[BATCH_MAX][ANSWER_ROOM];
};

static void link_free(struct link *l)
{
	must(l->waiting_count == 0);
	loop_io_set(&l->io, 0);
	loop_timer_stop(&l->life);
	close(l->fd);
	list_del(&l->link);
	l->links->count--;
	free(l);
}

static void link_settle(struct link *l)
{
	if (l->retired && !l->busy && !l->links->walking && l->waiting_count == 0) {
		link_free(l);
	}
}

static void on_life_over(void *arg)
{
	struct link *l = arg;

	l->retired = true;
	link_settle(l);
}

static struct asked *asked_find(struct link *l, uint16_t id)
{
	struct asked *a;

	list_for_each (a, &l->waiting[id % BUCKETS], bucket) {
		if (a->id == id) {
			return a;
		}
	}
	return NULL;
}

/* ---- out ---- */

/* Nobody listens there, or there is no way: all who wait are told. */
static void refusal_tell(struct link *l)
{
	struct list told;
	struct asked *a;

	list_init(&told);
	l->refused = false;
	for (int i = 0; i < BUCKETS; i++) {
		while ((a = list_first(&l->waiting[i], struct asked, bucket))) {
			list_del(&a->bucket);
			list_add_tail(&told, &a->bucket);
		}
	}
	while ((a = list_first(&told, struct asked, bucket))) {
		question_refused(a);
	}
}

static void link_send(struct link *l)
{
	struct links *s = l->links;
	unsigned count = 0, sent = 0;

	for (unsigned i = 0; i < l->queued; i++) {
		struct asked *a = l->queue[i];

		if (!a) {
			continue;
		}
		s->out_parts[count][0] = (struct iovec) { &a->id, sizeof(a->id) };
		s->out_parts[count][1] = (struct iovec) { (char *)a->query.p, a->query.n };
		s->out[count].msg_hdr =
			(struct msghdr) { .msg_iov = s->out_parts[count], .msg_iovlen = 2 };
		count++;
	}
	l->queued = 0;
	while (sent < count) {
		int n = sendmmsg(l->fd, s->out + sent, count - sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0 && errno != EAGAIN && errno != ENOBUFS) {
			l->refused = true;
			return;
		}
		if (n <= 0) {
			return; /* lost, as any datagram may be: they are asked again */
		}
		sent += (unsigned)n;
	}
}

/* true: there may be more to send now, on any link. */
static bool link_flush(struct link *l)
{
	bool refused;

	if (l->queued) {
		link_send(l);
	}
	refused = l->refused;
	if (refused) {
		refusal_tell(l);
	}
	return refused;
}

static void on_flush(void *arg)
{
	struct links *s = arg;
	struct link *l, *following;
	bool again = true;

	s->walking = true;
	while (again) { /* who is refused asks somebody else, over any link */
		again = false;
		list_for_each (l, &s->all, link) {
			again |= link_flush(l);
		}
	}
	s->walking = false;
	list_for_each_safe (l, following, &s->all, link) {
		link_settle(l);
	}
}

/* ---- in ---- */

static void answer_take(struct link *l, struct str message)
{
	struct asked *a;
	uint16_t id;

	if (message.n < DNS_HEADER_SIZE || message.n >= ANSWER_ROOM) {
		return;
	}
	memcpy(&id, message.p, sizeof(id));
	a = asked_find(l, id);
	if (a) {
		l->heard = clock_mono();
		question_told(a, message);
	}
}

static void answers_take(struct link *l)
{
	struct links *s = l->links;

	for (int turn = 0; turn < BATCHES_PER_TURN; turn++) {
		int count = recvmmsg(l->fd, s->in, BATCH_MAX, 0, NULL);

		if (count < 0 && errno != EAGAIN && errno != EINTR) {
			refusal_tell(l);
		}
		for (int i = 0; i < count; i++) {
			answer_take(l, str_n(s->answers[i], s->in[i].msg_len));
		}
		if (count < BATCH_MAX) {
			return;
		}
	}
}

static void on_link(void *arg, int events UNUSED)
{
	struct link *l = arg;

	l->busy = true;
	answers_take(l);
	l->busy = false;
	link_settle(l);
}

/* ---- life ---- */

static int link_new(struct links *s, const struct server *to, struct link **out)
{
	struct net_address address;
	struct link *l;
	int fd;

	if (s->count == LINKS_MAX) {
		return ST_FULL;
	}
	if (to->ip.n >= IP_TEXT_MAX || net_address_parse(to->ip, to->dns_port, &address)) {
		return ST_INVALID;
	}
	fd = net_connect(&address, SOCK_DGRAM);
	if (fd < 0) {
		return fd;
	}
	l = xcalloc(1, sizeof(*l));
	l->links = s;
	l->server = to->uuid;
	memcpy(l->ip, to->ip.p, to->ip.n);
	l->port = to->dns_port;
	l->to = address;
	l->fd = fd;
	for (int i = 0; i < BUCKETS; i++) {
		list_init(&l->waiting[i]);
	}
	list_add_head(&s->all, &l->link);
	s->count++;
	loop_io_init(&l->io, s->d->daemon->loop, fd, on_link, l);
	loop_io_set(&l->io, LOOP_READ);
	loop_timer_init(&l->life, s->d->daemon->loop, on_life_over, l);
	loop_timer_in(&l->life, LINK_MS);
	*out = l;
	return 0;
}

static int link_get(struct links *s, const struct server *to, struct link **out)
{
	struct link *l;

	list_for_each (l, &s->all, link) {
		if (!l->retired && uuid_eq(&l->server, &to->uuid) && l->port == to->dns_port &&
			str_is(to->ip, l->ip)) {
			*out = l;
			return 0;
		}
	}
	return link_new(s, to, out);
}

int link_ask(struct links *s, const struct server *to, struct str query, struct asked *a)
{
	struct link *l;
	int r = link_get(s, to, &l);

	if (r) {
		return r;
	}
	do {
		a->id = (uint16_t)random_u64();
	} while (asked_find(l, a->id));
	a->link = l;
	a->query = str_skip(query, sizeof(a->id));
	a->since = clock_mono();
	list_add_tail(&l->waiting[a->id % BUCKETS], &a->bucket);
	l->waiting_count++;
	l->retired |= ++l->asks == LINK_ASKS_MAX;
	l->queue[l->queued++] = a;
	if (l->queued == BATCH_MAX) {
		link_send(l);
	}
	return 0;
}

void asked_end(struct asked *a)
{
	struct link *l = take(a->link);

	if (!l) {
		return;
	}
	list_del(&a->bucket);
	l->waiting_count--;
	for (unsigned i = 0; i < l->queued; i++) {
		if (l->queue[i] == a) {
			l->queue[i] = NULL;
		}
	}
	link_settle(l);
}

bool asked_heard(const struct asked *a)
{
	return a->link && mono_before(a->since, a->link->heard);
}

const struct net_address *asked_address(const struct asked *a)
{
	return &a->link->to;
}

struct links *links_new(struct dnsd *d)
{
	struct links *s = xcalloc(1, sizeof(*s));

	s->d = d;
	list_init(&s->all);
	loop_flush_add(&s->flush, d->daemon->loop, on_flush, s);
	for (int i = 0; i < BATCH_MAX; i++) {
		s->in_parts[i] = (struct iovec) { s->answers[i], ANSWER_ROOM };
		s->in[i].msg_hdr = (struct msghdr) { .msg_iov = &s->in_parts[i], .msg_iovlen = 1 };
	}
	return s;
}

void links_free(struct links *s)
{
	struct link *l, *following;

	list_for_each_safe (l, following, &s->all, link) {
		link_free(l);
	}
	loop_flush_del(&s->flush);
	free(s);
}
