/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of the other servers, hellos, and where what is sent goes. Connections are made and
 * taken away in peer_connect.c.
 */
#include "raftd/peer.h"

#include "common/base/err.h"

static void text_copy(char out[RAFT_ADDRESS_SIZE], struct str s)
{
	must(s.n < RAFT_ADDRESS_SIZE);
	memcpy(out, s.p, s.n);
	out[s.n] = '\0';
}

/* -------- the table -------- */

static struct peer *peer_add(struct peers *p)
{
	struct peer *peer;

	if (p->count == PEERS_MAX) {
		return NULL;
	}
	peer = xcalloc(1, sizeof(*peer));
	list_add_tail(&p->list, &peer->link);
	p->count++;
	return peer;
}

void peer_link_detach(struct peers *p, struct link *l)
{
	struct peer *peer = l->peer;

	if (peer && peer->out == l) {
		peer->out = NULL;
	} else {
		if (peer && peer->in == l) {
			peer->in = NULL;
		}
		p->accepted_count--;
	}
	link_free(l);
}

void peer_del(struct peers *p, struct peer *peer)
{
	struct link *l, *next;

	if (peer->out) {
		peer_link_detach(p, peer->out);
	}
	list_for_each_safe (l, next, &p->accepted, list) {
		if (l->peer == peer) { /* in, and what it has called on before */
			peer_link_detach(p, l);
		}
	}
	list_del(&peer->link);
	p->count--;
	buf_fini(&peer->words);
	arena_fini(&peer->arena);
	free(peer);
}

struct peer *peers_find(const struct peers *p, const struct uuid *id)
{
	struct peer *peer;

	list_for_each (peer, &p->list, link) {
		if (uuid_eq(&peer->id, id)) {
			return peer;
		}
	}
	return NULL;
}

/* Members have their place, whoever else has come before. Not while frames are handled. */
static void room_make(struct peers *p)
{
	struct peer *peer, *next;

	list_for_each_safe (peer, next, &p->list, link) {
		if (p->count < PEERS_MAX) {
			return;
		}
		if (!peer->member && !peer->seed) {
			peer_del(p, peer);
		}
	}
}

static struct peer *peer_of(struct peers *p, const struct uuid *id)
{
	struct peer *peer = peers_find(p, id);

	if (!peer) {
		peer = peer_add(p);
		if (peer) {
			peer->id = *id;
		}
	}
	return peer;
}

/* Another address than before is tried at once. stale: what is connected to the old one is of an
 * earlier life. */
static void address_set(struct peer *peer, struct str address, bool stale)
{
	if (!str_is(address, peer->address)) {
		text_copy(peer->address, address);
		peer->again = (struct mono) { 0 };
		peer->failures = 0;
		if (peer->out && stale) {
			link_break(peer->out, "it has another address");
		}
	}
}

void peers_seed(struct peers *p, const struct pool_server *servers, size_t count)
{
	struct peer *peer;

	list_for_each (peer, &p->list, link) {
		peer->seed = false;
	}
	for (size_t i = 0; i < count; i++) {
		room_make(p);
		peer = peer_of(p, &servers[i].id);
		must(peer); /* members and seeds are fewer than PEERS_MAX */
		peer->seed = true;
		if (strcmp(peer->pooled, servers[i].address) != 0) {
			text_copy(peer->pooled, str_of(servers[i].address));
			address_set(peer, str_of(servers[i].address), false);
		}
	}
}

void peers_configure(struct peers *p, const struct configuration *c)
{
	struct peer *peer;

	list_for_each (peer, &p->list, link) {
		peer->member = false;
	}
	for (size_t i = 0; i < c->count; i++) {
		const struct configuration_server *s = &c->servers[i];

		if (uuid_eq(&s->id, &p->setup.id)) {
			continue;
		}
		room_make(p);
		peer = peer_of(p, &s->id);
		must(peer); /* members and seeds are fewer than PEERS_MAX */
		peer->member = true;
		if (strcmp(peer->configured, s->address) != 0) {
			text_copy(peer->configured, str_of(s->address));
			address_set(peer, str_of(s->address), true);
		}
	}
}

