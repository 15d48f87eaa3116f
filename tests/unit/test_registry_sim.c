/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkd's core against a simulated world: random registrations, results and restarts, a catalogue
 * that is tampered with and that answers late, in any order, with errors, or not at all (before or
 * after having done what it was asked). Every step keeps the invariants; at the end, left alone,
 * the catalogue shows exactly what is registered, and the store brings back the same registry.
 */
#include "tests/unit/unit.h"

#include "checkd/core/registry.h"
#include "common/base/kv.h"

enum { IDS = 12, STEPS = 4000, SEEDS = 30, OUT_MAX = 64 };
enum { CATALOGUE_SERVICES, CATALOGUE_CHECKS, CATALOGUE_NODE, CATALOGUE_TABLES };

struct outstanding {
	uint64_t number;
	bool put;
	struct buf path, body;
};

struct world {
	struct rng rng;
	struct registry_config config;
	struct registry *r;
	struct registry_update u;
	struct mono now;
	struct kv_mem *store, *catalogue; /* the catalogue's values are JSON */
	struct outstanding out[OUT_MAX];
	size_t out_count;
	uint64_t runs[REGISTRY_RUNS_MAX * 2];
	size_t runs_count;
};

static void writes_apply(struct world *w)
{
	struct kv_txn *t = kv_mem_begin(w->store);

	for (struct registry_write *x = w->u.writes; x; x = x->next) {
		if (x->del) {
			kv_del(t, x->table, x->key);
		} else {
			kv_put(t, x->table, x->key, x->value);
		}
	}
	ck_assert_int_eq(kv_commit(t), 0);
}

static void forget_number(struct world *w, uint64_t number)
{
	for (size_t i = 0; i < w->runs_count; i++) {
		if (w->runs[i] == number) {
			w->runs[i] = w->runs[--w->runs_count];
			return;
		}
	}
}

static void step(struct world *w, struct registry_event e)
{
	e.now = w->now;
	e.wall = (struct wall) { w->now.ns };
	registry_step(w->r, &e, &w->u);
	registry_check(w->r);
	writes_apply(w);
	for (struct registry_stop *s = w->u.stops; s; s = s->next) {
		forget_number(w, s->number);
	}
	for (struct registry_run *x = w->u.runs; x; x = x->next) {
		w->runs[w->runs_count++] = x->number;
	}
	ck_assert_uint_le(w->runs_count, REGISTRY_RUNS_MAX);
	for (struct registry_request *q = w->u.requests; q; q = q->next) {
		struct outstanding *o = &w->out[w->out_count++];

		*o = (struct outstanding) { .number = q->number, .put = q->put };
		buf_put_str(&o->path, q->path);
		buf_put_str(&o->body, q->body);
	}
	ck_assert_uint_le(w->out_count, REGISTRY_REQUESTS_MAX);
}

/* ---- the catalogue ---- */

static void catalogue_list(struct world *w, unsigned table, struct buf *out)
{
	struct kv_txn *t = kv_mem_begin(w->catalogue);
	struct jsonw j = jsonw_of(out);
	struct kv_walk walk;

	jsonw_open(&j, '[');
	kv_walk_init(&walk, t, table, STR(""));
	while (kv_walk_next(&walk)) {
		jsonw_raw(&j, walk.value);
	}
	jsonw_close(&j, ']');
	kv_abort(t);
}

static void catalogue_put(
	struct kv_txn *t, unsigned table, const struct json *object, const char *key)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };

	json_render(&text, object);
	kv_put(t, table, json_find_text(object, key), buf_str(&text));
}

static void service_delete(struct kv_txn *t, struct str id)
{
	OWN_EMBEDDED(buf_fini) struct buf needle = { 0 };
	struct kv_walk walk;

	buf_printf(&needle, "\"ServiceID\":\"" STR_FMT "\"", STR_ARG(id));
	kv_del(t, CATALOGUE_SERVICES, id);
	kv_walk_init(&walk, t, CATALOGUE_CHECKS, STR(""));
	while (kv_walk_next(&walk)) {
		if (str_find_str(walk.value, buf_str(&needle)) >= 0) {
			kv_del(t, CATALOGUE_CHECKS, walk.key);
		}
	}
}

