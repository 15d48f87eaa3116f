/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Orders of remote execution: what is asked and told, in which order, and what happens when it
 * fails.
 */
#include "tests/unit/unit.h"

#include "checkd/core/remote.h"

struct bench {
	struct remote remote;
	struct remote_update u;
	struct mono now;
};

static void step(struct bench *b, struct remote_event e)
{
	e.now = b->now;
	remote_step(&b->remote, &e, &b->u);
}

static void begin(struct bench *b, bool again)
{
	*b = (struct bench) { .now = { NS_PER_S } };
	remote_init(&b->remote, STR("n 1"));
	step(b, (struct remote_event) { .type = REMOTE_BEGIN,
			.text = STR("{\"Prefix\":\"_rexec/\",\"Session\":\"s-1\"}"),
			.again = again });
}

static void answer(struct bench *b, int status, const char *body)
{
	step(b, (struct remote_event) {
			.type = REMOTE_ANSWERED, .status = status, .text = str_of(body) });
}

static void is_put(const struct bench *b, const char *path, const char *body)
{
	ck_assert(b->u.ask && b->u.put);
	ck_str_is(b->u.path, path);
	ck_str_is(b->u.body, body);
}

static void is_get(const struct bench *b, const char *path)
{
	ck_assert(b->u.ask && !b->u.put);
	ck_str_is(b->u.path, path);
}

#define OWN_KEYS "/v1/kv/_rexec/s-1/n%201/"

/* Up to the program's start. */
static void started(struct bench *b, const char *spec)
{
	begin(b, false);
	is_get(b, "/v1/kv/_rexec/s-1/job?raw&stale");
	answer(b, 200, spec);
	is_put(b, OWN_KEYS "ack?acquire=s-1", "");
	answer(b, 200, "true");
	ck_assert(b->u.start && !b->u.ask);
}

static void printed(struct bench *b, struct str text)
{
	step(b, (struct remote_event) { .type = REMOTE_PRINTED, .text = text });
}

static void ended(struct bench *b, int64_t code)
{
	step(b, (struct remote_event) { .type = REMOTE_ENDED, .code = code });
}

static void later(struct bench *b, int64_t ms)
{
	b->now = mono_add_ms(b->now, ms);
	ck_assert(!mono_before(b->now, remote_deadline(&b->remote)));
	step(b, (struct remote_event) { .type = REMOTE_TIMER });
}

TEST(an_order_is_carried_out)
{
	struct bench b;

	started(&b, "{\"Command\":\"uptime\",\"Wait\":2000000000}");
	ck_str_is(b.remote.spec.command, "uptime");
	printed(&b, STR("up "));
	ck_assert(!b.u.ask);
	printed(&b, STR("1 day\n"));
	later(&b, REMOTE_IDLE_MS);
	is_put(&b, OWN_KEYS "out/00000?acquire=s-1", "up 1 day\n");
	printed(&b, STR("more"));
	ck_assert(!b.u.ask); /* one at a time */
	ended(&b, 3);
	ck_assert(!b.u.ask);
	answer(&b, 200, "true");
	is_put(&b, OWN_KEYS "out/00001?acquire=s-1", "more");
	answer(&b, 200, "true\n");
	is_put(&b, OWN_KEYS "exit?acquire=s-1", "3");
	answer(&b, 200, "true");
	ck_assert(b.u.done && !b.u.note && !b.u.kill);
	remote_fini(&b.remote);
}
END_TEST

TEST(silence_is_filled_with_signs_of_life)
{
	struct bench b;

	started(&b, "{\"Args\":[\"sleep\",\"9\"],\"Wait\":2000000000}");
	ck_assert_uint_eq(b.remote.spec.args.count, 2);
	later(&b, 2000);
	is_put(&b, OWN_KEYS "out/00000?acquire=s-1", "");
	answer(&b, 200, "true");
	ck_assert(!b.u.ask);
	later(&b, 2000);
	is_put(&b, OWN_KEYS "out/00001?acquire=s-1", "");
	answer(&b, 200, "true");
	ended(&b, -1);
	is_put(&b, OWN_KEYS "exit?acquire=s-1", "-1");
	remote_fini(&b.remote);
	/* whatever the order says */
	started(&b, "{\"Command\":\"x\",\"Wait\":-5}");
	ck_assert_int_eq(mono_diff_ms(remote_deadline(&b.remote), b.now), REMOTE_BEAT_MIN_MS);
	remote_fini(&b.remote);
}
END_TEST

