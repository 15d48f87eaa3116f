/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw nanomsg sockets with routing headers, non-blocking, watched through NN_RCVFD.
 */
#include "common/sys/ipc_socket.h"

#include <errno.h>
#include <nanomsg/nn.h>
#include <nanomsg/reqrep.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/base/err.h"
#include "common/sys/ipc.h"
#include "common/sys/share.h"

enum { BUFFER_BYTES = 8 << 20, RECONNECT_MS = 10, RECONNECT_MAX_MS = 50 };

static void on_io(void *arg, int events)
{
	struct ipc_socket *s = arg;

	s->on_readable(s->arg);
}

static int option_set(int nn, int option, int value)
{
	return nn_setsockopt(nn, NN_SOL_SOCKET, option, &value, sizeof(value))
		       ? err_errno("nn_setsockopt")
		       : 0;
}

static int options_set(int nn)
{
	int r = option_set(nn, NN_RCVMAXSIZE, IPC_FRAME_MAX);

	r = r ? r : option_set(nn, NN_SNDBUF, BUFFER_BYTES);
	r = r ? r : option_set(nn, NN_RCVBUF, BUFFER_BYTES);
	r = r ? r : option_set(nn, NN_RECONNECT_IVL, RECONNECT_MS);
	return r ? r : option_set(nn, NN_RECONNECT_IVL_MAX, RECONNECT_MAX_MS);
}

static int endpoint_attach(int nn, enum ipc_socket_kind kind, const char *endpoint)
{
	char url[128];
	mode_t mask;
	int r;

	if (snprintf(url, sizeof(url), "ipc://%s", endpoint) >= (int)sizeof(url)) {
		return err_new(-ENAMETOOLONG, "endpoint %s", endpoint);
	}
	mask = umask(0007); /* owner and the endpoint's group may speak */
	r = kind == IPC_SOCKET_SERVER ? nn_bind(nn, url) : nn_connect(nn, url);
	umask(mask);
	if (r < 0) {
		return err_errno("%s %s", kind == IPC_SOCKET_SERVER ? "bind" : "connect", url);
	}
	return kind == IPC_SOCKET_SERVER ? share_file(endpoint, endpoint, 0660) : 0;
}

int ipc_socket_open(struct ipc_socket *s, enum ipc_socket_kind kind, struct loop *loop,
	const char *endpoint, void (*on_readable)(void *arg), void *arg)
{
	int fd, r;
	size_t size = sizeof(fd);

	*s = (struct ipc_socket) { .nn = -1, .loop = loop, .on_readable = on_readable, .arg = arg };
	s->nn = nn_socket(AF_SP_RAW, kind == IPC_SOCKET_SERVER ? NN_REP : NN_REQ);
	if (s->nn < 0) {
		return err_errno("nn_socket");
	}
	r = options_set(s->nn);
	r = r ? r : endpoint_attach(s->nn, kind, endpoint);
	if (!r && nn_getsockopt(s->nn, NN_SOL_SOCKET, NN_RCVFD, &fd, &size)) {
		r = err_errno("NN_RCVFD");
	}
	if (r) {
		nn_close(s->nn);
		s->nn = -1;
		return err_pass(r);
	}
	loop_io_init(&s->io, loop, fd, on_io, s);
	loop_io_set(&s->io, LOOP_READ);
	return 0;
}

void ipc_socket_close(struct ipc_socket *s)
{
	if (s->nn >= 0) {
		loop_io_set(&s->io, 0);
		nn_close(s->nn);
		s->nn = -1;
	}
}

/* The control chunk is one message, nanomsg's SP_HDR (nn_recvmsg(3)); it goes back as it came. */
static struct str header_of(const void *control)
{
	const struct nn_cmsghdr *c = control;

	return c && c->cmsg_level == PROTO_SP && c->cmsg_type == SP_HDR
		       ? str_n(c, NN_CMSG_ALIGN_(c->cmsg_len))
		       : STR_NONE;
}

int ipc_socket_receive(struct ipc_socket *s, struct ipc_message *out)
{
	struct nn_iovec iov = { .iov_base = &out->private_body, .iov_len = NN_MSG };
	struct nn_msghdr h = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &out->private_header,
		.msg_controllen = NN_MSG };
	int n;

	*out = (struct ipc_message) { 0 };
	n = nn_recvmsg(s->nn, &h, NN_DONTWAIT);
	if (n < 0) {
		return errno == EAGAIN || errno == EINTR ? ST_AGAIN : err_errno("nn_recvmsg");
	}
	out->body = str_n(out->private_body, (size_t)n);
	out->header = header_of(out->private_header);
	return 0;
}

void ipc_message_fini(struct ipc_message *m)
{
	if (m->private_body) {
		nn_freemsg(m->private_body);
	}
	if (m->private_header) {
		nn_freemsg(m->private_header);
	}
	*m = (struct ipc_message) { 0 };
}

int ipc_socket_send(struct ipc_socket *s, struct str header, struct str body)
{
	struct nn_iovec iov = { .iov_base = (void *)(uintptr_t)body.p, .iov_len = body.n };
	struct nn_msghdr h = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = (void *)(uintptr_t)header.p,
		.msg_controllen = header.n };

	if (nn_sendmsg(s->nn, &h, NN_DONTWAIT) >= 0) {
		return 0;
	}
	return errno == EAGAIN || errno == EINTR ? ST_AGAIN : err_errno("nn_sendmsg");
}

uint64_t ipc_socket_connections(const struct ipc_socket *s)
{
	return nn_get_statistic(s->nn, NN_STAT_CURRENT_CONNECTIONS);
}

uint64_t ipc_socket_established(const struct ipc_socket *s)
{
	return nn_get_statistic(s->nn, NN_STAT_ESTABLISHED_CONNECTIONS);
}

struct str ipc_client_header(uint32_t id)
{
	static __thread struct {
		struct nn_cmsghdr cmsg;
		size_t size;
		uint8_t id[4];
		uint8_t padding[4];
	} header = { .cmsg = { NN_CMSG_LEN(sizeof(size_t) + 4), PROTO_SP, SP_HDR }, .size = 4 };

	id = __builtin_bswap32(id | 0x80000000u); /* the high bit ends the route */
	memcpy(header.id, &id, sizeof(id));
	return str_n(&header, NN_CMSG_SPACE(sizeof(size_t) + 4));
}

uint32_t ipc_header_id(struct str header)
{
	size_t at = NN_CMSG_SPACE(0) + sizeof(size_t), size;
	uint32_t id;

	if (header.n < at + sizeof(id)) {
		return 0;
	}
	memcpy(&size, header.p + NN_CMSG_SPACE(0), sizeof(size));
	if (size < sizeof(id) || size > header.n - at) {
		return 0;
	}
	memcpy(&id, header.p + at + size - sizeof(id), sizeof(id));
	return __builtin_bswap32(id) & 0x7fffffffu;
}
