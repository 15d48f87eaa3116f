/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkd's core: schedules, thresholds, TTLs, maintenance, and what is told to the catalogue.
 */
#include "tests/unit/registry_bench.h"

TEST(test_schedule)
{
	struct str args[] = { STR("true") };
	struct check_def def = { .id = STR("c"),
		.name = STR("c"),
		.args = { args, 1, true },
		.interval_ns = 10 * NS_PER_S };
	struct bench b;
	int64_t waited;
	uint64_t run;

	bench_init(&b);
	check_put(&b, &def, "script");
	run = next_run(&b, &waited);
	ck_assert_int_lt(waited, 10000);
	pass_ms(&b, 60000); /* never two at once, however long it takes */
	ck_assert_ptr_null(b.u.runs);
	run_done(&b, run + 1000, CHECK_PASSING, "not ours");
	is_check(&b, "c", "critical", "");
	run_done(&b, run, CHECK_PASSING, "fine");
	is_check(&b, "c", "passing", "fine");
	run = next_run(&b, &waited);
	ck_assert_int_eq(waited, 10000);

	check_put(&b, &def, "script"); /* as before: the run goes on */
	ck_assert_ptr_null(b.u.stops);
	def.interval_ns = 1;
	check_put(&b, &def, "script");
	ck_assert_ptr_nonnull(b.u.stops);
	ck_assert_uint_eq(b.u.stops->number, run);
	is_check(&b, "c", "passing", "fine");
	run = next_run(&b, &waited);
	run_done(&b, run, CHECK_WARNING, "");
	next_run(&b, &waited);
	ck_assert_int_eq(waited, 1000); /* the shortest interval */
	bench_fini(&b);
}
END_TEST

TEST(test_thresholds)
{
	static const struct {
		int64_t success, warning, critical;
		const char *results, *statuses; /* p w c */
	} rows[] = {
		{ 0, 0, 0, "pcwp", "pcwp" },
		{ 3, 0, 0, "cpppcppwp", "cccpcccwp" },
		{ 0, 0, 3, "cpcccpccpc", "cpppcppppp" },
		{ 0, 2, 3, "pccccp", "ppwccp" },
	};
	struct str args[] = { STR("true") };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct check_def def = { .id = STR("c"),
			.name = STR("c"),
			.args = { args, 1, true },
			.interval_ns = NS_PER_S,
			.success_before_passing = rows[i].success,
			.failures_before_warning = rows[i].warning,
			.failures_before_critical = rows[i].critical };
		struct bench b;

		bench_init(&b);
		check_put(&b, &def, "script");
		runs_play(&b, rows[i].results, rows[i].statuses);
		bench_fini(&b);
	}
}
END_TEST

TEST(test_ttl)
{
	struct check_def def = {
		.id = STR("t"), .name = STR("t"), .ttl_ns = 10 * NS_PER_S, .output_max_size = 5
	};
	struct bench b;

	bench_init(&b);
	ttl(&b, "t", CHECK_PASSING, "");
	ck_str_is(b.u.result.text, "CheckID \"t\" does not have associated TTL");
	ck_assert_int_eq(b.u.result.kind, RESULT_ERROR);
	check_put(&b, &def, "ttl");
	pass_ms(&b, 9999);
	is_check(&b, "t", "critical", "");
	ttl(&b, "t", CHECK_PASSING, "fine and well");
	is_check(&b, "t", "passing", "fine  ... (captured 5 of 13 bytes)");
	pass_ms(&b, 9999);
	is_check(&b, "t", "passing", NULL);
	pass_ms(&b, 1);
	is_check(&b, "t", "critical",
		"TTL expired (last output before timeout follows): fine  ... (captured 5 of 13 "
		"bytes)");
	bench_fini(&b);
}
END_TEST

/* The longest durations that can be written. */
TEST(test_very_long)
{
	struct check_def def = { .id = STR("t"),
		.name = STR("t"),
		.ttl_ns = INT64_MAX,
		.status = STR("passing"),
		.deregister_critical_after_ns = INT64_MAX };
	struct str args[] = { STR("true") };
	struct check_def script = { .id = STR("s"),
		.name = STR("s"),
		.args = { args, 1, true },
		.interval_ns = INT64_MAX };
	struct bench b;
	int64_t waited;

	bench_init(&b);
	b.config.check_update_interval_ns = INT64_MAX;
	service_put(&b, "web1", NULL);
	def.service_id = STR("web1");
	check_put(&b, &def, "ttl");
	pass_ms(&b, 1000);
	is_check(&b, "t", "passing", "");
	ttl(&b, "t", CHECK_CRITICAL, "one");
	ttl(&b, "t", CHECK_CRITICAL, "two");
	pass_ms(&b, 100000);
	is_check(&b, "t", "critical", "two");
	check_put(&b, &script, "script");
	run_done(&b, next_run(&b, &waited), CHECK_PASSING, "");
	pass_ms(&b, 100000);
	ck_assert_ptr_null(b.u.runs);
	bench_fini(&b);
}
END_TEST

