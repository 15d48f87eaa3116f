/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who leaves has left, in the eyes of all: whatever of its word comes late, in another order, or
 * after it has been taken for dead.
 */
#include "gossipd/core/pool_private.h"
#include "tests/unit/unit.h"

enum { HERE, THERE, POOLS };

static struct pool pools[POOLS];
static struct pool_update updates[POOLS];
static int64_t now_ms;

static struct pool_address address_of_pool(int i)
{
	return (struct pool_address) { { 10, 0, 0, (uint8_t)(1 + i) }, 4, 7946 };
}

static void step(int i, struct pool_event *event)
{
	event->now = mono_add_ms((struct mono) { NS_PER_S }, now_ms);
	pool_step(&pools[i], event, &updates[i]);
	pool_check(&pools[i]);
}

static void begin(void)
{
	static const char *const names[POOLS] = { "here", "there" };

	now_ms = 0;
	for (int i = 0; i < POOLS; i++) {
		struct pool_event start = { .type = POOL_START };
		struct pool_options options = {
			.name = str_of(names[i]),
			.meta = STR("\xff\x80"),
			.address = address_of_pool(i),
			.versions = { 1, 5, 2, 2, 5, 4 },
			.profile = pool_profile_lan,
			.tombstone_ms = 3600000,
			.reconnect_timeout_ms = 3600000,
			.leave_delay_ms = 1000,
			.seed = 1 + (uint64_t)i,
		};

		pool_init(&pools[i], &options);
		step(i, &start);
	}
}

static void end(void)
{
	for (int i = 0; i < POOLS; i++) {
		pool_check(&pools[i]);
		pool_fini(&pools[i]);
	}
}

static enum member_status status_of(int i, const char *name)
{
	const struct pool_node *n = pool_find(&pools[i], str_of(name));

	return n ? (enum member_status)n->status : MEMBER_NONE;
}

/* -------- messages of others -------- */

static void receive(int i, struct buf *message)
{
	struct pool_event event = { .type = POOL_PACKET, .from = address_of_pool(100) };

	event.bytes = buf_str(message);
	step(i, &event);
	buf_fini(message);
}

static void receive_alive(int i, const char *name, uint32_t incarnation)
{
	struct pool_address a = address_of_pool(50);
	struct buf message = { 0 };
	struct swim_alive m = { .incarnation = incarnation,
		.node = str_of(name),
		.addr = address_str(&a),
		.port = a.port,
		.meta = STR("\xff\x80"),
		.vsn = STR("\x01\x05\x02\x02\x05\x04") };

	swim_put(&message, SWIM_ALIVE, &swim_alive_schema, &m);
	receive(i, &message);
}

static void receive_dead(int i, const char *name, uint32_t incarnation, const char *from)
{
	struct swim_accusation m = { incarnation, str_of(name), str_of(from) };
	struct buf message = { 0 };

	swim_put(&message, SWIM_DEAD, &swim_accusation_schema, &m);
	receive(i, &message);
}

static void receive_intent(int i, enum serf_type type, const char *name, uint64_t ltime)
{
	struct serf_intent m = { .ltime = ltime, .node = str_of(name) };
	struct buf message = { 0 };

	buf_put_u8(&message, SWIM_USER);
	serf_put(&message, type, type == SERF_LEAVE ? &serf_leave_schema : &serf_join_schema, &m);
	receive(i, &message);
}

/* -------- the two with each other -------- */

/* What one has just sent to the other arrives, and what that answers. */
static void deliver(int i)
{
	const struct pool_update *u = &updates[i];
	OWN_EMBEDDED(buf_fini) struct buf bytes = { 0 };
	size_t ends[32], count = 0, start = 0;

	for (size_t k = 0; k < u->packets_count && count < ARRAY_SIZE(ends); k++) {
		if (pool_address_eq(&u->packets[k].to, &pools[1 - i].options.address)) {
			buf_put_str(&bytes, pool_bytes(u, u->packets[k].at, u->packets[k].size));
			ends[count++] = bytes.n;
		}
	}
	for (size_t k = 0; k < count; start = ends[k++]) {
		struct pool_event event = { .type = POOL_PACKET,
			.from = pools[i].options.address,
			.bytes = str_n(bytes.p + start, ends[k] - start) };

		step(1 - i, &event);
		deliver(1 - i);
	}
}

