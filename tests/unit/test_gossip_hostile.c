/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What strangers and sick members can send to a pool without end, or out of all proportion: it is
 * refused and counted, and what comes after it is served as before. And what a crowd may not do to
 * the news of the others.
 */
#include "gossipd/core/pool_private.h"
#include "tests/unit/unit.h"

static struct pool pool;
static struct pool_update update;
static int64_t now_ms;

static struct pool_address address_number(uint32_t i)
{
	return (struct pool_address) { { 10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i }, 4,
		7946 };
}

static void step(struct pool_event *event)
{
	event->now = mono_add_ms((struct mono) { NS_PER_S }, now_ms);
	pool_step(&pool, event, &update);
	pool_check(&pool);
}

static void begin(void)
{
	struct pool_options options = {
		.name = STR("me"),
		.meta = STR("\xff\x80"),
		.address = address_number(1 << 20),
		.versions = { 1, 5, 2, 2, 5, 4 },
		.profile = pool_profile_lan,
		.tombstone_ms = 1000,
		.reconnect_timeout_ms = 1000,
		.seed = 1,
	};
	struct pool_event start = { .type = POOL_START };

	now_ms = 0;
	pool_init(&pool, &options);
	step(&start);
	queue_fini(&pool.queues[QUEUE_SWIM]);
}

static void end(void)
{
	pool_check(&pool);
	pool_fini(&pool);
}

static void receive(struct buf *message)
{
	struct pool_event event = { .type = POOL_PACKET, .from = address_number(9) };

	event.bytes = buf_str(message);
	step(&event);
	buf_fini(message);
}

static void receive_alive(uint32_t i, uint32_t incarnation, struct str meta)
{
	struct pool_address a = address_number(i);
	struct buf message = { 0 };
	char name[16];
	struct swim_alive m = { .incarnation = incarnation,
		.addr = address_str(&a),
		.port = a.port,
		.meta = meta,
		.vsn = STR("\x01\x05\x02\x02\x05\x04") };

	snprintf(name, sizeof(name), "n%u", i);
	m.node = str_of(name);
	swim_put(&message, SWIM_ALIVE, &swim_alive_schema, &m);
	receive(&message);
}

static void receive_accusation(
	enum swim_type type, const char *node, uint32_t incarnation, struct str from)
{
	struct swim_accusation m = { incarnation, str_of(node), from };
	struct buf message = { 0 };

	swim_put(&message, type, &swim_accusation_schema, &m);
	receive(&message);
}

static void receive_serf(enum serf_type type, const struct pack_schema *schema, const void *m)
{
	struct buf message = { 0 };

	buf_put_u8(&message, SWIM_USER);
	serf_put(&message, type, schema, m);
	receive(&message);
}

static void receive_event(uint64_t ltime, struct str name, struct str payload)
{
	struct serf_event m = { .ltime = ltime, .name = name, .payload = payload };

	receive_serf(SERF_EVENT, &serf_event_schema, &m);
}

static size_t notes_of(enum pool_note_type type)
{
	size_t count = 0;

	for (size_t i = 0; i < update.notes_count; i++) {
		count += update.notes[i].type == type;
	}
	return count;
}

static char filler[64 << 10];

/* -------- user events -------- */

TEST(an_event_that_fits_in_no_packet_does_not_block_the_others)
{
	begin();
	receive_alive(1, 1, STR("\xff\x80"));
	queue_fini(&pool.queues[QUEUE_SWIM]);
	for (uint64_t i = 0; i < 20; i++) {
		receive_event(1 + i, STR("large"), str_n(filler, 5000));
		ck_assert_uint_eq(notes_of(POOL_NOTE_EVENT), 1);
	}
	ck_assert_uint_eq(pool.queues[QUEUE_EVENT].count, 0);
	ck_assert_uint_eq(pool.refused[POOL_REFUSED_SIZE], 20);
	receive_event(30, STR("small"), STR("x"));
	ck_assert_uint_eq(pool.queues[QUEUE_EVENT].count, 1);
	end();
}
END_TEST

