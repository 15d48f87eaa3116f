/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkd's core on a bench: a registry, its clock, and what is done to it, for its tests.
 */
#ifndef MUSTER_TESTS_UNIT_REGISTRY_BENCH_H
#define MUSTER_TESTS_UNIT_REGISTRY_BENCH_H

#include "checkd/core/registry.h"
#include "tests/unit/unit.h"

struct bench {
	struct registry *r;
	struct registry_config config;
	struct registry_update u;
	struct mono now;
	struct wall wall;
};

static inline void bench_init(struct bench *b)
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

static inline void bench_fini(struct bench *b)
{
	registry_free(b->r);
}

static inline void step(struct bench *b, struct registry_event e)
{
	e.now = b->now;
	e.wall = b->wall;
	registry_step(b->r, &e, &b->u);
	registry_check(b->r);
}

static inline void pass_ms(struct bench *b, int64_t ms)
{
	b->now.ns += ms * NS_PER_MS;
	b->wall.ns += ms * NS_PER_MS;
	step(b, (struct registry_event) { .type = REGISTRY_TIMER });
}

static inline void check_put(struct bench *b, const struct check_def *def, const char *type)
{
	step(b, (struct registry_event) {
			.type = REGISTRY_CHECK_PUT, .check = { .check = { def, str_of(type) } } });
}

static inline void service_put(struct bench *b, const char *id, const struct check_def *check)
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

static inline void run_done(
	struct bench *b, uint64_t number, enum check_status status, const char *output)
{
	step(b, (struct registry_event) {
			.type = REGISTRY_RUN_DONE, .run = { number, status, str_of(output) } });
}

static inline void ttl(
	struct bench *b, const char *id, enum check_status status, const char *output)
{
	step(b, (struct registry_event) {
			.type = REGISTRY_TTL, .ttl = { str_of(id), status, str_of(output) } });
}

static inline void is_check(struct bench *b, const char *id, const char *status, const char *output)
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
static inline uint64_t next_run(struct bench *b, int64_t *waited_ms_out)
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

/* Runs of check "c" with these results, one after the other, and its status after each: p w c */
static inline void runs_play(struct bench *b, const char *results, const char *statuses)
{
	static const char letters[] = "pwc";
	int64_t waited;

	for (size_t i = 0; results[i]; i++) {
		uint64_t run = next_run(b, &waited);

		run_done(b, run, (enum check_status)(strchr(letters, results[i]) - letters), "");
		is_check(b, "c",
			check_status_name(
				(enum check_status)(strchr(letters, statuses[i]) - letters)),
			NULL);
	}
}

#endif