/* Returns HTTP's status. */
static int catalogue_apply(struct world *w, const struct outstanding *o, struct buf *answer)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	const struct json *part, *item;
	struct kv_txn *t;
	struct json *body;

	if (!o->put) {
		bool services = str_starts(buf_str(&o->path), STR("/v1/catalog/node-services/"));

		buf_put_cstr(answer, services ? "{\"Node\":null,\"Services\":" : "");
		catalogue_list(w, services ? CATALOGUE_SERVICES : CATALOGUE_CHECKS, answer);
		buf_put_cstr(answer, services ? "}" : "");
		return 200;
	}
	ck_assert_int_eq(json_parse(&arena, buf_str(&o->body), &body, NULL), 0);
	t = kv_mem_begin(w->catalogue);
	if (str_is(buf_str(&o->path), "/v1/catalog/deregister")) {
		struct str check = json_find_text(body, "CheckID");

		if (check.n) {
			kv_del(t, CATALOGUE_CHECKS, check);
		} else {
			ck_assert(json_find_text(body, "ServiceID").n > 0);
			service_delete(t, json_find_text(body, "ServiceID"));
		}
	} else {
		part = json_find(body, "Service");
		if (part) {
			catalogue_put(t, CATALOGUE_SERVICES, part, "ID");
		}
		part = json_find(body, "Checks");
		if (part) {
			json_for_each (item, part) {
				struct str owner = json_find_text(item, "ServiceID");

				if (owner.n && !kv_has(t, CATALOGUE_SERVICES, owner)) {
					kv_abort(t);
					buf_put_lit(answer, "failed inserting check: Missing "
							    "service registration");
					return 500;
				}
				catalogue_put(t, CATALOGUE_CHECKS, item, "CheckID");
			}
		}
	}
	kv_commit(t);
	buf_put_lit(answer, "true");
	return 200;
}

static void answer_one(struct world *w, bool kind)
{
	OWN_EMBEDDED(buf_fini) struct buf answer = { 0 };
	size_t at = rng_below(&w->rng, w->out_count);
	uint64_t fate = kind ? 0 : rng_below(&w->rng, 10);
	struct outstanding o;
	int status = 200;

	if (w->out_count == 0) {
		return;
	}
	o = w->out[at];
	w->out[at] = w->out[--w->out_count];
	if (fate != 1 && fate != 2) {
		status = catalogue_apply(w, &o, &answer);
	}
	if (fate >= 1 && fate <= 3) {
		buf_clear(&answer);
		status = fate == 2 ? 500 : 0;
	}
	step(w, (struct registry_event) { .type = REGISTRY_REQUEST_DONE,
			.request = {
				.number = o.number, .status = status, .body = buf_str(&answer) } });
	buf_fini(&o.path);
	buf_fini(&o.body);
}

/* Somebody else writes under our node's name. */
static void catalogue_tamper(struct world *w)
{
	static const char *const bogus[] = { "{\"ID\":\"s3\",\"Service\":\"other\"}",
		"{\"ID\":\"alien\",\"Service\":\"alien\"}",
		"{\"ID\":\"consul\",\"Service\":\"consul\"}" };
	struct kv_txn *t = kv_mem_begin(w->catalogue);
	char id[8];

	snprintf(id, sizeof(id), "s%u", (unsigned)rng_below(&w->rng, IDS));
	switch (rng_below(&w->rng, 4)) {
	case 0:
		service_delete(t, str_of(id));
		break;
	case 1:
		kv_put(t, CATALOGUE_SERVICES, STR("alien"), str_of(bogus[1]));
		break;
	case 2:
		kv_put(t, CATALOGUE_SERVICES, STR("consul"), str_of(bogus[2]));
		break;
	default:
		kv_put(t, CATALOGUE_CHECKS, STR("c1"),
			STR("{\"CheckID\":\"c1\",\"Status\":\"passing\"}"));
	}
	kv_commit(t);
}

/* ---- what the agent's users do ---- */