void peers_set_settled(struct peers *p, bool settled)
{
	p->settled = settled;
}

/* -------- hello -------- */

/* Those that this server is in contact with. */
static void hello_make(struct peers *p, struct peer_hello *h, struct peer_known known[])
{
	struct peer *peer;

	*h = (struct peer_hello) { 0 };
	p->setup.say(p->setup.arg, h);
	h->magic = PEER_MAGIC;
	h->version = PEER_VERSION;
	h->servers.items = known;
	list_for_each (peer, &p->list, link) {
		if (peer_connected(peer) && peer->told && h->servers.count < PEER_KNOWN_MAX) {
			known[h->servers.count++] =
				(struct peer_known) { peer->id, str_of(peer->address) };
		}
	}
}

static void identity_put(struct peers *p, struct buf *out, const struct uuid *to)
{
	struct peer_identity identity = p->setup.identify(p->setup.arg, to);

	PEER_FRAME_PUT(out, peer_identity, &identity);
}

void peer_hello_send(struct peers *p, struct peer *peer)
{
	int64_t pause_ms = p->settled ? PEER_HELLO_MS : PEER_HELLO_UNSETTLED_MS;
	struct peer_known known[PEER_KNOWN_MAX];
	struct peer_hello h;

	hello_make(p, &h, known);
	PEER_FRAME_PUT(&peer->out->out, peer_hello, &h);
	identity_put(p, &peer->out->out, &peer->id);
	peer->hello_at = mono_add_ms(loop_now(p->setup.loop), pause_ms);
}

void peers_announce(struct peers *p)
{
	struct peer *peer;

	list_for_each (peer, &p->list, link) {
		if (peer->out && peer->out->greeted) {
			peer->hello_at = (struct mono) { 0 };
		}
	}
}

/* Another server has told of this one. */
static void acquaint(struct peers *p, const struct uuid *id, struct str address)
{
	struct net_address parsed;
	struct peer *peer;

	if (uuid_is_zero(id) || uuid_eq(id, &p->setup.id) || peers_find(p, id) ||
		net_address_parse(address, -1, &parsed) || parsed.sa.ss_family == AF_UNIX) {
		return;
	}
	peer = peer_of(p, id);
	if (peer) {
		text_copy(peer->address, address);
	}
}

static void hello_keep(struct peers *p, struct peer *peer, const struct peer_hello *h)
{
	buf_clear(&peer->words);
	arena_reset(&peer->arena);
	peer_hello_encode(&peer->words, h);
	must(peer_hello_decode(buf_str(&peer->words), &peer->arena, &peer->hello) == 0);
	peer->told = true;
	peer->heard = loop_now(p->setup.loop);
	if (peer->since.ns == 0) {
		peer->since = peer->heard;
	}
	acquaint(p, &h->leader, h->leader_address);
	for (uint32_t i = 0; i < h->servers.count; i++) {
		acquaint(p, &h->servers.items[i].id, h->servers.items[i].address);
	}
	p->setup.on_hello(p->setup.arg, peer);
}

/* 0, or why we do not want to hear of each other. */
static int hello_judge(struct peers *p, const struct peer_hello *h)
{
	const char *why;

	if (h->version != PEER_VERSION) {
		why = "another version of the protocol";
	} else if (!str_eq(h->self.datacenter, p->setup.datacenter)) {
		why = "another data centre";
	} else if (!uuid_eq(&h->self.id, &p->setup.id)) {
		return 0;
	} else if (str_eq(h->self.address, p->setup.address)) {
		return ST_CONFLICT; /* this very server, at an address that was another's */
	} else {
		why = "two servers have the same node id";
	}
	p->counts.mistaken++;
	if (log_allow(&p->limit)) {
		log_error("peer-refused",
			"address=" STR_FMT " node=" STR_FMT " version=%u datacenter=" STR_FMT
			" reason=\"%s\"",
			STR_ARG(h->self.address), STR_ARG(h->self.node), h->version,
			STR_ARG(h->self.datacenter), why);
	}
	return h->version != PEER_VERSION ? ST_UNSUPPORTED : ST_CONFLICT;
}