TEST(much_output_goes_in_pieces_and_waits)
{
	static char many[REMOTE_HELD_MAX + 1];
	struct bench b;

	memset(many, 'x', sizeof(many));
	started(&b, "{\"Command\":\"x\",\"Wait\":2000000000}");
	printed(&b, str_n(many, 5000));
	ck_assert(b.u.ask && !b.u.hold);
	ck_assert_uint_eq(b.u.body.n, REMOTE_CHUNK_MAX);
	printed(&b, str_n(many, sizeof(many)));
	ck_assert(b.u.hold);
	for (int i = 0; i < 16; i++) {
		answer(&b, 200, "true");
		ck_assert_uint_eq(b.u.body.n, REMOTE_CHUNK_MAX);
	}
	ck_assert(!b.u.hold);
	remote_fini(&b.remote);
}
END_TEST

TEST(too_much_output_kills)
{
	static char chunk[REMOTE_CHUNK_MAX];
	struct bench b;

	started(&b, "{\"Command\":\"yes\",\"Wait\":2000000000}");
	for (int i = 0; i < REMOTE_CHUNKS_MAX; i++) {
		printed(&b, str_n(chunk, sizeof(chunk)));
		ck_assert(b.u.ask && !b.u.kill);
		answer(&b, 200, "true");
	}
	ck_assert(b.u.kill);
	is_put(&b, OWN_KEYS "exit?acquire=s-1", "255");
	answer(&b, 200, "true");
	ck_assert(b.u.done);
	remote_fini(&b.remote);
}
END_TEST

TEST(without_the_session_it_is_killed)
{
	struct bench b;

	started(&b, "{\"Command\":\"x\",\"Wait\":2000000000}");
	later(&b, 2000);
	answer(&b, 500, "invalid session");
	ck_assert(b.u.kill);
	is_put(&b, OWN_KEYS "exit?acquire=s-1", "255");
	answer(&b, 200, "false");
	ck_assert(b.u.done && b.u.note);
	remote_fini(&b.remote);
}
END_TEST

TEST(a_follower_may_not_know_the_order_yet)
{
	struct bench b;

	begin(&b, false);
	answer(&b, 404, "");
	is_get(&b, "/v1/kv/_rexec/s-1/job?raw&consistent");
	answer(&b, 404, "");
	ck_assert(b.u.done && !b.u.kill);
	ck_assert_str_eq(b.u.note, "its order is gone");
	remote_fini(&b.remote);
}
END_TEST

TEST(after_a_restart_it_is_not_begun_twice)
{
	struct bench b;

	begin(&b, true);
	is_get(&b, OWN_KEYS "ack?raw&consistent");
	answer(&b, 200, "");
	ck_assert(b.u.done);
	remote_fini(&b.remote);
	begin(&b, true);
	answer(&b, 404, "");
	is_get(&b, "/v1/kv/_rexec/s-1/job?raw&consistent");
	answer(&b, 200, "{\"Script\":\"ZWNobyBoaQo=\",\"Wait\":1}");
	is_put(&b, OWN_KEYS "ack?acquire=s-1", "");
	answer(&b, 200, "true");
	ck_assert(b.u.start);
	ck_str_is(b.remote.spec.script, "echo hi\n");
	ended(&b, REMOTE_FAILED);
	is_put(&b, OWN_KEYS "exit?acquire=s-1", "255");
	remote_fini(&b.remote);
}
END_TEST

TEST(nonsense_is_dropped)
{
	static const char *const payloads[] = { "", "{", "[]", "{\"Prefix\":\"a\"}",
		"{\"Prefix\":\"\",\"Session\":\"b\"}", "{\"Prefix\":1,\"Session\":2}" };
	static const char *const specs[] = { "", "null{", "{\"Args\":1}", "{\"Wait\":\"x\"}",
		"{\"Script\":\"%\"}" };
	struct bench b;

	for (size_t i = 0; i < ARRAY_SIZE(payloads); i++) {
		b = (struct bench) { 0 };
		remote_init(&b.remote, STR("n"));
		step(&b, (struct remote_event) {
				 .type = REMOTE_BEGIN, .text = str_of(payloads[i]) });
		ck_assert(b.u.done && b.u.note && !b.u.ask);
		remote_fini(&b.remote);
	}
	for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
		begin(&b, false);
		answer(&b, 200, specs[i]);
		ck_assert(b.u.done && b.u.note);
		remote_fini(&b.remote);
	}
}
END_TEST

UNIT_MAIN("remote", an_order_is_carried_out, silence_is_filled_with_signs_of_life,
	much_output_goes_in_pieces_and_waits, too_much_output_kills,
	without_the_session_it_is_killed, a_follower_may_not_know_the_order_yet,
	after_a_restart_it_is_not_begun_twice, nonsense_is_dropped)
