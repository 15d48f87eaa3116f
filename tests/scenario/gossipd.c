/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives one pool of gossipd's core through tests/scenario/gossipd/<name>.txt. Commands: one event
 * each, at now=MS; the trace shows notes, what is sent (messages by name; piggybacked ones too),
 * dials, and then the members.
 *
 *     init name=N [reclaim=MS] [wan=1] [resolve=1]
 *                                        a pool at 10.0.0.1, all other names at 10.0.0.<last digit>
 *     start | tick | leave | force-leave node=N [prune=1] | fire event=E payload=P
 *     alive node=N inc=I [at=D] [meta=M] [speaks=V] | suspect node=N inc=I from=F |
 *     dead node=N inc=I from=F
 *     ping node=N seq=S | ack seq=S | nack seq=S | join-intent node=N ltime=T |
 *     leave-intent node=N ltime=T [prune=1] | event name=E payload=P ltime=T |
 *     query name=N id=I ltime=T          of 10.0.0.2, which wants to know who has heard it
 *     vote from=N at=D                   N says that our name is at 10.0.0.D
 *     stream-ack token=T seq=S           what comes back of the dial T
 */
#include <stdio.h>

#include "gossipd/core/packet.h"
#include "gossipd/core/pool_private.h"
#include "tests/scenario/scenario.h"

struct world {
	struct pool pool;
	bool live;
};

static struct pool_address address_of_digit(char digit)
{
	return (struct pool_address) { { 10, 0, 0, (uint8_t)(digit - '0') }, 4, 7946 };
}

/* -------- trace -------- */

static void put_message(void *arg, uint8_t type, struct str body)
{
	static const char *const names[] = { "ping", "indirect-ping", "ack", "suspect", "alive",
		"dead", "push-pull", "compound", "user", "compress", "encrypt", "nack" };
	static const char *const serf[] = { "leave-intent", "join-intent", "push-pull", "event",
		"query", "response" };
	struct swim_accusation accusation;
	struct swim_alive alive;
	struct swim_ping ping;
	struct buf *out = arg;

	if (type == SWIM_USER) {
		buf_printf(out, " %s", serf[(uint8_t)body.p[0]]);
		return;
	}
	buf_printf(out, " %s", names[type]);
	if (type == SWIM_ALIVE && swim_get(body, &swim_alive_schema, &alive) == 0) {
		buf_printf(out, "(" STR_FMT " %u)", STR_ARG(alive.node), alive.incarnation);
	} else if ((type == SWIM_SUSPECT || type == SWIM_DEAD) &&
		   swim_get(body, &swim_accusation_schema, &accusation) == 0) {
		buf_printf(out, "(" STR_FMT " %u from " STR_FMT ")", STR_ARG(accusation.node),
			accusation.incarnation, STR_ARG(accusation.from));
	} else if (type == SWIM_PING && swim_get(body, &swim_ping_schema, &ping) == 0) {
		buf_printf(out, "(" STR_FMT " %u)", STR_ARG(ping.node), ping.seq);
	} else if (type == SWIM_INDIRECT_PING &&
		   swim_get(body, &swim_indirect_ping_schema, &ping) == 0) {
		buf_printf(out, "(" STR_FMT " %u%s)", STR_ARG(ping.node), ping.seq,
			ping.nack ? " nack" : "");
	}
}

static void put_notes(const struct pool_update *u, struct buf *out)
{
	static const char *const names[] = { "member-join", "member-leave", "member-failed",
		"member-update", "member-reap", "suspect", "refuted", "conflict", "refused",
		"merge-failed", "event", "joined", "ack", "response", "query-done", "keys-done",
		"left", "name-lost", "name-taken" };

	for (size_t i = 0; i < u->notes_count; i++) {
		const struct pool_note *n = &u->notes[i];

		buf_printf(out, "note %s " STR_FMT, names[n->type], STR_ARG(n->name));
		if (n->payload.n) {
			buf_printf(out, " \"" STR_FMT "\"", STR_ARG(n->payload));
		}
		buf_put_char(out, '\n');
	}
}

static void put_update(const struct pool_update *u, struct buf *out)
{
	if (u->status) {
		buf_printf(out, "status %s\n", status_name(u->status));
	}
	put_notes(u, out);
	for (size_t i = 0; i < u->packets_count; i++) {
		const struct pool_packet *p = &u->packets[i];

		buf_put_lit(out, "to ");
		pool_address_render(&p->to, out);
		buf_put_lit(out, ":");
		must(packet_walk(pool_bytes(u, p->at, p->size), put_message, out) == 0);
		buf_put_char(out, '\n');
	}
	for (size_t i = 0; i < u->dials_count; i++) {
		uint8_t type = (uint8_t)pool_bytes(u, u->dials[i].at, 1).p[0];

		buf_put_lit(out, "dial ");
		pool_address_render(&u->dials[i].to, out);
		buf_printf(out, ": %s\n", type == SWIM_PING ? "ping" : "push-pull");
	}
}

