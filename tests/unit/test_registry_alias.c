/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkd's core: checks that mirror others, of this node and of another one.
 */
#include "tests/unit/registry_bench.h"

TEST(test_alias)
{
	struct check_def ttl_check = { .ttl_ns = 100 * NS_PER_S, .status = STR("passing") };
	struct check_def node_check = { .id = STR("disk"),
		.name = STR("Disk"),
		.ttl_ns = 100 * NS_PER_S,
		.status = STR("passing") };
	struct check_def first = {
		.id = STR("a1"), .name = STR("a1"), .alias_service = STR("web1")
	};
	struct check_def second = { .id = STR("a2"),
		.name = STR("a2"),
		.service_id = STR("web2"),
		.alias_service = STR("web1") };
	struct bench b;

	bench_init(&b);
	check_put(&b, &first, "alias");
	is_check(&b, "a1", "critical", "Service web1 could not be found on node ");
	service_put(&b, "web1", &ttl_check);
	is_check(&b, "a1", "passing", "All checks passing.");
	service_put(&b, "web2", NULL);
	check_put(&b, &second, "alias");
	check_put(&b, &node_check, "ttl");
	is_check(&b, "a2", "passing", "All checks passing.");
	ttl(&b, "disk", CHECK_WARNING, "90%");
	is_check(&b, "a1", "warning", "Aliased check \"Disk\" failing: 90%");
	is_check(&b, "a2", "warning", "Aliased check \"Disk\" failing: 90%");
	ttl(&b, "service:web1", CHECK_CRITICAL, "down");
	is_check(&b, "a2", "critical", NULL);
	bench_fini(&b);
}
END_TEST

/* Aliases of the node look at each other: what one of them says is passed on, and ends with its
 * reason. */
TEST(test_aliases_of_each_other)
{
	static const char one[] = "Aliased check \"Service 'web' check\" failing: down",
			  two[] = "Aliased check \"a1\" failing: Aliased check \"Service 'web' "
				  "check\" failing: down";
	struct check_def ttl_check = { .ttl_ns = 100 * NS_PER_S, .status = STR("passing") };
	struct check_def aliases[] = {
		{ .id = STR("a1"), .name = STR("a1"), .alias_service = STR("web1") },
		{ .id = STR("a2"), .name = STR("a2"), .alias_service = STR("web2") },
		/* a service that mirrors another one, which mirrors it */
		{ .id = STR("a3"),
			.name = STR("a3"),
			.service_id = STR("web2"),
			.alias_service = STR("web1") },
		{ .id = STR("a4"),
			.name = STR("a4"),
			.service_id = STR("web1"),
			.alias_service = STR("web2") },
	};
	struct bench b;

	bench_init(&b);
	service_put(&b, "web1", &ttl_check);
	service_put(&b, "web2", NULL);
	for (size_t i = 0; i < ARRAY_SIZE(aliases); i++) {
		check_put(&b, &aliases[i], "alias");
		is_check(&b, "a1", "passing", NULL);
	}
	for (int i = 0; i < 3; i++) {
		for (int k = 0; k < 10; k++) {
			ttl(&b, "service:web1", CHECK_CRITICAL, k % 2 ? "down" : "gone");
		}
		is_check(&b, "a1", "critical", one);
		is_check(&b, "a2", "critical", two);
		is_check(&b, "a3", "critical", one);
		is_check(&b, "a4", "critical", two);
		ttl(&b, "service:web1", CHECK_PASSING, "");
		for (size_t k = 0; k < ARRAY_SIZE(aliases); k++) {
			is_check(&b, aliases[k].id.p, "passing", "All checks passing.");
		}
	}
	bench_fini(&b);
}
END_TEST

static void alias_answer(struct bench *b, int status, uint64_t index, const char *body)
{
	struct registry_request *q = b->u.requests;

	ck_assert_ptr_nonnull(q);
	step(b, (struct registry_event) { .type = REGISTRY_REQUEST_DONE,
			.request = { q->number, status, index, str_of(body) } });
	pass_ms(b, 1000);
}

/* An alias of another node: a blocking query, and its services where there are no checks. */
TEST(test_alias_remote)
{
	struct check_def def = { .id = STR("a"),
		.name = STR("a"),
		.alias_node = STR("far off"),
		.alias_service = STR("db") };
	char words[8000] = "", answer[9000];
	struct bench b;

	bench_init(&b);
	check_put(&b, &def, "alias");
	pass_ms(&b, 0);
	ck_str_is(b.u.requests->path, "/v1/health/node/far%20off?stale");
	alias_answer(&b, 200, 7,
		"[{\"Name\":\"D\",\"Status\":\"warning\",\"Output\":\"slow\",\"ServiceID\":\"db\"},"
		"{\"Name\":\"W\",\"Status\":\"critical\",\"ServiceID\":\"web\"}]");
	is_check(&b, "a", "warning", "Aliased check \"D\" failing: slow");
	ck_str_is(b.u.requests->path, "/v1/health/node/far%20off?stale&wait=1m&index=7");
	ck_assert(b.u.requests->waits);
	alias_answer(&b, 0, 0, "");
	is_check(&b, "a", "warning", NULL); /* no news is no change */
	alias_answer(&b, 200, 8, "[]");
	ck_str_is(b.u.requests->path, "/v1/catalog/node-services/far%20off?stale");
	alias_answer(&b, 200, 9, "{\"Node\":{},\"Services\":[{\"ID\":\"db\"}]}");
	is_check(&b, "a", "passing", "No checks found.");
	alias_answer(&b, 200, 10, "[]");
	alias_answer(&b, 200, 11, "{\"Node\":null,\"Services\":null}");
	is_check(&b, "a", "critical", "Service db could not be found on node far off");
	memset(words, 'x', sizeof(words) - 1);
	snprintf(answer, sizeof(answer),
		"[{\"Name\":\"D\",\"Status\":\"critical\",\"Output\":\"%s\",\"ServiceID\":\"db\"}]",
		words);
	alias_answer(&b, 200, 12, answer);
	words[4096] = 0; /* as much as a check may say itself */
	snprintf(answer, sizeof(answer), "Aliased check \"D\" failing: %s", words);
	is_check(&b, "a", "critical", answer);
	step(&b, (struct registry_event) { .type = REGISTRY_CHECK_DEL, .id = STR("a") });
	ck_assert_ptr_nonnull(b.u.stops);
	bench_fini(&b);
}
END_TEST

UNIT_MAIN("registry-alias", test_alias, test_aliases_of_each_other, test_alias_remote)
