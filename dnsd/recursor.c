/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One question to recursors: each in order, over the client's transport, until one gives a
 * usable answer. Every attempt has a socket (so a port) and an id of its own; what does not match
 * the question is ignored.
 */
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/sys/clock.h"
#include "dnsd/dnsd.h"

enum { ANSWER_ROOM = 2 + DNS_MESSAGE_MAX };

struct exchange {
	struct dnsd *d;
	struct exchange_options o;
	char *query; /* with its length in front; the id changes with each attempt */
	size_t query_n;
	size_t next; /* of o.to */
	int fd;
	struct loop_io io;
	struct loop_timer timer;
	size_t sent;
	struct buf in; /* TCP */
};

static void attempt_end(struct exchange *x)
{
	if (x->fd >= 0) {
		loop_io_set(&x->io, 0);
		close(take_fd(&x->fd));
	}
	loop_timer_stop(&x->timer);
	buf_clear(&x->in);
	x->sent = 0;
}

void exchange_free(struct exchange *x)
{
	attempt_end(x);
	x->d->exchanges_count--;
	buf_fini(&x->in);
	free(x->query);
	free(x);
}

static void done(struct exchange *x, struct str message)
{
	exchange_fn on_done = x->o.on_done;
	void *arg = x->o.arg;
	/* The message may lie in x: it is freed afterwards. */
	on_done(arg, message);
	exchange_free(x);
}

static void attempt_failed(struct exchange *x)
{
	attempt_end(x);
	loop_timer_in(&x->timer, 0);
}

/* true: the exchange is over. */
static bool answer_take(struct exchange *x, struct str message)
{
	bool usable;

	if (!dns_response_matches(message, str_n(x->query + 2, x->query_n), &usable)) {
		return false;
	}
	if (!usable && !x->o.any_rcode) {
		attempt_failed(x);
		return true;
	}
	done(x, message);
	return true;
}

static void udp_read(struct exchange *x)
{
	static char room[DNS_MESSAGE_MAX];

	for (;;) {
		ssize_t n = recv(x->fd, room, sizeof(room), 0);

		if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
			return;
		}
		if (n < 0) { /* nobody listens there */
			attempt_failed(x);
			return;
		}
		if (answer_take(x, str_n(room, (size_t)n))) {
			return;
		}
	}
}

/* true: the exchange is over. */
static bool messages_take(struct exchange *x)
{
	while (x->in.n >= 2) {
		size_t size = (size_t)(uint8_t)x->in.p[0] << 8 | (uint8_t)x->in.p[1];

		if (x->in.n - 2 < size) {
			break;
		}
		if (answer_take(x, str_n(x->in.p + 2, size))) {
			return true;
		}
		memmove(x->in.p, x->in.p + 2 + size, x->in.n - 2 - size);
		x->in.n -= 2 + size;
	}
	return false;
}

static void tcp_read(struct exchange *x)
{
	for (;;) {
		ssize_t n;

		buf_reserve(&x->in, ANSWER_ROOM);
		n = recv(x->fd, x->in.p + x->in.n, ANSWER_ROOM - x->in.n, 0);
		if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
			return;
		}
		if (n <= 0) {
			attempt_failed(x);
			return;
		}
		x->in.n += (size_t)n;
		if (messages_take(x)) {
			return;
		}
	}
}

static void tcp_write(struct exchange *x)
{
	ssize_t n = send(x->fd, x->query + x->sent, 2 + x->query_n - x->sent, MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN) {
		attempt_failed(x);
		return;
	}
	x->sent += (size_t)max_of(n, (ssize_t)0);
	if (x->sent == 2 + x->query_n) {
		loop_io_set(&x->io, LOOP_READ);
	}
}

static void on_exchange(void *arg, int events)
{
	struct exchange *x = arg;

	if (events & LOOP_WRITE) {
		tcp_write(x);
	} else if (x->o.tcp) {
		tcp_read(x);
	} else {
		udp_read(x);
	}
}