TEST(test_service)
{
	struct check_def check = {
		.ttl_ns = 10 * NS_PER_S, .status = STR("passing"), .deregister_critical_after_ns = 1
	};
	OWN_EMBEDDED(buf_fini) struct buf services = { 0 };
	struct bench b;

	bench_init(&b);
	service_put(&b, "web1", &check);
	is_check(&b, "service:web1", "passing", "");
	ck_assert_ptr_nonnull(b.u.writes);
	ttl(&b, "service:web1", CHECK_WARNING, "hm");
	service_put(&b, "web1", &check); /* again: what is known stays */
	is_check(&b, "service:web1", "warning", "hm");
	registry_render_services(b.r, &services);
	ck_buf_is(&services,
		"{\"web1\":{\"ID\":\"web1\",\"Service\":\"web\",\"Tags\":[],\"Meta\":{},\"Port\":"
		"80,\"Address\":\"\","
		"\"Weights\":{\"Passing\":1,\"Warning\":1},\"EnableTagOverride\":false}}");
	pass_ms(&b, 10000);
	is_check(&b, "service:web1", "critical", NULL);
	pass_ms(&b, 59999);
	is_check(&b, "service:web1", "critical", NULL);
	pass_ms(&b, 1); /* critical for a minute, the shortest */
	buf_clear(&services);
	registry_render_services(b.r, &services);
	ck_buf_is(&services, "{}");
	step(&b, (struct registry_event) { .type = REGISTRY_SERVICE_DEL, .id = STR("web1") });
	ck_assert_int_eq(b.u.result.kind, RESULT_OK);
	check = (struct check_def) {
		.id = STR("x"), .name = STR("x"), .service_id = STR("web1"), .ttl_ns = 1
	};
	check_put(&b, &check, "ttl");
	ck_str_is(b.u.result.text, "ServiceID \"web1\" does not exist");
	bench_fini(&b);
}
END_TEST

TEST(test_maintenance)
{
	OWN_EMBEDDED(buf_fini) struct buf health = { 0 };
	struct bench b;

	bench_init(&b);
	service_put(&b, "web1", NULL);
	step(&b, (struct registry_event) { .type = REGISTRY_MAINTENANCE,
			 .maintenance = { STR("nope"), true, STR("") } });
	ck_str_is(b.u.result.text, "No service registered with ID \"nope\"");
	step(&b, (struct registry_event) { .type = REGISTRY_MAINTENANCE,
			 .maintenance = { STR("web1"), true, STR("why") } });
	is_check(&b, "_service_maintenance:web1", "critical", "");
	ck_assert_str_eq(registry_render_health_id(b.r, STR("web1"), &health), "maintenance");
	service_put(&b, "web1", NULL); /* replaces its checks, but maintenance is not one of them */
	is_check(&b, "_service_maintenance:web1", "critical", "");
	step(&b, (struct registry_event) { .type = REGISTRY_MAINTENANCE,
			 .maintenance = { STR("web1"), false, STR("") } });
	buf_clear(&health);
	ck_assert_str_eq(registry_render_health_name(b.r, STR("web"), &health), "passing");
	ck_assert_str_eq(registry_render_health_id(b.r, STR("nope"), &health), "");
	step(&b, (struct registry_event) {
			 .type = REGISTRY_MAINTENANCE, .maintenance = { STR(""), true, STR("") } });
	ck_assert_str_eq(registry_render_health_id(b.r, STR("web1"), &health), "maintenance");
	bench_fini(&b);
}
END_TEST

/* ---- towards the catalogue ---- */

static void flush(struct bench *b)
{
	step(b, (struct registry_event) { .type = REGISTRY_FLUSH });
}

static void answer(struct bench *b, uint64_t number, int status, const char *body)
{
	step(b, (struct registry_event) { .type = REGISTRY_REQUEST_DONE,
			.request = { .number = number, .status = status, .body = str_of(body) } });
}

