/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Serving an endpoint. All answers that one turn has for a peer leave in one frame. A peer is known
 * by nanomsg's routing header, the same bytes in every frame from one connection. What the way to a
 * peer surely holds (WINDOW_BYTES) is sent; the rest waits until the peer has seen a mark
 * (ipc_frame.h). Nothing says that a peer has gone: marks that stay without an answer do.
 */
#include "common/sys/ipc.h"

#include "common/base/map.h"
#include "common/sys/clock.h"
#include "common/sys/ipc_frame.h"
#include "common/sys/ipc_socket.h"
#include "common/sys/log.h"

enum { HEADER_MAX = 128, FRAMES_PER_TURN = 64, MARK_LIMIT_MS = 10000, MARKS_CHECK_MS = 1000 };

/* The kernel's account of a Unix socket's buffer (416 KiB where net.core.wmem_max is as usual):
 * about so much for a frame, and at most twice its bytes. */
enum { WINDOW_BYTES = 256 * 1024, FRAME_COST = 1024 };

struct peer {
	struct list link;
	char header[HEADER_MAX];
	size_t header_size;
	size_t calls_count;
	struct buf out; /* the frame being filled */
	uint64_t mark;	/* sent and not yet seen; 0: none */
	struct mono marked_at;
	size_t marked, unmarked; /* on the way up to the mark, and behind it or without one */
};

struct ipc_server {
	struct ipc_socket socket;
	struct loop *loop;
	struct loop_flush flush;
	struct loop_timer marks_check;
	uint64_t last_mark;
	const struct ipc_handler *rows;
	size_t rows_count;
	enum role role;
	void *owner;
	struct list peers;
	struct map calls; /* open ones, by peer and id */
	struct arena arena;
	struct log_limit malformed;
};

struct call_key {
	struct peer *peer;
	uint64_t id;
};

struct ipc_call {
	struct map_node node;
	struct ipc_server *server;
	struct call_key key;
	uint16_t message;
};

static struct peer *peer_find(struct ipc_server *s, struct str header)
{
	struct peer *p;

	list_for_each (p, &s->peers, link) {
		if (str_eq(str_n(p->header, p->header_size), header)) {
			return p;
		}
	}
	if (header.n > HEADER_MAX) {
		return NULL;
	}
	p = xcalloc(1, sizeof(*p));
	memcpy(p->header, header.p, header.n);
	p->header_size = header.n;
	list_add_tail(&s->peers, &p->link);
	return p;
}

static void peer_free(struct peer *p)
{
	list_del(&p->link);
	buf_fini(&p->out);
	free(p);
}

static void peer_mark(struct ipc_server *s, struct peer *p)
{
	struct frame_part part = { ++s->last_mark, FRAME_MARK, 0, STR_NONE };

	frame_put(&p->out, &part);
	p->mark = s->last_mark;
	p->marked_at = loop_now(s->loop);
	p->marked = p->unmarked;
	p->unmarked = 0;
}

/* Sends what there is, or keeps it while too much is on the way. A frame larger than the window
 * goes alone: everything before it fits, and what comes behind it waits. */
static void peer_flush(struct ipc_server *s, struct peer *p)
{
	size_t cost = FRAME_COST + 2 * p->out.n;

	if (p->out.n == 0 || (p->mark && p->marked + p->unmarked + cost > WINDOW_BYTES)) {
		return;
	}
	p->unmarked += cost;
	if (!p->mark && p->unmarked > WINDOW_BYTES / 4) {
		peer_mark(s, p);
	}
	if (ipc_socket_send(&s->socket, str_n(p->header, p->header_size), buf_str(&p->out))) {
		log_warning("ipc-answers-dropped", "bytes=%zu", p->out.n);
	}
	buf_trim(&p->out, FRAME_SEND_SOFT);
}

static void server_flush(void *arg)
{
	struct ipc_server *s = arg;
	struct peer *p, *following;

	list_for_each_safe (p, following, &s->peers, link) {
		peer_flush(s, p);
		if (p->mark && !loop_timer_active(&s->marks_check)) {
			loop_timer_in(&s->marks_check, MARKS_CHECK_MS);
		}
		if (p->calls_count == 0 && p->out.n == 0 && !p->mark) {
			peer_free(p);
		}
	}
}

static void peer_seen(struct peer *p, uint64_t mark)
{
	if (p->mark == mark) { /* else: from an earlier connection */
		p->mark = 0;
		p->marked = 0;
	}
}

/* Peers that have gone, or do not read for so long: they lose their answers, and will ask again. */
static void on_marks_check(void *arg)
{
	struct ipc_server *s = arg;
	struct peer *p;

	list_for_each (p, &s->peers, link) {
		if (p->mark && mono_diff_ms(loop_now(s->loop), p->marked_at) > MARK_LIMIT_MS) {
			if (p->out.n) {
				log_warning("ipc-answers-dropped", "bytes=%zu", p->out.n);
			}
			buf_trim(&p->out, FRAME_SEND_SOFT);
			p->unmarked = 0;
			peer_seen(p, p->mark);
		}
	}
}