static int attempt(struct exchange *x)
{
	const struct net_address *to = &x->o.to[x->next++];
	uint16_t id = (uint16_t)random_u64();

	memcpy(x->query + 2, &id, sizeof(id));
	x->fd = net_connect(to, x->o.tcp ? SOCK_STREAM : SOCK_DGRAM);
	if (x->fd < 0) {
		x->fd = -1;
		return ST_CLOSED;
	}
	loop_io_init(&x->io, x->d->daemon->loop, x->fd, on_exchange, x);
	loop_io_set(&x->io, x->o.tcp ? LOOP_WRITE : LOOP_READ);
	if (!x->o.tcp && send(x->fd, x->query + 2, x->query_n, 0) < 0) {
		return ST_CLOSED;
	}
	loop_timer_in(&x->timer, x->o.timeout_ms);
	return 0;
}

static void on_next(void *arg)
{
	struct exchange *x = arg;

	attempt_end(x);
	if (x->next >= x->o.to_count) {
		done(x, STR_NONE);
	} else if (attempt(x)) {
		attempt_failed(x);
	}
}

struct exchange *exchange_new(struct dnsd *d, const struct exchange_options *options)
{
	struct exchange *x;

	must(options->query.n <= DNS_MESSAGE_MAX);
	if (d->exchanges_count == EXCHANGES_MAX) {
		metrics_add(d->daemon->metrics, METRIC_REFUSED_BUSY, 1);
		return NULL;
	}
	x = xcalloc(1, sizeof(*x));
	x->d = d;
	x->o = *options;
	x->query_n = options->query.n;
	x->query = xmalloc(2 + x->query_n);
	x->query[0] = (char)(x->query_n >> 8);
	x->query[1] = (char)x->query_n;
	memcpy(x->query + 2, options->query.p, x->query_n);
	x->fd = -1;
	d->exchanges_count++;
	loop_timer_init(&x->timer, d->daemon->loop, on_next, x);
	if (options->to_count == 0 || attempt(x)) {
		attempt_failed(x);
	}
	return x;
}

static bool same_place(const struct sockaddr_storage *ours, const struct sockaddr_storage *theirs)
{
	const struct sockaddr_in *a = (const struct sockaddr_in *)ours,
				 *b = (const struct sockaddr_in *)theirs;
	const struct sockaddr_in6 *a6 = (const struct sockaddr_in6 *)ours,
				  *b6 = (const struct sockaddr_in6 *)theirs;

	if (ours->ss_family != theirs->ss_family) {
		return false;
	}
	if (ours->ss_family == AF_INET) {
		bool local = ntohl(b->sin_addr.s_addr) >> 24 == 127;

		return a->sin_port == b->sin_port &&
		       (a->sin_addr.s_addr == b->sin_addr.s_addr ||
			       (a->sin_addr.s_addr == INADDR_ANY && local));
	}
	return a6->sin6_port == b6->sin6_port &&
	       (memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof(a6->sin6_addr)) == 0 ||
		       (IN6_IS_ADDR_UNSPECIFIED(&a6->sin6_addr) &&
			       IN6_IS_ADDR_LOOPBACK(&b6->sin6_addr)));
}

/* Asking ourselves would never end. */
static bool is_ours(const struct dnsd *d, const struct net_address *address)
{
	for (size_t i = 0; i < d->udp_count; i++) {
		struct sockaddr_storage sa = { 0 };
		socklen_t size = sizeof(sa);

		if (getsockname(d->udp[i].fd, (struct sockaddr *)&sa, &size) == 0 &&
			same_place(&sa, &address->sa)) {
			return true;
		}
	}
	return false;
}

int recursors_load(struct dnsd *d, const struct conf *c)
{
	d->recursors_count = 0;
	d->recursor_timeout_ms = max_of(c->dns.recursor_timeout_ns / NS_PER_MS, (int64_t)1);
	for (uint32_t i = 0; i < c->recursors.count; i++) {
		struct net_address *a = &d->recursors[d->recursors_count];

		if (d->recursors_count == RECURSORS_MAX) {
			log_warning("recursors-too-many", "used=%d", RECURSORS_MAX);
			break;
		}
		if (net_address_parse(c->recursors.items[i], 53, a)) {
			log_warning("recursor-unusable", "address=" STR_FMT,
				STR_ARG(c->recursors.items[i]));
		} else if (is_ours(d, a)) {
			log_warning("recursor-is-this-agent", "address=" STR_FMT,
				STR_ARG(c->recursors.items[i]));
		} else {
			d->recursors_count++;
		}
	}
	return 0;
}
