/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagrams, many per system call in both directions. What a full socket does not take is dropped:
 * the protocol lives with losses.
 */
#include <netinet/in.h>

#include "common/sys/clock.h"
#include "gossipd/gossipd.h"

enum { BATCH = 16, TURNS_MAX = 16, DATAGRAM_MAX = 65536 };

/* -------- outwards -------- */

static socklen_t sockaddr_of(
	const struct wire *w, const struct pool_address *a, struct sockaddr_storage *out)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
	bool is_mapped = a->n == 16 && memcmp(a->bytes, mapped, sizeof(mapped)) == 0;

	memset(out, 0, sizeof(*out));
	if (a->n == 16 && !(is_mapped && w->bind.sa.ss_family == AF_INET)) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(a->port);
		memcpy(&v6->sin6_addr, a->bytes, 16);
		return sizeof(*v6);
	}
	v4->sin_family = AF_INET;
	v4->sin_port = htons(a->port);
	memcpy(&v4->sin_addr, a->bytes + (a->n == 16 ? 12 : 0), 4);
	return sizeof(*v4);
}

static void seal_one(struct wire *w, struct str plain, struct buf *out)
{
	uint8_t nonce[AEAD_NONCE_SIZE];
	struct seal_form form = { .version = SEAL_VERSION_MAX, .nonce = nonce, .label = STR("") };

	if (seal_active(&w->seal) && w->verify_outgoing) {
		random_bytes(nonce, sizeof(nonce));
		seal_packet(&w->seal, &form, plain, out);
	} else {
		buf_put_str(out, plain);
	}
}

static void send_batch(struct wire *w, const struct pool_update *u, size_t first, size_t count)
{
	OWN_EMBEDDED(buf_fini) struct buf bytes = { 0 };
	struct sockaddr_storage addresses[BATCH];
	struct mmsghdr messages[BATCH] = { 0 };
	struct iovec parts[BATCH];
	size_t starts[BATCH + 1];
	int sent;

	for (size_t i = 0; i < count; i++) {
		const struct pool_packet *p = &u->packets[first + i];

		starts[i] = bytes.n;
		seal_one(w, pool_bytes(u, p->at, p->size), &bytes);
		messages[i].msg_hdr.msg_name = &addresses[i];
		messages[i].msg_hdr.msg_namelen = sockaddr_of(w, &p->to, &addresses[i]);
	}
	starts[count] = bytes.n;
	for (size_t i = 0; i < count; i++) {
		parts[i] = (struct iovec) { bytes.p + starts[i], starts[i + 1] - starts[i] };
		messages[i].msg_hdr.msg_iov = &parts[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	for (size_t at = 0; at < count; at += (size_t)sent) {
		sent = sendmmsg(w->udp, messages + at, (unsigned)(count - at), MSG_DONTWAIT);
		if (sent <= 0) {
			/* This one cannot be sent (no route, full): the next ones may. */
			metrics_add(w->gossipd->daemon->metrics, METRIC_DROPPED, 1);
			sent = 1;
		}
	}
	metrics_add(w->gossipd->daemon->metrics, METRIC_UDP_SENT, (double)bytes.n);
}

void udp_send(struct wire *w, const struct pool_update *u)
{
	for (size_t i = 0; w->udp >= 0 && i < u->packets_count; i += BATCH) {
		send_batch(w, u, i, min_of(u->packets_count - i, (size_t)BATCH));
	}
}

/* -------- inwards -------- */

static void address_from(const struct sockaddr_storage *sa, struct pool_address *out)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)sa;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)sa;

	*out = (struct pool_address) { .n = sa->ss_family == AF_INET6 ? 16 : 4 };
	if (sa->ss_family == AF_INET6) {
		memcpy(out->bytes, &v6->sin6_addr, 16);
		out->port = ntohs(v6->sin6_port);
	} else {
		memcpy(out->bytes, &v4->sin_addr, 4);
		out->port = ntohs(v4->sin_port);
	}
}

static void receive_one(struct wire *w, struct str bytes, const struct sockaddr_storage *from)
{
	OWN_EMBEDDED(buf_fini) struct buf plain = { 0 };
	struct pool_event event = { .type = POOL_PACKET, .bytes = bytes };
	struct metrics *metrics = w->gossipd->daemon->metrics;
	struct pool_update update;

	if (seal_active(&w->seal)) {
		if (unseal_packet(&w->seal, STR(""), bytes, &plain) == 0) {
			event.bytes = buf_str(&plain);
		} else if (w->verify_incoming) {
			metrics_add(metrics, METRIC_DROPPED, 1);
			return;
		}
	}
	address_from(from, &event.from);
	wire_step(w, &event, &update);
	metrics_add(metrics, METRIC_DROPPED, update.status != 0);
}

void udp_on_readable(void *arg, int events)
{
	static char room[BATCH][DATAGRAM_MAX];
	struct wire *w = arg;
	struct sockaddr_storage from[BATCH];
	struct iovec parts[BATCH];
	struct mmsghdr messages[BATCH];
	int count = BATCH;

	(void)events;
	for (int turn = 0; turn < TURNS_MAX && count == BATCH && w->udp >= 0; turn++) {
		memset(messages, 0, sizeof(messages));
		for (int i = 0; i < BATCH; i++) {
			parts[i] = (struct iovec) { room[i], DATAGRAM_MAX };
			messages[i].msg_hdr.msg_iov = &parts[i];
			messages[i].msg_hdr.msg_iovlen = 1;
			messages[i].msg_hdr.msg_name = &from[i];
			messages[i].msg_hdr.msg_namelen = sizeof(from[i]);
		}
		count = recvmmsg(w->udp, messages, BATCH, MSG_DONTWAIT, NULL);
		for (int i = 0; i < count; i++) {
			metrics_add(w->gossipd->daemon->metrics, METRIC_UDP_RECEIVED,
				(double)messages[i].msg_len);
			receive_one(w, str_n(room[i], messages[i].msg_len), &from[i]);
		}
	}
}
