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
	is_check(&b, "a2", "warning",
		"Aliased check \"a1\" failing: Aliased check \"Disk\" failing: 90%"); /* a1 is of
											 the node */
	ttl(&b, "service:web1", CHECK_CRITICAL, "down");
	is_check(&b, "a2", "critical", NULL);
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
	step(&b, (struct registry_event) { .type = REGISTRY_CHECK_DEL, .id = STR("a") });
	ck_assert_ptr_nonnull(b.u.stops);
	bench_fini(&b);
}
END_TEST

UNIT_MAIN("registry-alias", test_alias, test_alias_remote)
