/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagrams in batches: one system call receives up to BATCH_MAX, one read transaction answers
 * them, one system call sends. Answers are written one behind the other into one buffer, so that
 * what is touched stays small.
 */
#include <errno.h>
#include <netinet/in.h>
#include <unistd.h>

#include "common/sys/clock.h"
#include "dnsd/dnsd.h"

enum { BATCHES_PER_TURN = 8, ANSWERS_ROOM = BATCH_MAX * 512 + DNS_MESSAGE_MAX };

struct udp_batch {
	struct mmsghdr in[BATCH_MAX], out[BATCH_MAX];
	struct iovec in_parts[BATCH_MAX], out_parts[BATCH_MAX];
	struct sockaddr_storage addresses[BATCH_MAX];
	char controls[BATCH_MAX][CONTROL_SIZE];
	uint8_t queries[BATCH_MAX][QUERY_MAX];
	uint8_t answers[ANSWERS_ROOM];
	size_t answers_n; /* bytes of answers in use */
	unsigned out_count;
};

static void batch_init(struct udp_batch *b)
{
	for (int i = 0; i < BATCH_MAX; i++) {
		b->in_parts[i] = (struct iovec) { b->queries[i], QUERY_MAX };
		b->in[i].msg_hdr = (struct msghdr) {
			.msg_name = &b->addresses[i],
			.msg_iov = &b->in_parts[i],
			.msg_iovlen = 1,
		};
	}
}

/* The kernel changes these with each message. */
static void batch_reset(struct udp_batch *b, bool any_address)
{
	for (int i = 0; i < BATCH_MAX; i++) {
		b->in[i].msg_hdr.msg_namelen = sizeof(b->addresses[i]);
		b->in[i].msg_hdr.msg_control = any_address ? b->controls[i] : NULL;
		b->in[i].msg_hdr.msg_controllen = any_address ? CONTROL_SIZE : 0;
	}
}

/* The address a datagram came to becomes the one its answer comes from; the interface is the
 * routing's choice. */
static void control_turn(struct msghdr *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			((struct in_pktinfo *)CMSG_DATA(c))->ipi_ifindex = 0;
		}
	}
}

static void batch_flush(struct udp_socket *s, struct udp_batch *b)
{
	unsigned sent = 0;

	while (sent < b->out_count) {
		int n = sendmmsg(s->fd, b->out + sent, b->out_count - sent, 0);

		if (n <= 0 && errno == EINTR) {
			continue;
		}
		if (n <= 0) { /* this one cannot be sent, as any datagram may get lost */
			metrics_add(s->d->daemon->metrics, METRIC_DROPPED, 1);
			n = 1;
		}
		sent += (unsigned)n;
	}
	b->out_count = 0;
	b->answers_n = 0;
}

static void answer_add(struct udp_batch *b, int i, struct dns_reply *reply)
{
	struct mmsghdr *out = &b->out[b->out_count];
	struct iovec *part = &b->out_parts[b->out_count++];

	*part = (struct iovec) { reply->bytes, reply->size };
	out->msg_hdr = b->in[i].msg_hdr;
	out->msg_hdr.msg_iov = part;
	out->msg_hdr.msg_flags = 0;
	b->answers_n += reply->size;
}

static void hand_over(struct udp_socket *s, int i, enum dns_outcome outcome,
	const struct rng *before, const struct dns_reply *reply)
{
	const struct msghdr *m = &s->d->batch->in[i].msg_hdr;
	struct client client = {
		.socket = s, .address_size = m->msg_namelen, .control_size = m->msg_controllen
	};
	struct str message;

	client.peer = s->peer;
	memcpy(&client.address, m->msg_name, m->msg_namelen);
	memcpy(client.control, s->d->batch->controls[i], m->msg_controllen);
	message = answer_later(s->d, outcome,
		str_n(s->d->batch->queries[i], s->d->batch->in[i].msg_len), &client, before, reply);
	client_answer(&client, message);
}

static enum dns_kind query_answer(struct udp_socket *s, int i, const struct naming *naming)
{
	struct dnsd *d = s->d;
	struct udp_batch *b = d->batch;
	struct rng before = d->rng;
	struct dns_reply reply = { .bytes = b->answers + b->answers_n };
	struct dns_request request = request_of(d, naming, str_n(b->queries[i], b->in[i].msg_len));
	enum dns_outcome outcome = DNS_DROP;