static void run(int64_t ms)
{
	for (int64_t until_ms = now_ms + ms; now_ms < until_ms; now_ms += 50) {
		for (int i = 0; i < POOLS; i++) {
			struct pool_event tick = { .type = POOL_TICK };

			step(i, &tick);
			deliver(i);
		}
	}
}

/* HERE dials THERE. The answer is kept, for HERE to read it at once or later. */
static uint32_t ask(bool rejoin, struct buf *answer)
{
	struct pool_event join = {
		.type = POOL_JOIN, .rejoin = rejoin, .from = address_of_pool(THERE)
	};
	struct pool_event request = { .type = POOL_REQUEST };
	const struct pool_dial *d;

	step(HERE, &join);
	d = &updates[HERE].dials[updates[HERE].dials_count - 1];
	request.bytes = pool_bytes(&updates[HERE], d->at, d->size);
	step(THERE, &request);
	buf_clear(answer);
	buf_put_str(answer, updates[THERE].reply);
	return d->token;
}

static void read_answer(uint32_t token, struct buf *answer)
{
	struct pool_event reply = {
		.type = POOL_REPLY, .token = token, .bytes = buf_str(answer), .text = STR("")
	};

	step(HERE, &reply);
	ck_assert_int_eq(updates[HERE].status, 0);
}

static void join(bool rejoin)
{
	OWN_EMBEDDED(buf_fini) struct buf answer = { 0 };
	uint32_t token = ask(rejoin, &answer);

	read_answer(token, &answer);
}

/* -------- tests -------- */

/* A second address was being joined. */
TEST(a_join_that_ends_while_we_leave_takes_nothing_back)
{
	OWN_EMBEDDED(buf_fini) struct buf answer = { 0 };
	struct pool_event leave = { .type = POOL_LEAVE };
	uint32_t token;

	begin();
	join(false);
	run(2000);
	token = ask(false, &answer);
	step(HERE, &leave);
	read_answer(token, &answer);
	run(5000);
	ck_assert_int_eq(pools[HERE].leave, LEAVE_DONE);
	ck_assert_int_eq(status_of(HERE, "here"), MEMBER_LEFT);
	ck_assert_int_eq(status_of(THERE, "here"), MEMBER_LEFT);
	end();
}
END_TEST

/* The time of an intent to leave, told with the state, was read as one of an intent to join: the
 * intent itself was then passed over as old. */
TEST(a_state_does_not_overtake_the_intent_to_leave)
{
	begin();
	receive_alive(HERE, "x", 1);
	receive_alive(THERE, "x", 1);
	receive_intent(HERE, SERF_LEAVE, "x", 5);
	ck_assert_int_eq(status_of(HERE, "x"), MEMBER_LEAVING);
	join(true);
	ck_assert_int_eq(status_of(THERE, "x"), MEMBER_ALIVE);
	receive_intent(THERE, SERF_LEAVE, "x", 5);
	ck_assert_int_eq(status_of(THERE, "x"), MEMBER_LEAVING);
	receive_dead(THERE, "x", 1, "x");
	ck_assert_int_eq(status_of(THERE, "x"), MEMBER_LEFT);
	end();
}
END_TEST

/* It was taken for dead and says that it lives; its intent to leave comes before that. */
TEST(who_leaves_behind_a_refutation_has_left)
{
	begin();
	receive_alive(THERE, "x", 1);
	receive_dead(THERE, "x", 1, "here");
	ck_assert_int_eq(status_of(THERE, "x"), MEMBER_FAILED);
	receive_intent(THERE, SERF_LEAVE, "x", 5);
	receive_alive(THERE, "x", 2);
	ck_assert_int_eq(status_of(THERE, "x"), MEMBER_ALIVE);
	receive_dead(THERE, "x", 2, "x");
	ck_assert_int_eq(status_of(THERE, "x"), MEMBER_LEFT);
	/* Back, it has failed like anybody else: as others say so, or it has joined since. */
	receive_alive(THERE, "x", 3);
	receive_dead(THERE, "x", 3, "here");
	ck_assert_int_eq(status_of(THERE, "x"), MEMBER_FAILED);
	receive_alive(THERE, "x", 4);
	receive_intent(THERE, SERF_JOIN, "x", 7);
	receive_dead(THERE, "x", 4, "x");
	ck_assert_int_eq(status_of(THERE, "x"), MEMBER_FAILED);
	end();
}
END_TEST