static void call_end(struct ipc_call *call, int status, struct str payload)
{
	struct peer *p = call->key.peer;
	struct frame_part part = { call->key.id, call->message, (uint16_t)status, payload };

	if (p->out.n + payload.n > IPC_FRAME_MAX - FRAME_SEND_SOFT) { /* no frame takes it */
		part.status = ST_FULL;
		part.payload = STR_NONE;
	}

	if (p->out.n == 0) {
		frame_begin(&p->out);
	}
	frame_put(&p->out, &part);
	p->calls_count--;
	map_del(&call->server->calls, &call->node);
	free(call);
}

void ipc_reply(struct ipc_call *call, struct str encoded)
{
	call_end(call, 0, encoded);
}

void ipc_refuse(struct ipc_call *call, int status)
{
	must(status > 0);
	call_end(call, status, STR_NONE);
}

void ipc_refuse_malformed(struct ipc_call *call)
{
	const struct message_info *info = message_find(call->message);

	if (log_allow(&call->server->malformed)) {
		log_error("ipc-malformed", "message=%s number=%u", info ? info->name : "unknown",
			call->message);
	}
	ipc_refuse(call, ST_INVALID);
}

struct arena *ipc_call_arena(struct ipc_call *call)
{
	return &call->server->arena;
}

static const struct ipc_handler *row_find(const struct ipc_server *s, uint16_t message)
{
	for (size_t i = 0; i < s->rows_count; i++) {
		if (s->rows[i].message == message) {
			return &s->rows[i];
		}
	}
	return NULL;
}

static struct ipc_call *call_new(struct ipc_server *s, const struct call_key *key, uint16_t message)
{
	struct ipc_call *call = xcalloc(1, sizeof(*call));

	*call = (struct ipc_call) { .server = s, .key = *key, .message = message };
	map_add(&s->calls, &call->node, str_n(&call->key, sizeof(call->key)));
	key->peer->calls_count++;
	return call;
}

static void part_handle(struct ipc_server *s, struct peer *p, const struct frame_part *part)
{
	const struct ipc_handler *row = row_find(s, part->message);
	struct call_key key = { p, part->id };
	struct ipc_call *call;

	if (part->message == FRAME_SEEN) {
		peer_seen(p, part->id);
		return;
	}

	if (map_find_node(&s->calls, str_n(&key, sizeof(key)))) {
		return; /* asked again on the same connection: the one that is open will be answered
			 */
	}
	call = call_new(s, &key, part->message);
	if (!row) {
		ipc_refuse(call, ST_UNSUPPORTED);
	} else if (row->role != s->role) {
		ipc_refuse(call, ST_DENIED);
	} else if (s->calls.count > IPC_CALLS_MAX) {
		ipc_refuse(call, ST_FULL);
	} else {
		row->handle(s->owner, call, part->payload);
		arena_reset(&s->arena);
	}
}

static void frame_handle(struct ipc_server *s, const struct ipc_message *m)
{
	struct peer *p = peer_find(s, m->header);
	struct cursor c = cursor_of(m->body);
	struct frame_part part;
	int r = p ? frame_open(&c) : ST_INVALID;

	while (!r) {
		r = frame_next(&c, &part);
		if (!r) {
			part_handle(s, p, &part);
		}
	}
	if (r != ST_AGAIN && log_allow(&s->malformed)) {
		log_error("ipc-foreign-frame", "bytes=%zu", m->body.n);
	}
}

static void on_readable(void *arg)
{
	struct ipc_server *s = arg;

	for (int i = 0; i < FRAMES_PER_TURN; i++) {
		struct ipc_message m;
		int r = ipc_socket_receive(&s->socket, &m);

		if (r < 0) {
			log_error("ipc-receive", "error=\"%s\"", err_text());
		}
		if (r) {
			return;
		}
		frame_handle(s, &m);
		ipc_message_fini(&m);
	}
}

int ipc_server_new(struct loop *loop, const char *endpoint, enum role role,
	const struct ipc_handler *rows, size_t rows_count, void *owner, struct ipc_server **out)
{
	struct ipc_server *s = xcalloc(1, sizeof(*s));
	int r;

	*s = (struct ipc_server) {
		.loop = loop, .rows = rows, .rows_count = rows_count, .role = role, .owner = owner
	};
	list_init(&s->peers);
	map_init(&s->calls, random_u64());
	r = ipc_socket_open(&s->socket, IPC_SOCKET_SERVER, loop, endpoint, on_readable, s);
	if (r) {
		free(s);
		return err_pass(r);
	}
	s->last_mark = random_u64();
	loop_timer_init(&s->marks_check, loop, on_marks_check, s);
	loop_flush_add(&s->flush, loop, server_flush, s);
	*out = s;
	return 0;
}

void ipc_server_free(struct ipc_server *s)
{
	struct ipc_call *call, *next_call;
	struct peer *p, *next_peer;

	server_flush(s);
	map_for_each(call, next_call, &s->calls, node)
	{
		map_del(&s->calls, &call->node);
		free(call);
	}
	map_fini(&s->calls);
	list_for_each_safe (p, next_peer, &s->peers, link) {
		peer_free(p);
	}
	loop_flush_del(&s->flush);
	loop_timer_stop(&s->marks_check);
	ipc_socket_close(&s->socket);
	arena_fini(&s->arena);
	free(s);
}