static void put_state(const struct pool *p, struct buf *out)
{
	static const char *const states[] = { "alive", "suspect", "dead", "left" };
	static const char *const statuses[] = { "none", "alive", "leaving", "left", "failed" };
	struct pool_node *n, *next;

	buf_printf(
		out, "= health %u, clock %llu\n", p->health, (unsigned long long)p->clocks.member);
	pool_for_each(n, next, p)
	{
		buf_printf(out, "= " STR_FMT " %u %s, member %s at %llu\n", STR_ARG(n->name),
			n->incarnation, n->slot == POOL_NO_SLOT ? "unknown" : states[n->state],
			statuses[n->status], (unsigned long long)n->status_time);
	}
}

/* -------- commands -------- */

static void init(struct world *w, struct str command)
{
	struct str network = scenario_word(command, "allowed");
	struct cidr allowed;
	struct pool_options options = { .name = scenario_word(command, "name"),
		.meta = STR("\xff\x80"),
		.address = address_of_digit('1'),
		.versions = { 1, 5, 2, 2, 5, 5 },
		.profile = scenario_number(command, "wan") ? pool_profile_wan : pool_profile_lan,
		.resolve_conflicts = scenario_number(command, "resolve") == 1,
		.reclaim_ms = (int64_t)scenario_number(command, "reclaim"),
		.reconnect_timeout_ms = 60000,
		.tombstone_ms = 60000,
		.leave_delay_ms = 1000,
		.allowed = &allowed,
		.allowed_count = network.n != 0,
		.seed = 1 };

	must(!network.n || !cidr_parse(network, &allowed));

	if (w->live) {
		pool_fini(&w->pool);
	}
	pool_init(&w->pool, &options);
	w->live = true;
}

static const struct {
	const char *verb;
	enum pool_event_type type;
} plain[] = {
	{ "start", POOL_START },
	{ "tick", POOL_TICK },
	{ "leave", POOL_LEAVE },
	{ "force-leave", POOL_FORCE_LEAVE },
	{ "fire", POOL_FIRE },
	{ "stream-ack", POOL_REPLY },
};

static void put_alive(struct str command, struct buf *out)
{
	struct str at = scenario_word(command, "at"), meta = scenario_word(command, "meta");
	struct str node = scenario_word(command, "node");
	struct pool_address address = address_of_digit(at.p ? at.p[0] : node.p[node.n - 1]);
	char speaks = (char)scenario_number(command, "speaks");
	char versions[] = { 1, speaks ? speaks : 5, 2, 2, 5, 5 };
	struct swim_alive m = {
		.incarnation = (uint32_t)scenario_number(command, "inc"),
		.node = node,
		.addr = str_n(address.bytes, address.n),
		.port = address.port,
		.meta = meta.p ? meta : STR("\xff\x80"),
		.vsn = str_n(versions, sizeof(versions)),
	};

	swim_put(out, SWIM_ALIVE, &swim_alive_schema, &m);
}

static void put_query(struct str command, struct buf *out)
{
	struct pool_address address = address_of_digit('2');
	struct serf_query m = { .ltime = scenario_number(command, "ltime"),
		.id = (uint32_t)scenario_number(command, "id"),
		.flags = SERF_FLAG_ACK,
		.addr = str_n(address.bytes, address.n),
		.port = address.port,
		.source_node = STR("n2"),
		.timeout_ns = NS_PER_S,
		.name = scenario_word(command, "name") };

	serf_put(out, SERF_QUERY, &serf_query_schema, &m);
}

/* An answer to the question that runs. */
static void put_vote(const struct pool *p, struct str command, struct buf *out)
{
	OWN_EMBEDDED(buf_fini) struct buf payload = { 0 };
	const struct pool_query *q = list_first(&p->queries, struct pool_query, link);
	struct pool_address address = address_of_digit(scenario_word(command, "at").p[0]);
	struct serf_conflict member = { .name = p->options.name,
		.addr = str_n(address.bytes, address.n),
		.port = address.port,
		.tags = STR("\x80") };
	struct serf_response m = {
		.ltime = q->ltime, .id = q->id, .from = scenario_word(command, "from")
	};

	serf_put(&payload, SERF_CONFLICT, &serf_conflict_schema, &member);
	m.payload = buf_str(&payload);
	serf_put(out, SERF_RESPONSE, &serf_response_schema, &m);
}