TEST(an_event_above_serfs_own_limit_is_refused)
{
	begin();
	receive_event(1, STR("huge"), str_n(filler, POOL_EVENT_SIZE_MAX));
	ck_assert_uint_eq(notes_of(POOL_NOTE_EVENT), 0);
	ck_assert_uint_eq(pool.refused[POOL_REFUSED_SIZE], 1);
	ck_assert_uint_eq(pool.clocks.event, 1);
	end();
}
END_TEST

TEST(events_that_are_remembered_have_a_ceiling)
{
	uint64_t ltime = 1, delivered = 0;

	begin();
	for (; ltime < SERF_SLOTS; ltime++) {
		receive_event(ltime, STR("big"), str_n(filler, 9000));
		delivered += notes_of(POOL_NOTE_EVENT);
	}
	ck_assert_uint_ge(delivered, 230);
	ck_assert_uint_le(pool.events.size, POOL_EVENTS_SIZE_MAX);
	ck_assert_uint_eq(pool.refused[POOL_REFUSED_EVENT], SERF_SLOTS - 1 - delivered);
	/* As the clock goes on, the oldest make room. */
	receive_event(SERF_SLOTS + 1, STR("next"), str_n(filler, 9000));
	ck_assert_uint_eq(notes_of(POOL_NOTE_EVENT), 1);
	for (uint32_t i = 0; i <= POOL_EVENTS_PER_TIME_MAX; i++) {
		filler[0] = (char)i;
		receive_event(SERF_SLOTS + 2, STR("same"), str_n(filler, 1));
	}
	ck_assert_uint_eq(notes_of(POOL_NOTE_EVENT), 0);
	end();
}
END_TEST

/* -------- times -------- */

TEST(a_poisoned_lamport_time_is_not_believed)
{
	static const uint64_t times[] = { UINT64_MAX, UINT64_MAX - 1, 1ull << 63, 1ull << 40 };
	struct pool_clocks before;

	begin();
	receive_alive(1, 1, STR("\xff\x80"));
	receive_event(5, STR("a"), STR_NONE);
	before = pool.clocks;
	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		struct serf_intent intent = { .ltime = times[i], .node = STR("n1") };
		struct serf_query query = { .ltime = times[i], .name = STR("q") };

		receive_event(times[i], STR("poison"), STR_NONE);
		ck_assert_uint_eq(notes_of(POOL_NOTE_EVENT), 0);
		receive_serf(SERF_LEAVE, &serf_leave_schema, &intent);
		receive_serf(SERF_JOIN, &serf_join_schema, &intent);
		receive_serf(SERF_QUERY, &serf_query_schema, &query);
		ck_assert_uint_eq(pool.refused[POOL_REFUSED_TIME], 4 * (i + 1));
	}
	ck_assert_int_eq(memcmp(&before, &pool.clocks, sizeof(before)), 0);
	ck_assert_int_eq(pool_find(&pool, STR("n1"))->status, MEMBER_ALIVE);
	receive_event(6, STR("b"), STR_NONE);
	ck_assert_uint_eq(notes_of(POOL_NOTE_EVENT), 1);
	/* What a long-lived pool has reached is. */
	receive_event(1000000000, STR("c"), STR_NONE);
	ck_assert_uint_eq(notes_of(POOL_NOTE_EVENT), 1);
	end();
}
END_TEST

/* The largest incarnation could not be contradicted, and one more of it would be none. */
TEST(an_incarnation_that_ends_all_is_not_believed)
{
	static const uint32_t incarnations[] = { UINT32_MAX, UINT32_MAX - 1, 1u << 31 };

	begin();
	receive_alive(1, 7, STR("\xff\x80"));
	for (size_t i = 0; i < ARRAY_SIZE(incarnations); i++) {
		receive_accusation(SWIM_SUSPECT, "me", incarnations[i], STR("n1"));
		receive_accusation(SWIM_DEAD, "me", incarnations[i], STR("n1"));
		receive_accusation(SWIM_SUSPECT, "n1", incarnations[i], STR("n2"));
		receive_accusation(SWIM_DEAD, "n1", incarnations[i], STR("n2"));
		receive_alive(1, incarnations[i], STR("\xff\x80"));
	}
	ck_assert_uint_eq(pool.refused[POOL_REFUSED_TIME], 5 * ARRAY_SIZE(incarnations));
	ck_assert_uint_eq(pool.incarnation, 1);
	ck_assert_uint_eq(pool_find(&pool, STR("n1"))->incarnation, 7);
	ck_assert_uint_eq(pool_find(&pool, STR("n1"))->state, SWIM_STATE_ALIVE);
	receive_accusation(SWIM_SUSPECT, "me", 50, STR("n1"));
	ck_assert_uint_eq(pool.incarnation, 51);
	end();
}
END_TEST