TEST(test_sync_change)
{
	struct check_def check = { .ttl_ns = 100 * NS_PER_S, .status = STR("passing") };
	uint64_t number;
	struct bench b;

	bench_init(&b);
	service_put(&b, "web1", &check);
	flush(&b);
	ck_assert_ptr_nonnull(b.u.requests);
	ck_assert_ptr_null(
		b.u.requests->next); /* one request for the service, its check and the node */
	ck_str_is(b.u.requests->path, "/v1/catalog/register");
	ck_assert(str_find_str(b.u.requests->body,
			  STR("\"SkipNodeUpdate\":false,\"Service\":{\"ID\":\"web1\"")) > 0);
	ck_assert(str_find_str(b.u.requests->body, STR("\"CheckID\":\"service:web1\"")) > 0);
	number = b.u.requests->number;
	ttl(&b, "service:web1", CHECK_WARNING, ""); /* meanwhile */
	flush(&b);
	ck_assert_ptr_null(b.u.requests);
	answer(&b, number, 200, "true");
	flush(&b);
	ck_assert_ptr_nonnull(b.u.requests);
	ck_assert(
		str_find_str(b.u.requests->body, STR("\"SkipNodeUpdate\":true,\"Checks\":[{")) > 0);
	answer(&b, b.u.requests->number, 200, "true");
	ttl(&b, "service:web1", CHECK_WARNING,
		"only the output"); /* waits for half an interval or more */
	flush(&b);
	ck_assert_ptr_null(b.u.requests);
	for (int i = 0; i < 45; i++) {
		pass_ms(&b, 10000);
		ttl(&b, "service:web1", CHECK_WARNING, i % 2 ? "a" : "b");
		flush(&b);
		if (b.u.requests) {
			ck_assert_int_gt(i, 13);
			return bench_fini(&b);
		}
	}
	ck_abort_msg("a deferred output was never sent");
}
END_TEST

/* What was on its way when the node's own words changed does not count for them. */
TEST(test_sync_of_the_node_during_a_reload)
{
	struct check_def check = { .ttl_ns = 100 * NS_PER_S, .status = STR("passing") };
	struct registry_config changed;
	bool told = false;
	uint64_t number;
	struct bench b;

	bench_init(&b);
	changed = b.config;
	changed.address = STR("10.0.0.2");
	service_put(&b, "web1", &check);
	flush(&b);
	number = b.u.requests->number;
	step(&b, (struct registry_event) { .type = REGISTRY_CONFIG, .config = &changed });
	answer(&b, number, 200, "true");
	ttl(&b, "service:web1", CHECK_WARNING, "");
	flush(&b);
	for (const struct registry_request *q = b.u.requests; q; q = q->next) {
		told = told || (str_find_str(q->body, STR("10.0.0.2")) >= 0 &&
				       str_find_str(q->body, STR("\"SkipNodeUpdate\":false")) >= 0);
	}
	ck_assert(told);
	bench_fini(&b);
}
END_TEST

/* Such names are warned of, not refused. */
TEST(test_sync_of_a_node_with_any_name)
{
	struct bench b;

	bench_init(&b);
	b.config.node = STR("my node/1?");
	step(&b, (struct registry_event) { .type = REGISTRY_LOADED });
	flush(&b);
	ck_assert_ptr_nonnull(b.u.requests);
	ck_str_is(b.u.requests->path, "/v1/catalog/node-services/my%20node%2F1%3F?stale");
	ck_str_is(b.u.requests->next->path, "/v1/health/node/my%20node%2F1%3F?stale");
	bench_fini(&b);
}
END_TEST

TEST(test_sync_failures)
{
	uint64_t number;
	struct bench b;

	bench_init(&b);
	service_put(&b, "web1", NULL);
	flush(&b);
	number = b.u.requests->number;
	answer(&b, number, 0, "");
	flush(&b);
	ck_assert_ptr_null(b.u.requests); /* not at once */
	ck_assert_int_le(mono_diff_ms(registry_deadline(b.r), b.now), 200);
	pass_ms(&b, 200);
	flush(&b);
	ck_assert_ptr_nonnull(b.u.requests);
	answer(&b, b.u.requests->number, 500, "Invalid service address");
	pass_ms(&b, 14999);
	flush(&b);
	pass_ms(&b, 15001);
	flush(&b);
	ck_assert_ptr_nonnull(b.u.requests);
	answer(&b, b.u.requests->number, 403,
		"Permission denied"); /* as good as done until the next full sync */
	flush(&b);
	if (b.u.requests) {
		ck_assert(str_find_str(b.u.requests->body, STR("\"Service\"")) < 0);
	}
	bench_fini(&b);
}
END_TEST

TEST(test_output)
{
	OWN_EMBEDDED(buf_fini) struct buf b = { 0 };

	output_tail(&b, STR("tail"), 6000, 4);
	ck_buf_is(&b, "Captured 4 of 6000 bytes\n...\ntail");
	buf_clear(&b);
	output_tail(&b, STR("all"), 3, 4);
	ck_buf_is(&b, "all");
}
END_TEST

UNIT_MAIN("registry", test_schedule, test_thresholds, test_ttl, test_very_long, test_service,
	test_maintenance, test_sync_change, test_sync_of_the_node_during_a_reload,
	test_sync_of_a_node_with_any_name, test_sync_failures, test_output)