/* Who joins and leaves at once may be heard of in any order. */
TEST(who_is_known_after_its_death_has_left)
{
	begin();
	receive_intent(HERE, SERF_LEAVE, "x", 5);
	receive_dead(HERE, "x", 1, "x");
	receive_intent(HERE, SERF_LEAVE, "x", 6);
	receive_alive(HERE, "x", 1);
	ck_assert_int_eq(status_of(HERE, "x"), MEMBER_LEFT);
	/* Not of the life that has ended; and others may be wrong. */
	receive_intent(HERE, SERF_LEAVE, "y", 6);
	receive_dead(HERE, "y", 1, "y");
	receive_alive(HERE, "y", 2);
	ck_assert_int_eq(status_of(HERE, "y"), MEMBER_LEAVING);
	receive_intent(HERE, SERF_LEAVE, "z", 7);
	receive_dead(HERE, "z", 1, "there");
	receive_alive(HERE, "z", 1);
	ck_assert_int_eq(status_of(HERE, "z"), MEMBER_LEAVING);
	end();
}
END_TEST

/* A member that slept for a minute still has it alive in its state. */
TEST(who_has_left_is_not_brought_back_by_old_news)
{
	begin();
	join(true);
	receive_alive(HERE, "x", 3);
	receive_intent(HERE, SERF_LEAVE, "x", 5);
	receive_dead(HERE, "x", 3, "x");
	run(40000);
	ck_assert_uint_eq(pool_find(&pools[HERE], STR("x"))->slot, POOL_NO_SLOT);
	receive_alive(HERE, "x", 3);
	ck_assert_int_eq(status_of(HERE, "x"), MEMBER_LEFT);
	/* It is asked: if it does live, it contradicts. */
	ck_assert_uint_eq(updates[HERE].packets_count, 1);
	ck_assert_uint_eq(updates[HERE].packets[0].to.bytes[3], 51);
	receive_alive(HERE, "x", 4);
	ck_assert_int_eq(status_of(HERE, "x"), MEMBER_ALIVE);
	end();
}
END_TEST

TEST(the_living_are_not_pruned)
{
	struct pool_event force = { .type = POOL_FORCE_LEAVE, .name = STR("there"), .prune = true };

	begin();
	join(false);
	run(2000);
	step(HERE, &force);
	ck_assert_int_eq(status_of(HERE, "there"), MEMBER_LEAVING);
	run(10000);
	ck_assert_int_eq(status_of(HERE, "there"), MEMBER_ALIVE);
	end();
}
END_TEST

TEST(questions_end_behind_the_leave)
{
	static const struct {
		enum pool_event_type asked;
		enum pool_note_type told;
	} rows[] = { { POOL_QUERY, POOL_NOTE_QUERY_DONE }, { POOL_KEYS, POOL_NOTE_KEYS_DONE } };
	struct pool_event leave = { .type = POOL_LEAVE };
	struct pool_event tick = { .type = POOL_TICK };

	begin();
	step(HERE, &leave);
	ck_assert_int_eq(pools[HERE].leave, LEAVE_DONE);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct pool_event query = { .type = rows[i].asked, .name = STR("q") };
		uint32_t id;

		query.query.timeout_ms = 1000;
		step(HERE, &query);
		id = updates[HERE].id;
		ck_assert_uint_eq(updates[HERE].notes_count, 0);
		ck_assert_int_eq(mono_diff_ms(pool_deadline(&pools[HERE]), pools[HERE].now), 1000);
		now_ms += 1000;
		step(HERE, &tick);
		ck_assert_uint_eq(updates[HERE].notes_count, 1);
		ck_assert_int_eq(updates[HERE].notes[0].type, rows[i].told);
		ck_assert_uint_eq(updates[HERE].notes[0].id, id);
	}
	end();
}
END_TEST

UNIT_MAIN("gossip_leave", a_join_that_ends_while_we_leave_takes_nothing_back,
	a_state_does_not_overtake_the_intent_to_leave, who_leaves_behind_a_refutation_has_left,
	who_is_known_after_its_death_has_left, who_has_left_is_not_brought_back_by_old_news,
	the_living_are_not_pruned, questions_end_behind_the_leave)