static void malformed(struct peers *p, struct link *l)
{
	p->counts.mistaken++;
	link_break(l, "malformed frame");
}

static void hello_answer(struct peers *p, struct link *l, int status)
{
	struct peer_known known[PEER_KNOWN_MAX];
	struct peer_hello_reply reply = { .status = (uint8_t)status };

	hello_make(p, &reply.hello, known);
	PEER_FRAME_PUT(&l->out, peer_hello_reply, &reply);
	identity_put(p, &l->out, l->peer ? &l->peer->id : NULL);
}

/* On an accepted connection: this is who is calling. */
static void caller_is(struct peers *p, struct link *l, struct peer *peer)
{
	if (l->peer == peer) {
		return;
	}
	if (peer->in) {
		link_break(peer->in, "it has called again");
	}
	peer->in = l;
	l->peer = peer;
	l->greeted = true;
	if (!peer->out) { /* it is there: no need to wait */
		peer->again = (struct mono) { 0 };
	}
}

static void handle_hello(struct peers *p, struct link *l, const struct peer_hello *h)
{
	struct peer *peer;
	int status;

	if (!peer_hello_sound(h) || (l->peer && !uuid_eq(&l->peer->id, &h->self.id)) ||
		(l->peer && l->peer->out == l)) {
		malformed(p, l);
		return;
	}
	status = hello_judge(p, h);
	peer = status ? NULL : peer_of(p, &h->self.id);
	if (!peer) {
		p->counts.refused++;
		hello_answer(p, l, status ? status : ST_FULL);
		link_flush(l);
		link_break(l, "refused");
		return;
	}
	caller_is(p, l, peer);
	address_set(peer, h->self.address, true);
	hello_keep(p, peer, h);
	hello_answer(p, l, 0);
}

/* Said once for each reason. */
static void refusal_log(
	struct peer *peer, const char *event, const struct peer_facts *f, const char *why)
{
	if (peer->refused != why) {
		peer->refused = why;
		log_error(event, "address=%s node=" STR_FMT " datacenter=" STR_FMT " reason=\"%s\"",
			peer->address, STR_ARG(f->node), STR_ARG(f->datacenter), why);
	}
}

static void refused(struct peers *p, struct link *l, const struct peer_hello_reply *m)
{
	struct peer *peer = l->peer;

	peer->failures = 16;
	peer->again = mono_add_ms(loop_now(p->setup.loop), PEER_AGAIN_REFUSED_MS);
	/* Not this very server, which has an address that was another's. */
	if (!uuid_eq(&m->hello.self.id, &p->setup.id)) {
		refusal_log(peer, "peer-refuses", &m->hello.self, status_name(m->status));
	}
	link_break(l, "it refuses");
}

/* -------- who it is -------- */

/* A connection of another life of it. */
static void others_break(struct peers *p, struct peer *peer, const struct link *l)
{
	struct link *other;

	if (peer->out && peer->out != l) {
		link_break(peer->out, "it has lost its disk");
	}
	list_for_each (other, &p->accepted, list) {
		if (other->peer == peer && other != l) {
			link_break(other, "it has lost its disk");
		}
	}
}

static void stranger_refuse(struct peers *p, struct link *l)
{
	struct peer *peer = l->peer;

	p->counts.mistaken++;
	refusal_log(peer, "peer-refused", &peer->hello.self, "it belongs to another cluster");
	peer->failures = 16;
	peer->again = mono_add_ms(loop_now(p->setup.loop), PEER_AGAIN_REFUSED_MS);
	link_flush(l); /* our own identity may wait there: the other side shall know why */
	link_break(l, "another cluster");
	others_break(p, peer, l);
}