/* It would be nobody, of no version, in the table that is sent to all: they refuse such a state. */
TEST(a_life_before_the_first_is_none)
{
	begin();
	receive_alive(1, 0, STR("\xff\x80"));
	ck_assert(!pool_find(&pool, STR("n1")));
	ck_assert_uint_eq(pool.ring_count, 1);
	end();
}
END_TEST

/* Nor is who speaks nothing that we do: exchanges of states would fail as long as it is there. */
TEST(who_cannot_be_in_one_pool_with_us_is_no_member)
{
	static const char versions[][SWIM_VERSIONS + 1] = { "\x01\x05\x00\x02\x05\x04",
		"\x01\x05\x06\x02\x05\x04", "\x03\x05\x03\x02\x05\x04", "\x01\x05\x02\x05\x05\x05",
		"\x01\x05\x02\x02\x03\x03", "\x01\x05\x02" };
	struct pool_address a = address_number(1);
	struct swim_alive m = { .incarnation = 1,
		.node = STR("n1"),
		.addr = address_str(&a),
		.port = a.port,
		.meta = STR("\xff\x80") };

	begin();
	for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
		struct buf message = { 0 };

		m.vsn = str_n(versions[i], SWIM_VERSIONS);
		swim_put(&message, SWIM_ALIVE, &swim_alive_schema, &m);
		receive(&message);
		ck_assert(!pool_find(&pool, STR("n1")));
	}
	receive_alive(1, 1, STR("\xff\x80"));
	ck_assert(pool_find(&pool, STR("n1")));
	end();
}
END_TEST

/* A machine that is busy or was asleep: the answer waits in the queue, behind other packets. */
TEST(a_turn_that_comes_late_accuses_nobody)
{
	OWN_EMBEDDED(buf_fini) struct buf payload = { 0 };
	struct pool_event tick = { .type = POOL_TICK };
	struct swim_ack ack = { .seq = 0 };
	struct buf message = { 0 };

	begin();
	pool.options.coordinates = true;
	receive_alive(1, 1, STR("\xff\x80"));
	now_ms += pool.options.profile.probe_interval_ms;
	step(&tick);
	ck_assert(pool.probe.node == pool_find(&pool, STR("n1")));
	now_ms += 3000;
	receive_event(1, STR("a"), STR_NONE);
	ck_assert_uint_eq(pool_find(&pool, STR("n1"))->state, SWIM_STATE_ALIVE);
	vivaldi_put(&pool.vivaldi.at, &payload);
	ack = (struct swim_ack) { pool.probe.seq, buf_str(&payload) };
	swim_put(&message, SWIM_ACK, &swim_ack_schema, &ack);
	receive(&message);
	ck_assert(!pool.probe.node);
	step(&tick);
	ck_assert_uint_eq(pool_find(&pool, STR("n1"))->state, SWIM_STATE_ALIVE);
	ck_assert(!pool_find(&pool, STR("n1"))->latencies); /* it does not live so far away */
	end();
}
END_TEST

/* -------- sizes -------- */