static void do_service(struct world *w)
{
	struct str args[] = { STR("x") };
	struct check_def check = { .ttl_ns = 30 * NS_PER_S,
		.status = STR("passing"),
		.deregister_critical_after_ns = 70 * NS_PER_S };
	struct check_def script = { .args = { args, 1, true }, .interval_ns = 5 * NS_PER_S };
	struct registry_check checks[] = { { rng_below(&w->rng, 2) ? &check : &script, STR("") } };
	char id[8];
	struct service_def def = {
		.id = { id, 0 }, .name = STR("web"), .port = (int64_t)rng_below(&w->rng, 3)
	};

	def.id.n = (size_t)snprintf(id, sizeof(id), "s%u", (unsigned)rng_below(&w->rng, IDS));
	if (rng_below(&w->rng, 3) == 0) {
		step(w, (struct registry_event) { .type = REGISTRY_SERVICE_DEL, .id = def.id });
		return;
	}
	step(w, (struct registry_event) { .type = REGISTRY_SERVICE_PUT,
			.service = { .def = &def,
				.checks = checks,
				.checks_count = (uint32_t)rng_below(&w->rng, 2),
				.sync_token = rng_below(&w->rng, 4) ? STR("") : STR("t"),
				.replace_checks = rng_below(&w->rng, 2) } });
}

static void do_check(struct world *w)
{
	char id[8], service[8];
	struct check_def def = { .name = STR("n"), .ttl_ns = 20 * NS_PER_S };

	def.id = str_n(
		id, (size_t)snprintf(id, sizeof(id), "c%u", (unsigned)rng_below(&w->rng, IDS)));
	if (rng_below(&w->rng, 3) == 0) {
		step(w, (struct registry_event) { .type = REGISTRY_CHECK_DEL, .id = def.id });
		return;
	}
	if (rng_below(&w->rng, 2)) {
		def.service_id = str_n(service, (size_t)snprintf(service, sizeof(service), "s%u",
							(unsigned)rng_below(&w->rng, IDS)));
	}
	step(w, (struct registry_event) {
			.type = REGISTRY_CHECK_PUT, .check = { .check = { &def, STR("ttl") } } });
}

static void do_ttl(struct world *w)
{
	bool service = rng_below(&w->rng, 2);
	char id[20];
	size_t n = (size_t)snprintf(
		id, sizeof(id), service ? "service:s%u" : "c%u", (unsigned)rng_below(&w->rng, IDS));

	step(w, (struct registry_event) { .type = REGISTRY_TTL,
			.ttl = { str_n(id, n), (enum check_status)rng_below(&w->rng, 3),
				rng_below(&w->rng, 2) ? STR("o") : STR("") } });
}

static void do_run_done(struct world *w)
{
	if (w->runs_count) {
		size_t at = rng_below(&w->rng, w->runs_count);
		uint64_t number = w->runs[at];

		w->runs[at] = w->runs[--w->runs_count];
		step(w, (struct registry_event) { .type = REGISTRY_RUN_DONE,
				.run = { number, (enum check_status)rng_below(&w->rng, 3),
					STR("ran") } });
	}
}

static void do_time(struct world *w, int64_t ms_max)
{
	w->now.ns += (int64_t)rng_below(&w->rng, (uint64_t)ms_max) * NS_PER_MS;
	step(w, (struct registry_event) { .type = REGISTRY_TIMER });
}

static void load_table(struct world *w, unsigned table, enum registry_event_type type)
{
	struct kv_mem *copy = kv_mem_new(1);
	struct kv_txn *t = kv_mem_begin(w->store), *to = kv_mem_begin(copy);
	struct kv_walk walk;

	kv_walk_init(&walk, t, table, STR(""));
	while (kv_walk_next(&walk)) {
		kv_put(to, 0, walk.key, walk.value);
	}
	kv_abort(t);
	kv_commit(to);
	to = kv_mem_begin(copy);
	kv_walk_init(&walk, to, 0, STR(""));
	while (kv_walk_next(&walk)) {
		step(w, (struct registry_event) {
				.type = type, .load = { walk.key, walk.value, true } });
	}
	kv_abort(to);
	kv_mem_free(copy);
}

static void registry_start(struct world *w)
{
	w->r = registry_new(&w->config, &w->rng);
	load_table(w, TABLE_SERVICES, REGISTRY_LOAD_SERVICE);
	load_table(w, TABLE_CHECKS, REGISTRY_LOAD_CHECK);
	load_table(w, TABLE_STATES, REGISTRY_LOAD_STATE);
	step(w, (struct registry_event) { .type = REGISTRY_LOADED });
}

