/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thin door to nanomsg: raw (AF_SP_RAW) REQ and REP sockets on ipc:// endpoints, watched by the
 * loop. Private to ipc_*.c and control.c. Never fork after the first of these: nanomsg is not
 * fork-safe (use posix_spawn).
 */
#ifndef MUSTER_COMMON_SYS_IPC_SOCKET_H
#define MUSTER_COMMON_SYS_IPC_SOCKET_H

#include "common/base/buf.h"
#include "common/sys/loop.h"

struct ipc_message {
	struct str header; /* nanomsg's routing header: to be given back with the answer */
	struct str body;
	void *private_header, *private_body;
};

struct ipc_socket {
	int nn;
	struct loop *loop;
	struct loop_io io;
	void (*on_readable)(void *arg);
	void *arg;
};

enum ipc_socket_kind { IPC_SOCKET_SERVER, IPC_SOCKET_CLIENT };

int ipc_socket_open(struct ipc_socket *s, enum ipc_socket_kind kind, struct loop *loop,
	const char *endpoint, void (*on_readable)(void *arg), void *arg);
void ipc_socket_close(struct ipc_socket *s);
/* ST_AGAIN: nothing there. */
int ipc_socket_receive(struct ipc_socket *s, struct ipc_message *out);
void ipc_message_fini(struct ipc_message *m);
/* ST_AGAIN: no peer or its queue is full. */
int ipc_socket_send(struct ipc_socket *s, struct str header, struct str body);
uint64_t ipc_socket_connections(const struct ipc_socket *s); /* now */
uint64_t ipc_socket_established(
	const struct ipc_socket *s); /* since it was opened: grows when a server came back */
/* What a raw request carries; valid until the next call. Frames use one id for all (their parts
 * have ids of their own). */
struct str ipc_client_header(uint32_t id);
uint32_t ipc_header_id(struct str header); /* of an answer; 0 when it is none */

#endif