TEST(what_is_too_long_is_refused)
{
	begin();
	memset(filler, 'n', sizeof(filler));
	receive_alive(1, 1, str_n(filler, POOL_META_TAKEN_MAX + 1));
	ck_assert(!pool_find(&pool, STR("n1")));
	receive_alive(
		1, 1, str_n(filler, 900)); /* more than stock agents send, less than they take */
	ck_assert(pool_find(&pool, STR("n1")));
	receive_accusation(SWIM_SUSPECT, "n1", 1, str_n(filler, POOL_NAME_MAX + 1));
	receive_accusation(SWIM_DEAD, "n1", 1, str_n(filler, POOL_NAME_MAX + 1));
	ck_assert_uint_eq(pool_find(&pool, STR("n1"))->state, SWIM_STATE_ALIVE);
	ck_assert_uint_eq(pool.refused[POOL_REFUSED_SIZE], 3);
	end();
}
END_TEST

TEST(the_table_of_members_has_a_ceiling)
{
	begin();
	for (uint32_t i = 0; i < POOL_MEMBERS_MAX + 10; i++) {
		struct pool_address a = address_number(i);
		char name[16];
		struct swim_alive m = { .incarnation = 1,
			.addr = address_str(&a),
			.port = a.port,
			.meta = STR("\xff\x80"),
			.vsn = STR("\x01\x05\x02\x02\x05\x04") };
		struct buf message = { 0 };
		struct pool_event event = { .type = POOL_PACKET };

		snprintf(name, sizeof(name), "n%u", i);
		m.node = str_of(name);
		swim_put(&message, SWIM_ALIVE, &swim_alive_schema, &m);
		event.bytes = buf_str(&message);
		event.now = (struct mono) { NS_PER_S };
		pool_step(&pool, &event, &update);
		buf_fini(&message);
	}
	ck_assert_uint_eq(pool.nodes.count, POOL_MEMBERS_MAX);
	ck_assert_uint_eq(pool.refused[POOL_REFUSED_MEMBER], 11); /* we are one of them */
	end();
}
END_TEST

TEST(a_state_of_too_many_is_refused)
{
	struct swim_push_pull header = { .nodes = POOL_MEMBERS_MAX + 1 };
	struct pool_event event = { .type = POOL_REQUEST };
	struct buf message = { 0 };

	begin();
	swim_put(&message, SWIM_PUSH_PULL, &swim_push_pull_schema, &header);
	for (size_t i = 0; i < 8; i++) {
		buf_put(&message, filler, sizeof(filler));
	}
	event.bytes = buf_str(&message);
	step(&event);
	ck_assert_int_eq(update.status, ST_INVALID);
	ck_assert_uint_eq(update.reply.n, 0);
	buf_fini(&message);
	end();
}
END_TEST

/* All must be able to speak what the newest needs: ours too (4.4). */
TEST(a_state_whose_versions_exclude_us_is_refused)
{
	static const char *const versions[] = { "\x03\x05\x03\x02\x05\x04",
		"\x01\x05\x02\x05\x05\x05", "\x01\x05\x02" };
	static const char *const words[] = {
		"Node 'me' protocol version (2) is incompatible: [3, 5]",
		"Node 'me' delegate protocol version (4) is incompatible: [5, 5]",
		"Node 'n1' protocol version (0) is incompatible: [1, 5]"
	};
	struct pool_address a = address_number(1);

	for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
		struct swim_push_pull header = { .nodes = 1 };
		struct swim_node_state m = { .alive = { .incarnation = 1,
						     .node = STR("n1"),
						     .addr = address_str(&a),
						     .port = a.port,
						     .meta = STR("\xff\x80"),
						     .vsn = str_of(versions[i]) } };
		struct pool_event event = { .type = POOL_REQUEST };
		struct buf message = { 0 };

		begin();
		swim_put(&message, SWIM_PUSH_PULL, &swim_push_pull_schema, &header);
		pack_struct(&message, &swim_node_state_schema, &m);
		event.bytes = buf_str(&message);
		step(&event);
		ck_assert_uint_eq(update.notes_count, 1);
		ck_assert_int_eq(update.notes[0].type, POOL_NOTE_MERGE_FAILED);
		ck_str_is(update.notes[0].payload, words[i]);
		ck_assert(!pool_find(&pool, STR("n1")));
		buf_fini(&message);
		end();
	}
}
END_TEST

