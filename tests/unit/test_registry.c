/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkd's core: schedules, thresholds, TTLs, aliases, maintenance, what is stored and what is told
 * to the catalogue.
 */
#include "tests/unit/unit.h"

#include "checkd/core/registry.h"

struct bench {
	struct registry *r;
	struct registry_config config;
	struct registry_update u;
	struct mono now;
	struct wall wall;
};

static void bench_init(struct bench *b)
{
	struct rng rng;

	*b = (struct bench) { .config = { .node = STR("n1"),
				      .node_id = STR("id1"),
				      .datacenter = STR("dc1"),
				      .address = STR("10.0.0.1"),
				      .check_update_interval_ns = 300 * NS_PER_S,
				      .output_max = 4096 },
		.now = { 1000 * NS_PER_S },
		.wall = { 5000 * NS_PER_S } };
	rng_init(&rng, 7);
	b->r = registry_new(&b->config, &rng);
}

static void bench_fini(struct bench *b)
{
	registry_free(b->r);
}

static void step(struct bench *b, struct registry_event e)
{
	e.now = b->now;
	e.wall = b->wall;
	registry_step(b->r, &e, &b->u);
	registry_check(b->r);
}

static void pass_ms(struct bench *b, int64_t ms)
{
	b->now.ns += ms * NS_PER_MS;
	b->wall.ns += ms * NS_PER_MS;
	step(b, (struct registry_event) { .type = REGISTRY_TIMER });
}

static void check_put(struct bench *b, const struct check_def *def, const char *type)
{
	step(b, (struct registry_event) {
			.type = REGISTRY_CHECK_PUT, .check = { .check = { def, str_of(type) } } });
}

static void service_put(struct bench *b, const char *id, const struct check_def *check)
{
	struct service_def def = { .id = str_of(id),
		.name = STR("web"),
		.port = 80,
		.weight_passing = 1,
		.weight_warning = 1 };
	struct registry_check checks[] = { { check, STR("ttl") } };

	step(b, (struct registry_event) { .type = REGISTRY_SERVICE_PUT,
			.service = { .def = &def,
				.checks = checks,
				.checks_count = check ? 1 : 0,
				.replace_checks = true } });
}

static void run_done(struct bench *b, uint64_t number, enum check_status status, const char *output)
{
	step(b, (struct registry_event) {
			.type = REGISTRY_RUN_DONE, .run = { number, status, str_of(output) } });
}

static void ttl(struct bench *b, const char *id, enum check_status status, const char *output)
{
	step(b, (struct registry_event) {
			.type = REGISTRY_TTL, .ttl = { str_of(id), status, str_of(output) } });
}

static void is_check(struct bench *b, const char *id, const char *status, const char *output)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct json *tree;
	const struct json *c;

	registry_render_checks(b->r, &text);
	ck_assert_int_eq(json_parse(&arena, buf_str(&text), &tree, NULL), 0);
	c = json_find(tree, id);
	ck_assert_ptr_nonnull(c);
	ck_str_is(json_find_text(c, "Status"), status);
	if (output) {
		ck_str_is(json_find_text(c, "Output"), output);
	}
}

/* Waits for the next run and says how long that took. */
static uint64_t next_run(struct bench *b, int64_t *waited_ms_out)
{
	struct mono begin = b->now;

	for (int i = 0; i < 100; i++) {
		struct mono due = registry_deadline(b->r);

		ck_assert(due.ns != MONO_NEVER.ns);
		b->now = due.ns > b->now.ns ? due : b->now;
		step(b, (struct registry_event) { .type = REGISTRY_TIMER });
		if (b->u.runs) {
			*waited_ms_out = mono_diff_ms(b->now, begin);
			return b->u.runs->number;
		}
	}
	ck_abort_msg("no run");
	return 0;
}

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
	static const char letters[] = "pwc";
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
		int64_t waited;

		bench_init(&b);
		check_put(&b, &def, "script");
		for (size_t at = 0; rows[i].results[at]; at++) {
			uint64_t run = next_run(&b, &waited);

			run_done(&b, run,
				(enum check_status)(strchr(letters, rows[i].results[at]) - letters),
				"");
			is_check(&b, "c",
				check_status_name((enum check_status)(
					strchr(letters, rows[i].statuses[at]) - letters)),
				NULL);
		}
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

/* What a restart brings back: states of this boot as they are, of another only TTLs that still run.
 */
TEST(test_load)
{
	static const struct {
		bool same_boot;
		int64_t mono_left_s, wall_left_s;
		const char *status, *after_6s;
	} rows[] = {
		{ true, 5, -5, "passing", "critical" },
		{ true, -5, 5, "passing", "critical" },
		{ false, 500, 5, "passing", "critical" },
		{ false, 500, -5, "critical", "critical" },
		{ false, 500, 50, "passing", "passing" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct check_def def = {
			.id = STR("t"), .name = STR("t"), .ttl_ns = 100 * NS_PER_S
		};
		OWN_EMBEDDED(buf_fini) struct buf check = { 0 };
		OWN_EMBEDDED(buf_fini) struct buf state = { 0 };
		struct check_row row = { .def = def, .type = STR("ttl") };
		struct bench b;
		struct state_row s = { .status = CHECK_PASSING, .output = STR("o") };

		bench_init(&b);
		s.ttl_due_mono_ns = b.now.ns + rows[i].mono_left_s * NS_PER_S;
		s.ttl_due_wall_ns = b.wall.ns + rows[i].wall_left_s * NS_PER_S;
		check_row_encode(&check, &row);
		state_row_encode(&state, &s);
		step(&b, (struct registry_event) { .type = REGISTRY_LOAD_CHECK,
				 .load = { STR("t"), buf_str(&check), rows[i].same_boot } });
		ck_assert_ptr_null(b.u.writes);
		step(&b, (struct registry_event) { .type = REGISTRY_LOAD_STATE,
				 .load = { STR("t"), buf_str(&state), rows[i].same_boot } });
		step(&b, (struct registry_event) { .type = REGISTRY_LOADED });
		is_check(&b, "t", rows[i].status, NULL);
		pass_ms(&b, 6000);
		is_check(&b, "t", rows[i].after_6s, NULL);
		bench_fini(&b);
	}
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

UNIT_MAIN("registry", test_schedule, test_thresholds, test_ttl, test_load, test_service, test_alias,
	test_maintenance, test_sync_change, test_sync_of_the_node_during_a_reload,
	test_sync_failures, test_alias_remote, test_output)