/* kill -9: what was asked is lost or comes too late, what was stored is there. */
static void do_restart(struct world *w)
{
	registry_free(w->r);
	w->runs_count = 0;
	while (w->out_count) {
		struct outstanding *o = &w->out[--w->out_count];

		buf_fini(&o->path);
		buf_fini(&o->body);
	}
	registry_start(w);
}

static void do_something(struct world *w)
{
	static void (*const often[])(struct world *) = { do_service, do_check, do_ttl, do_ttl,
		do_run_done, do_run_done };
	uint64_t dice = rng_below(&w->rng, 200);

	if (dice == 0) {
		do_restart(w);
	} else if (dice < 4) {
		catalogue_tamper(w);
	} else if (dice < 80) {
		answer_one(w, false);
	} else if (dice < 100) {
		do_time(w, 3000);
	} else {
		often[rng_below(&w->rng, ARRAY_SIZE(often))](w);
	}
	if (rng_below(&w->rng, 2)) {
		step(w, (struct registry_event) { .type = REGISTRY_FLUSH });
	}
}

/* ---- the end ---- */

static bool settled(const struct world *w)
{
	struct registry_counts c;

	registry_count(w->r, &c);
	return c.dirty == 0 && c.failed == 0 && c.requests == 0;
}

static void settle(struct world *w)
{
	/* Long enough for a full sync after the longest back-off. */
	for (int i = 0; i < 300; i++) {
		w->now.ns += NS_PER_S;
		step(w, (struct registry_event) { .type = REGISTRY_TIMER });
		do {
			step(w, (struct registry_event) { .type = REGISTRY_FLUSH });
			while (w->out_count) {
				answer_one(w, true);
			}
		} while (w->u.requests);
	}
	ck_assert(settled(w));
}

static void is_equal(struct world *w)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf services = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf checks = { 0 };
	struct kv_txn *t = kv_mem_begin(w->catalogue);
	struct json *tree, *remote;
	const struct json *item;
	struct str value;

	kv_del(t, CATALOGUE_SERVICES, STR("consul"));
	registry_render_services(w->r, &services);
	json_parse(&arena, buf_str(&services), &tree, NULL);
	ck_assert_uint_eq(tree->count, kv_count(t, CATALOGUE_SERVICES));
	json_for_each (item, tree) {
		ck_assert(kv_get(t, CATALOGUE_SERVICES, item->key, &value));
		json_parse(&arena, value, &remote, NULL);
		ck_assert(str_eq(json_find(remote, "Port")->text, json_find(item, "Port")->text));
	}
	registry_render_checks(w->r, &checks);
	json_parse(&arena, buf_str(&checks), &tree, NULL);
	ck_assert_uint_eq(tree->count, kv_count(t, CATALOGUE_CHECKS));
	json_for_each (item, tree) {
		ck_assert(kv_get(t, CATALOGUE_CHECKS, item->key, &value));
		json_parse(&arena, value, &remote, NULL);
		ck_assert(str_eq(json_find_text(remote, "Status"), json_find_text(item, "Status")));
		ck_assert(str_eq(
			json_find_text(remote, "ServiceID"), json_find_text(item, "ServiceID")));
	}
	kv_abort(t);
}

static void run(uint64_t seed)
{
	struct world w = { .config = { .node = STR("n1"),
				   .check_update_interval_ns = 20 * NS_PER_S,
				   .output_max = 4096 },
		.now = { 1000 * NS_PER_S } };
	uint64_t digest;

	rng_init(&w.rng, seed);
	w.store = kv_mem_new(TABLES_COUNT);
	w.catalogue = kv_mem_new(CATALOGUE_TABLES);
	registry_start(&w);
	for (int i = 0; i < STEPS; i++) {
		do_something(&w);
	}
	settle(&w);
	is_equal(&w);
	digest = registry_digest(w.r);
	do_restart(&w);
	ck_assert_uint_eq(registry_digest(w.r), digest);
	registry_free(w.r);
	while (w.out_count) {
		buf_fini(&w.out[--w.out_count].path);
		buf_fini(&w.out[w.out_count].body);
	}
	kv_mem_free(w.store);
	kv_mem_free(w.catalogue);
}

TEST(test_seeds)
{
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		run(seed);
	}
}
END_TEST

UNIT_MAIN("registry-sim", test_seeds)
