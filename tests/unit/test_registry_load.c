/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkd's core: what a new life makes of what the last one has stored.
 */
#include "tests/unit/registry_bench.h"

/* What a restart brings back: states of this boot as they are, of another only TTLs that still run.
 */
TEST(test_load)
{
	static const struct {
		bool same_boot;
		int64_t mono_left_s, wall_left_s;
		const char *status, *after_6s, *after_99s;
	} rows[] = {
		{ true, 5, -5, "passing", "critical", "critical" },
		{ true, -5, 5, "passing", "critical", "critical" },
		{ false, 500, 5, "passing", "critical", "critical" },
		{ false, 500, -5, "critical", "critical", "critical" },
		{ false, 500, 50, "passing", "passing", "critical" },
		/* the wall clock was set back, or the TTL was longer */
		{ false, 500, 1000000, "passing", "passing", "passing" },
		{ true, 1000, 1000, "passing", "passing", "passing" },
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
		pass_ms(&b, 93999);
		is_check(&b, "t", rows[i].after_99s, NULL);
		pass_ms(&b, 1);
		is_check(&b, "t", "critical", NULL); /* no deadline is later than the TTL */
		bench_fini(&b);
	}
}
END_TEST

/* A TTL check of the configuration begins anew with each start, and then finds its state: that is
 * what the next start has to find, too. */
TEST(test_load_over_configuration)
{
	struct check_def def = { .id = STR("t"), .name = STR("t"), .ttl_ns = 100 * NS_PER_S };
	OWN_EMBEDDED(buf_fini) struct buf state = { 0 };
	struct state_row s = { .status = CHECK_PASSING, .output = STR("o") }, kept = { 0 };
	struct bench b;

	bench_init(&b);
	s.ttl_due_mono_ns = b.now.ns + 50 * NS_PER_S;
	state_row_encode(&state, &s);
	step(&b, (struct registry_event) { .type = REGISTRY_CONF_BEGIN });
	step(&b, (struct registry_event) { .type = REGISTRY_CHECK_PUT,
			 .check = { .check = { &def, STR("") }, .from_config = true } });
	step(&b, (struct registry_event) { .type = REGISTRY_CONF_END });
	step(&b, (struct registry_event) { .type = REGISTRY_LOAD_STATE,
			 .load = { STR("t"), buf_str(&state), true } });
	is_check(&b, "t", "passing", "o");
	ck_assert_ptr_nonnull(b.u.writes);
	ck_assert_int_eq(b.u.writes->table, TABLE_STATES);
	ck_assert_int_eq(state_row_decode(b.u.writes->value, NULL, &kept), 0);
	ck_assert_int_eq(kept.status, CHECK_PASSING);
	ck_assert_int_eq(kept.ttl_due_mono_ns, s.ttl_due_mono_ns);
	bench_fini(&b);
}
END_TEST

/* A status that a restart has brought back stands as it stood: one result does not change it where
 * it takes three. */
TEST(test_load_and_thresholds)
{
	static const struct {
		enum check_status stored;
		const char *results, *statuses;
	} rows[] = {
		{ CHECK_PASSING, "pcpccc", "pppppc" },
		{ CHECK_WARNING, "ccwccc", "wwwwwc" },
		{ CHECK_CRITICAL, "cpcppp", "cccccp" },
	};
	struct str args[] = { STR("true") };
	struct check_row row = { .def = { .id = STR("c"),
					 .name = STR("c"),
					 .args = { args, 1, true },
					 .interval_ns = NS_PER_S,
					 .success_before_passing = 3,
					 .failures_before_critical = 3 } };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		OWN_EMBEDDED(buf_fini) struct buf check = { 0 };
		OWN_EMBEDDED(buf_fini) struct buf state = { 0 };
		struct state_row s = { .status = rows[i].stored };
		struct bench b;

		bench_init(&b);
		check_row_encode(&check, &row);
		state_row_encode(&state, &s);
		step(&b, (struct registry_event) { .type = REGISTRY_LOAD_CHECK,
				 .load = { STR("c"), buf_str(&check), true } });
		step(&b, (struct registry_event) { .type = REGISTRY_LOAD_STATE,
				 .load = { STR("c"), buf_str(&state), true } });
		runs_play(&b, rows[i].results, rows[i].statuses);
		bench_fini(&b);
	}
}
END_TEST

/* A service that was critical when its agent was stopped does not go before somebody has looked at
 * it again; the time before counts all the same. */
TEST(test_load_and_deregistration)
{
	static const struct {
		int64_t interval_s, ttl_s, critical_for_s, after_s, gone_after_s;
	} rows[] = {
		{ 10, 0, 50, 70, 40 }, /* one interval and one run */
		{ 10, 0, 500, 70, 40 },
		{ 10, 0, 20, 70, 50 },
		{ 0, 15, 500, 70, 15 },
		{ 3600, 0, 500, 70, 70 },
	};
	struct str args[] = { STR("true") };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct check_row row = { .def = { .id = STR("c"),
						 .name = STR("c"),
						 .service_id = STR("web1"),
						 .args = { args, rows[i].ttl_s ? 0 : 1, true },
						 .interval_ns = rows[i].interval_s * NS_PER_S,
						 .ttl_ns = rows[i].ttl_s * NS_PER_S,
						 .deregister_critical_after_ns =
							 rows[i].after_s * NS_PER_S } };
		OWN_EMBEDDED(buf_fini) struct buf check = { 0 };
		OWN_EMBEDDED(buf_fini) struct buf state = { 0 };
		OWN_EMBEDDED(buf_fini) struct buf services = { 0 };
		struct state_row s = { .status = CHECK_CRITICAL };
		struct bench b;

		bench_init(&b);
		s.critical_since_mono_ns = b.now.ns - rows[i].critical_for_s * NS_PER_S;
		check_row_encode(&check, &row);
		state_row_encode(&state, &s);
		service_put(&b, "web1", NULL);
		step(&b, (struct registry_event) { .type = REGISTRY_LOAD_CHECK,
				 .load = { STR("c"), buf_str(&check), true } });
		step(&b, (struct registry_event) { .type = REGISTRY_LOAD_STATE,
				 .load = { STR("c"), buf_str(&state), true } });
		pass_ms(&b, rows[i].gone_after_s * 1000 - 1);
		is_check(&b, "c", "critical", NULL);
		pass_ms(&b, 1);
		registry_render_services(b.r, &services);
		ck_buf_is(&services, "{}");
		bench_fini(&b);
	}
}
END_TEST

UNIT_MAIN("registry-load", test_load, test_load_over_configuration, test_load_and_thresholds,
	test_load_and_deregistration)