/* The datagram that a command stands for. false: no such command. */
static bool put_packet(const struct pool *p, struct str command, struct str verb, struct buf *out)
{
	uint32_t seq = (uint32_t)scenario_number(command, "seq");
	struct swim_accusation accusation = { (uint32_t)scenario_number(command, "inc"),
		scenario_word(command, "node"), scenario_word(command, "from") };
	struct serf_intent intent = { scenario_number(command, "ltime"),
		scenario_word(command, "node"), scenario_number(command, "prune") == 1 };
	struct serf_event event = { intent.ltime, scenario_word(command, "name"),
		scenario_word(command, "payload"), false };
	struct swim_ping ping = { .seq = seq, .node = intent.node };
	struct swim_ack ack = { seq, STR_NONE };

	if (str_is(verb, "alive")) {
		put_alive(command, out);
	} else if (str_is(verb, "suspect")) {
		swim_put(out, SWIM_SUSPECT, &swim_accusation_schema, &accusation);
	} else if (str_is(verb, "dead")) {
		swim_put(out, SWIM_DEAD, &swim_accusation_schema, &accusation);
	} else if (str_is(verb, "ping")) {
		swim_put(out, SWIM_PING, &swim_ping_schema, &ping);
	} else if (str_is(verb, "ack")) {
		swim_put(out, SWIM_ACK, &swim_ack_schema, &ack);
	} else if (str_is(verb, "nack")) {
		swim_put(out, SWIM_NACK, &swim_nack_schema, &ack.seq);
	} else {
		buf_put_u8(out, SWIM_USER);
		if (str_is(verb, "join-intent")) {
			serf_put(out, SERF_JOIN, &serf_join_schema, &intent);
		} else if (str_is(verb, "leave-intent")) {
			serf_put(out, SERF_LEAVE, &serf_leave_schema, &intent);
		} else if (str_is(verb, "event")) {
			serf_put(out, SERF_EVENT, &serf_event_schema, &event);
		} else if (str_is(verb, "query")) {
			put_query(command, out);
		} else if (str_is(verb, "vote")) {
			put_vote(p, command, out);
		} else {
			return false;
		}
	}
	return true;
}

static void put_stream_ack(struct str command, struct buf *out)
{
	OWN_EMBEDDED(buf_fini) struct buf message = { 0 };
	struct swim_ack ack = { (uint32_t)scenario_number(command, "seq"), STR_NONE };

	swim_put(&message, SWIM_ACK, &swim_ack_schema, &ack);
	stream_put(out, buf_str(&message), false);
}

static void run(void *state, struct str command, struct buf *trace)
{
	OWN_EMBEDDED(buf_fini) struct buf packet = { 0 };
	struct world *w = state;
	struct str verb = scenario_verb(command);
	struct pool_event event = { .type = POOL_PACKET,
		.now = { NS_PER_S + (int64_t)scenario_number(command, "now") * NS_PER_MS },
		.from = address_of_digit('2'),
		.prune = scenario_number(command, "prune") == 1,
		.token = (uint32_t)scenario_number(command, "token"),
		.payload = scenario_word(command, "payload") };
	struct pool_update u;

	if (str_is(verb, "init")) {
		init(w, command);
		return;
	}
	event.name = scenario_word(command, str_is(verb, "fire") ? "event" : "node");
	for (size_t i = 0; i < ARRAY_SIZE(plain); i++) {
		if (str_is(verb, plain[i].verb)) {
			event.type = plain[i].type;
		}
	}
	if (event.type == POOL_REPLY) {
		put_stream_ack(command, &packet);
	}
	if (event.type == POOL_PACKET && !put_packet(&w->pool, command, verb, &packet)) {
		buf_put_lit(trace, "no such command\n");
		return;
	}
	event.bytes = buf_str(&packet);
	pool_step(&w->pool, &event, &u);
	pool_check(&w->pool);
	put_update(&u, trace);
	put_state(&w->pool, trace);
}

static void *begin(void)
{
	return xcalloc(1, sizeof(struct world));
}

static void end(void *state)
{
	struct world *w = state;

	if (w->live) {
		pool_fini(&w->pool);
	}
	free(w);
}

int main(int argc, char **argv)
{
	static const struct scenario_driver driver = { begin, run, end };

	return scenario_main(&driver, argc, argv);
}
