/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gossipd/core: what may be fired, whom it concerns, what is kept. Sizes and texts as seen on
 * Consul 1.8.7.
 */
#include "gossipd/core/gossip.h"
#include "tests/unit/unit.h"

static struct gossip g;
static struct gossip_update u;

static uint64_t clock;

static void begin(void)
{
	clock = 5;
	gossip_init(&g, STR("n1"));
}

static struct user_event named(struct str name, uint8_t id)
{
	return (struct user_event) { .id = { { id, 1 } }, .name = name, .version = 1 };
}

/* Fires it; the pool delivers it here too. */
static int fire(const struct user_event *e)
{
	OWN_EMBEDDED(buf_fini) struct buf name = { 0 }, payload = { 0 };
	struct gossip_event event = { .type = GOSSIP_EVENT_FIRE, .user_event = e, .ltime = clock };
	struct gossip_event arrived = { .type = GOSSIP_EVENT_ARRIVED, .ltime = clock };

	gossip_step(&g, &event, &u);
	if (u.status == 0 && u.name.n) {
		buf_put_str(&name, u.name);
		buf_put_str(&payload, u.payload);
		arrived.name = buf_str(&name);
		arrived.payload = buf_str(&payload);
		clock++;
		gossip_step(&g, &arrived, &u);
	}
	gossip_check(&g);
	return u.status;
}

TEST(fires_and_lists)
{
	struct user_event list[GOSSIP_EVENTS_MAX], e = named(STR("deploy"), 1);

	begin();
	ck_assert_uint_eq(gossip_events_index(&g, GOSSIP_USER, STR("")), 1);
	e.payload = STR("hello");
	ck_assert_int_eq(fire(&e), 0);
	ck_assert(u.events_changed && !u.to_match);
	ck_assert_int_eq(fire(&e), 0); /* the call was repeated */
	ck_assert(!u.events_changed);
	e = named(STR("other"), 2);
	ck_assert_int_eq(fire(&e), 0);
	ck_assert_uint_eq(gossip_events_list(&g, GOSSIP_USER, STR(""), list), 2);
	ck_assert_uint_eq(list[0].ltime, 5);
	ck_assert_uint_eq(list[1].ltime, 6);
	ck_str_is(list[0].payload, "hello");
	ck_assert_uint_eq(gossip_events_list(&g, GOSSIP_USER, STR("deploy"), list), 1);
	ck_assert_uint_ne(gossip_events_index(&g, GOSSIP_USER, STR("deploy")),
		gossip_events_index(&g, GOSSIP_USER, STR("")));
	ck_assert_uint_eq(gossip_events_index(&g, GOSSIP_USER, STR("none")), 1);
	gossip_fini(&g);
}
END_TEST

/* Orders for remote execution are in no list of events. */
TEST(remote_execution_is_apart)
{
	struct user_event list[GOSSIP_EVENTS_MAX], e = named(STR("_rexec"), 3);

	begin();
	ck_assert_int_eq(fire(&e), 0);
	ck_assert(u.events_changed);
	gossip_check(&g);
	ck_assert_uint_eq(gossip_events_list(&g, GOSSIP_USER, STR(""), list), 0);
	ck_assert_uint_eq(gossip_events_list(&g, GOSSIP_USER, STR("_rexec"), list), 0);
	ck_assert_uint_eq(gossip_events_index(&g, GOSSIP_USER, STR("")), 1);
	ck_assert_uint_eq(gossip_events_list(&g, GOSSIP_REMOTE, STR(""), list), 1);
	ck_assert_uint_eq(gossip_events_index(&g, GOSSIP_REMOTE, STR("")), uuid_fold(&e.id));
	e = named(STR("deploy"), 4);
	ck_assert_int_eq(fire(&e), 0);
	ck_assert_uint_eq(gossip_events_list(&g, GOSSIP_REMOTE, STR(""), list), 1);
	ck_assert_uint_eq(gossip_events_list(&g, GOSSIP_USER, STR(""), list), 1);
	gossip_fini(&g);
}
END_TEST

TEST(index_of_an_id)
{
	struct uuid id;

	ck_assert_int_eq(uuid_parse(STR("ee6e1382-278c-bda5-c4f2-db2044fd8ff4"), &id), 0);
	ck_assert_uint_eq(uuid_fold(&id), 3070549645738455633u);
}
END_TEST