/* It would drop a whole packet of a form that it does not know. */
TEST(who_knows_no_checksums_is_sent_none)
{
	static const struct {
		struct str vsn;
		bool checksum;
	} rows[] = {
		{ STR("\x01\x04\x02\x02\x05\x04"), false },
		{ STR("\x01\x05\x02\x02\x05\x04"), true },
	};
	struct pool_address a = address_number(1);
	struct pool_event tick = { .type = POOL_TICK };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct buf message = { 0 };
		struct swim_alive m = { .incarnation = 1,
			.node = STR("n1"),
			.addr = address_str(&a),
			.port = a.port,
			.meta = STR("\xff\x80"),
			.vsn = rows[i].vsn };

		begin();
		swim_put(&message, SWIM_ALIVE, &swim_alive_schema, &m);
		receive(&message);
		now_ms += pool.options.profile.gossip_interval_ms;
		step(&tick);
		ck_assert_uint_eq(update.packets_count, 1);
		ck_assert_int_eq(
			update.bytes.p[update.packets[0].at] == SWIM_CRC, rows[i].checksum);
		end();
	}
}
END_TEST

/* -------- answers -------- */

static uint8_t type_of_answer(struct str node, const struct pool_address *source)
{
	struct swim_ping m = { .seq = 4, .node = STR("me"), .source_node = node };
	struct buf message = { 0 };

	m.source_addr = address_str(source);
	m.source_port = source->port;
	swim_put(&message, SWIM_PING, &swim_ping_schema, &m);
	receive(&message);
	ck_assert_uint_ge(update.packets_count, 1);
	ck_assert(pool_address_eq(&update.packets[0].to, source));
	return (uint8_t)update.bytes.p[update.packets[0].at];
}