static void handle_identity(struct peers *p, struct link *l, const struct peer_identity *m)
{
	struct peer_identity own = p->setup.identify(p->setup.arg, NULL);
	struct peer *peer = l->peer;

	if (!life_eq(&own.cluster, &m->cluster)) { /* one that has none belongs to any */
		stranger_refuse(p, l);
		return;
	}
	if (!life_eq(&peer->identity.life, &m->life)) {
		others_break(p, peer, l);
	}
	peer->identity = *m;
	peer->refused = NULL;
	p->setup.on_hello(p->setup.arg, peer);
}

static void handle_hello_reply(struct peers *p, struct link *l, const struct peer_hello_reply *m)
{
	const struct uuid *id = &m->hello.self.id;

	if (!l->peer || l->peer->out != l || !peer_hello_sound(&m->hello)) {
		malformed(p, l);
		return;
	}
	if (m->status || hello_judge(p, &m->hello)) {
		refused(p, l, m);
		return;
	}
	if (!uuid_eq(&l->peer->id, id)) {
		p->counts.mistaken++;
		l->peer->again = mono_add_ms(loop_now(p->setup.loop), PEER_AGAIN_REFUSED_MS);
		acquaint(p, id, m->hello.self.address);
		link_break(l, "another server is there");
		return;
	}
	if (!l->greeted) {
		l->greeted = true;
		l->peer->failures = 0;
		l->peer->connects++;
		log_debug("peer-connected", "address=%s node=" STR_FMT, l->peer->address,
			STR_ARG(m->hello.self.node));
	}
	/* Perhaps it was found at another of its addresses: that works as well. */
	address_set(l->peer, m->hello.self.address, false);
	hello_keep(p, l->peer, &m->hello);
}

void peers_mistake(struct peers *p, struct peer *peer, const char *why)
{
	p->counts.mistaken++;
	if (log_allow(&p->limit)) {
		log_warning("peer-mistake", "address=%s reason=\"%s\"", peer->address, why);
	}
	if (peer->out) {
		link_break(peer->out, why);
	}
	if (peer->in) {
		link_break(peer->in, why);
	}
}

/* -------- frames -------- */

void peers_on_frame(void *arg, struct link *l, const struct peer_frame *f)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct peers *p = arg;
	struct peer_hello hello;
	struct peer_hello_reply reply;
	struct peer_identity identity;

	if (f->number == FRAME_peer_hello) {
		if (peer_hello_decode(f->payload, &arena, &hello)) {
			malformed(p, l);
		} else {
			handle_hello(p, l, &hello);
		}
	} else if (f->number == FRAME_peer_hello_reply) {
		if (peer_hello_reply_decode(f->payload, &arena, &reply)) {
			malformed(p, l);
		} else {
			handle_hello_reply(p, l, &reply);
		}
	} else if (!l->greeted || !l->peer) {
		p->counts.unknown++;
		link_break(l, "no hello");
	} else if (f->number == FRAME_peer_identity) {
		if (peer_identity_decode(f->payload, &arena, &identity)) {
			malformed(p, l);
		} else {
			handle_identity(p, l, &identity);
		}
	} else {
		p->setup.on_frame(p->setup.arg, l->peer, f);
	}
}

bool peer_connected(const struct peer *p)
{
	return (p->out && p->out->greeted && !p->out->broken) ||
	       (p->in && p->in->greeted && !p->in->broken);
}

struct buf *peers_out(struct peers *p, const struct uuid *to, size_t waiting_max)
{
	struct peer *peer = peers_find(p, to);
	struct link *l;

	if (!peer || !peer_connected(peer)) {
		return NULL;
	}
	l = peer->out && peer->out->greeted && !peer->out->broken ? peer->out : peer->in;
	return link_waiting(l) <= waiting_max ? &l->out : NULL;
}

void peers_flush(struct peers *p)
{
	struct peer *peer;
	struct link *l;

	list_for_each (peer, &p->list, link) {
		if (peer->out) {
			link_flush(peer->out);
		}
	}
	list_for_each (l, &p->accepted, list) {
		link_flush(l);
	}
}