TEST(refusals)
{
	char payload[600] = { 0 };
	struct user_event e = named(STR("deploy"), 1);

	begin();
	e.tag_filter = STR("a");
	ck_assert_int_eq(fire(&e), ST_INVALID);
	ck_str_is(u.why, "Cannot provide tag filter without service filter");
	e = named(STR("deploy"), 1);
	e.node_filter = STR("(");
	ck_assert_int_eq(fire(&e), ST_INVALID);
	ck_str_is(u.why, "Invalid node filter: error parsing regexp: missing closing ): `(`");
	e = named(STR(""), 1);
	ck_assert_int_eq(fire(&e), ST_INVALID);
	/* 404 bytes just fit once encoded, 434 before that: seen. */
	e = named(STR("deploy"), 1);
	e.payload = str_n(payload, 404);
	ck_assert_int_eq(fire(&e), 0);
	e = named(STR("deploy"), 2);
	e.payload = str_n(payload, 405);
	ck_assert_int_eq(fire(&e), ST_TOO_LARGE);
	ck_str_is(u.why, "1 error occurred:\n\t* error broadcasting event to segment \"\": encoded "
			 "user event exceeds "
			 "configured limit of 512 bytes after encoding\n\n");
	e.payload = str_n(payload, 435);
	ck_assert_int_eq(fire(&e), ST_TOO_LARGE);
	ck_str_is(u.why, "1 error occurred:\n\t* error broadcasting event to segment \"\": user "
			 "event exceeds "
			 "configured limit of 512 bytes before encoding\n\n");
	gossip_fini(&g);
}
END_TEST

static bool concerns(const char *service_filter, const char *tag_filter)
{
	static const char services[] = "{\"web-1\":{\"ID\":\"web-1\",\"Tags\":[\"v1\",\"blue\"]},"
				       "\"db\":{\"ID\":\"db\",\"Tags\":[]}}";
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct user_event e = named(STR("deploy"), 1);
	struct json *tree;

	e.service_filter = str_of(service_filter);
	e.tag_filter = str_of(tag_filter);
	ck_assert_int_eq(json_parse(&arena, str_of(services), &tree, NULL), 0);
	return user_event_is_for_services(&e, tree);
}

TEST(filters)
{
	struct user_event e = named(STR("deploy"), 1);
	struct gossip_event matched = { .type = GOSSIP_EVENT_MATCHED, .matched = true };

	ck_assert(concerns("web", "") && concerns("^db$", "") && concerns("web", "blu") &&
		  concerns("", ""));
	ck_assert(!concerns("api", "") && !concerns("db", "blue") && !concerns("^web$", ""));
	begin();
	e.node_filter = STR("zzz");
	ck_assert_int_eq(fire(&e), 0);
	ck_assert(!u.events_changed && clock == 6);
	e = named(STR("deploy"), 2);
	e.node_filter = STR("n");
	e.service_filter = STR("web");
	ck_assert_int_eq(fire(&e), 0);
	ck_assert(u.to_match && !u.events_changed);
	matched.id = u.to_match->id;
	gossip_step(&g, &matched, &u);
	ck_assert(u.events_changed);
	gossip_check(&g);
	gossip_step(&g, &matched, &u);
	ck_assert(!u.events_changed);
	gossip_fini(&g);
}
END_TEST

TEST(keeps_the_newest_256)
{
	struct user_event list[GOSSIP_EVENTS_MAX], e;

	begin();
	for (unsigned i = 0; i < 300; i++) {
		e = named(STR("deploy"), (uint8_t)i);
		e.id.b[5] = (uint8_t)(i >> 8);
		ck_assert_int_eq(fire(&e), 0);
	}
	ck_assert_uint_eq(gossip_events_list(&g, GOSSIP_USER, STR(""), list), 256);
	ck_assert_uint_eq(list[0].ltime, 5 + 44);
	ck_assert_uint_eq(list[255].ltime, 5 + 299);
	gossip_fini(&g);
}
END_TEST

/* What came over the wire from a Consul agent (gossip_vectors/cap-74), and what is none of ours. */
TEST(arrives_from_consul)
{
	static const struct str payload =
		STR("\x85\xa2ID\xd9$11ba9aba-3cd9-4b1c-a87e-48fbfe5b2a1d\xa1n\xa6"
		    "deploy\xa1p\xc4\x05hello\xa2nf\xa1n\xa1v\x01");
	struct gossip_event event = { .type = GOSSIP_EVENT_ARRIVED,
		.name = STR("consul:event:deploy"),
		.payload = payload,
		.ltime = 7 };
	struct user_event list[GOSSIP_EVENTS_MAX];

	begin();
	gossip_step(&g, &event, &u);
	ck_assert(u.events_changed);
	ck_assert_uint_eq(gossip_events_list(&g, GOSSIP_USER, STR("deploy"), list), 1);
	ck_str_is(list[0].payload, "hello");
	ck_str_is(list[0].node_filter, "n");
	ck_assert_uint_eq(list[0].ltime, 7);
	event.name = STR("consul:new-leader");
	gossip_step(&g, &event, &u);
	ck_assert(!u.events_changed);
	event.name = STR("consul:event:deploy");
	event.payload = str_cut(payload, 40);
	gossip_step(&g, &event, &u);
	ck_assert(!u.events_changed);
	gossip_fini(&g);
}
END_TEST

UNIT_MAIN("gossip_core", fires_and_lists, remote_execution_is_apart, index_of_an_id, refusals,
	filters, keeps_the_newest_256, arrives_from_consul)