/* News go with an answer only to a member at its own place: not to whoever asks, or a victim. */
TEST(strangers_get_a_bare_answer)
{
	struct pool_address member = address_number(1), mapped = { .n = 16, .port = 7946 },
			    stranger = address_number(2);

	begin();
	receive_alive(1, 1, STR("\xff\x80"));
	memcpy(mapped.bytes, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
	memcpy(mapped.bytes + 12, member.bytes, 4);
	pool.gossip_at = MONO_NEVER; /* what is queued stays there */
	ck_assert_uint_eq(type_of_answer(STR("n1"), &stranger), SWIM_ACK);
	ck_assert_uint_eq(type_of_answer(STR("n2"), &member), SWIM_ACK);
	ck_assert_uint_eq(type_of_answer(STR(""), &member), SWIM_ACK);
	ck_assert_uint_eq(type_of_answer(STR("n1"), &member), SWIM_COMPOUND);
	ck_assert_uint_eq(type_of_answer(STR("n1"), &mapped), SWIM_COMPOUND);
	end();
}
END_TEST

/* Who accuses a former life is told of the present one, so often a second; a stranger is not. */
TEST(an_accusation_of_old_is_corrected)
{
	size_t told = 0;

	begin();
	receive_alive(1, 5, STR("\xff\x80"));
	receive_alive(2, 1, STR("\xff\x80"));
	pool.gossip_at = pool.probe_at = MONO_NEVER;
	receive_accusation(SWIM_SUSPECT, "n1", 4, STR("nobody"));
	ck_assert_uint_eq(update.packets_count, 0);
	receive_accusation(SWIM_SUSPECT, "n1", 4, STR("n2"));
	ck_assert_uint_eq(update.packets_count, 1);
	ck_assert_uint_eq(update.packets[0].to.bytes[3], 2);
	for (int i = 0; i < 100; i++) {
		receive_accusation(SWIM_DEAD, "n1", 4, STR("n2"));
		told += update.packets_count;
	}
	ck_assert_uint_eq(told, 31);
	ck_assert_uint_eq(pool_find(&pool, STR("n1"))->state, SWIM_STATE_ALIVE);
	end();
}
END_TEST

/* -------- crowds -------- */

struct seen {
	size_t events, alive;
};

static void on_message(void *arg, uint8_t type, struct str body)
{
	struct seen *seen = arg;

	seen->events += type == SWIM_USER && (uint8_t)body.p[0] == SERF_EVENT;
	seen->alive += type == SWIM_ALIVE;
}

/* memberlist#299: where a thousand come at once, an event would wait until all is said of them. */
TEST(an_event_does_not_wait_for_a_crowd)
{
	struct pool_event tick = { .type = POOL_TICK };
	struct seen seen = { 0 };

	begin();
	for (uint32_t i = 0; i < 1000; i++) {
		receive_alive(i, 1, STR("\xff\x80"));
	}
	receive_event(3, STR("deploy"), str_n(filler, 400));
	now_ms += 300;
	step(&tick);
	ck_assert_uint_ge(update.packets_count, 3);
	ck_assert_uint_le(update.packets_count, 3 * 4 + 1); /* and a probe */
	for (size_t i = 0; i < update.packets_count; i++) {
		const struct pool_packet *p = &update.packets[i];
		struct str bytes = pool_bytes(&update, p->at, p->size);

		ck_assert_uint_le(bytes.n, PACKET_SIZE_MAX + 5);
		ck_assert_int_eq(packet_walk(bytes, on_message, &seen), 0);
	}
	ck_assert_uint_ge(seen.events, 3);
	ck_assert_uint_ge(seen.alive, 100);
	end();
}
END_TEST

/* -------- what happened while we were away -------- */

/* The reply of another to our join: its state, with one event. */
static void join_and_hear(bool again)
{
	OWN_EMBEDDED(buf_fini) struct buf reply = { 0 }, user = { 0 }, events = { 0 }, list = { 0 };
	struct swim_push_pull header = { .join = true };
	struct serf_event e = { .name = STR("missed") };
	struct serf_event_slot slot = { .ltime = 40 };
	struct serf_state state = { .ltime = 1, .event_ltime = 41, .query_ltime = 1 };
	struct pool_event join = { .type = POOL_JOIN, .from = address_number(1), .rejoin = again };
	struct pool_event heard = { .type = POOL_REPLY };

	step(&join);
	ck_assert_uint_eq(update.dials_count, 1);
	heard.token = update.dials[0].token;
	pack_array(&list, 1);
	pack_struct(&list, &serf_slot_event_schema, &e);
	slot.events = buf_str(&list);
	pack_array(&events, 1);
	pack_struct(&events, &serf_event_slot_schema, &slot);
	state.events = buf_str(&events);
	serf_put(&user, SERF_PUSH_PULL, &serf_state_schema, &state);
	header.user_state_size = (uint32_t)user.n;
	swim_put(&reply, SWIM_PUSH_PULL, &swim_push_pull_schema, &header);
	buf_put_str(&reply, buf_str(&user));
	heard.bytes = buf_str(&reply);
	step(&heard);
	ck_assert_int_eq(update.status, 0);
}

TEST(who_was_away_is_told_and_who_joins_is_not)
{
	begin();
	join_and_hear(true);
	ck_assert_uint_eq(notes_of(POOL_NOTE_EVENT), 1);
	end();
	begin();
	join_and_hear(false);
	ck_assert_uint_eq(notes_of(POOL_NOTE_EVENT), 0);
	end();
}
END_TEST

UNIT_MAIN("gossip_hostile", an_event_that_fits_in_no_packet_does_not_block_the_others,
	an_event_above_serfs_own_limit_is_refused, events_that_are_remembered_have_a_ceiling,
	a_poisoned_lamport_time_is_not_believed, an_incarnation_that_ends_all_is_not_believed,
	a_life_before_the_first_is_none, who_cannot_be_in_one_pool_with_us_is_no_member,
	a_turn_that_comes_late_accuses_nobody, what_is_too_long_is_refused,
	the_table_of_members_has_a_ceiling, a_state_of_too_many_is_refused,
	a_state_whose_versions_exclude_us_is_refused, who_knows_no_checksums_is_sent_none,
	strangers_get_a_bare_answer, an_accusation_of_old_is_corrected,
	an_event_does_not_wait_for_a_crowd, who_was_away_is_told_and_who_joins_is_not)