	request.peer = s->peer;
	if (!(b->in[i].msg_hdr.msg_flags & MSG_TRUNC)) {
		outcome = dns_answer(d->core, &request, &reply);
	}
	control_turn(&b->in[i].msg_hdr);
	if (outcome == DNS_REPLY) {
		struct client client = { .peer = s->peer };

		reply.size = answer_fit(&client, reply.bytes, reply.size);
		answer_add(b, i, &reply);
	} else if (outcome == DNS_DROP) {
		metrics_add(d->daemon->metrics, METRIC_DROPPED, 1);
	} else {
		hand_over(s, i, outcome, &before, &reply);
	}
	return outcome == DNS_ASK ? DNS_KIND_OTHER : reply.kind; /* counted when it is answered */
}

static void batch_answer(struct udp_socket *s, int count)
{
	struct dnsd *d = s->d;
	struct mono began = clock_mono();
	struct naming naming;
	enum dns_kind kinds[BATCH_MAX];
	double each_ms;

	naming_begin(d, &naming);
	for (int i = 0; i < count; i++) {
		if (ANSWERS_ROOM - d->batch->answers_n < DNS_MESSAGE_MAX) {
			batch_flush(s, d->batch);
		}
		kinds[i] = query_answer(s, i, &naming);
	}
	naming_end(&naming);
	each_ms = (double)mono_diff_ns(clock_mono(), began) / NS_PER_MS / count;
	for (int i = 0; i < count && !s->peer; i++) {
		query_count(d, kinds[i], naming.stale, each_ms);
	}
	if (s->peer) {
		metrics_add(d->daemon->metrics, METRIC_PEER_QUERY, count);
	}
	batch_flush(s, d->batch);
}

static void on_udp(void *arg, int events UNUSED)
{
	struct udp_socket *s = arg;

	for (int turn = 0; turn < BATCHES_PER_TURN; turn++) {
		int count;

		batch_reset(s->d->batch, s->any_address);
		count = recvmmsg(s->fd, s->d->batch->in, BATCH_MAX, 0, NULL);
		if (count <= 0) {
			return; /* nothing there, or an ICMP error of an earlier answer */
		}
		batch_answer(s, count);
		if (count < BATCH_MAX) {
			return;
		}
	}
}

void udp_send(const struct client *to, struct str message)
{
	struct iovec part = { (char *)message.p, message.n };
	struct msghdr m = {
		.msg_name = (void *)&to->address,
		.msg_namelen = to->address_size,
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = to->control_size ? (void *)to->control : NULL,
		.msg_controllen = to->control_size,
	};

	if (sendmsg(to->socket->fd, &m, 0) < 0) {
		metrics_add(to->socket->d->daemon->metrics, METRIC_DROPPED, 1);
	}
}

static int socket_prepare(struct dnsd *d, int fd, bool peer)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t size = sizeof(sa);
	struct udp_socket *s = &d->udp[d->udp_count];
	int one = 1, room = 1 << 20;

	if (getsockname(fd, (struct sockaddr *)&sa, &size)) {
		return err_errno("getsockname");
	}
	*s = (struct udp_socket) { .d = d, .fd = fd, .peer = peer };
	if (sa.ss_family == AF_INET && ((struct sockaddr_in *)&sa)->sin_addr.s_addr == INADDR_ANY) {
		s->any_address = setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof(one)) == 0;
	} else if (sa.ss_family == AF_INET6 &&
		   IN6_IS_ADDR_UNSPECIFIED(&((struct sockaddr_in6 *)&sa)->sin6_addr)) {
		s->any_address =
			setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof(one)) == 0;
	}
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	d->udp_count++;
	loop_io_init(&s->io, d->daemon->loop, fd, on_udp, s);
	return net_nonblock(fd);
}

int udp_open(struct dnsd *d)
{
	struct opened opened;
	int r = sockets_take(d, SOCK_DGRAM, &opened);

	d->batch = xcalloc(1, sizeof(*d->batch));
	batch_init(d->batch);
	for (size_t i = 0; i < opened.count && !r; i++) {
		r = socket_prepare(d, opened.rows[i].fd, opened.rows[i].peer);
	}
	return r;
}

void udp_pause(struct dnsd *d)
{
	for (size_t i = 0; i < d->udp_count; i++) {
		loop_io_set(&d->udp[i].io, 0);
	}
}

void udp_close(struct dnsd *d)
{
	udp_pause(d);
	for (size_t i = 0; i < d->udp_count; i++) {
		close(d->udp[i].fd);
	}
	free(d->batch);
}
